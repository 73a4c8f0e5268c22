"""A bucket of S3, or of a server that speaks its protocol, as a storage."""

import base64
import contextlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError

from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Shared
from agent.ports import NO_INSTRUMENTS, Instruments, ObjectStore, StoredObject
from agent.settings import EncryptionSettings, S3Settings
from agent.storage import s3_errors, s3_figures, s3_transport
from agent.storage.key import LONGEST_KEY_BYTES, check
from agent.storage.order import by_bytes
from agent.storage.s3_arguments import customer_key, put_arguments
from agent.storage.s3_rules import rule_of_answer
from agent.storage.size import check_size

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

T = TypeVar("T")

# S3's limit for one request.
_DELETE_COUNT: Final = 1000
# Codes by which servers say that they do not know a request or a header.
_UNKNOWN_REQUEST: Final = frozenset({
    "NotImplemented",
    "MethodNotAllowed",
    "501",
    "405",
    "MissingContentMD5",
})
_PRECONDITION_FAILED: Final = 412


class S3Store:
    """Objects of one bucket under one prefix.

    Each call is one attempt. ``connect`` makes the client at the first use. Objects are created
    with ``If-None-Match: *``; where the server has no such thing, they are looked for first.
    Source: Amazon S3 User Guide, "How to prevent object overwrites with conditional writes".
    """

    def __init__(
        self,
        settings: S3Settings,
        connect: "Callable[[], S3Client]",
        instruments: Instruments = NO_INSTRUMENTS,
    ) -> None:
        self._settings = settings
        self._connect = connect
        self._instruments = instruments
        self._client: Shared[S3Client | None] = Shared(None)
        self._is_conditional = Shared(settings.conditional_puts)
        self._has_batch_delete = Shared(value=True)
        self._extra = put_arguments(settings)
        self._with_key = customer_key(settings)

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Create an object by one PUT, whose content the server checks as it arrives."""
        full = self._full(key)
        if not self._is_conditional.get():
            if self._exists(full, key):
                self._refuse_other_content(key, body)
            else:
                self._put(full, body, {})
            return
        try:
            self._put(full, body, {"IfNoneMatch": "*"})
        except _PutRefusedError as refused:
            if s3_errors.answer_status(refused.answer) == _PRECONDITION_FAILED:
                self._refuse_other_content(key, body)
                return
            self._is_conditional.set(False)
            self.put(key, body)

    def get(self, key: str) -> bytes:
        """Return the whole object, of the length that the server announced."""
        full = self._full(key)
        with self._translated("GetObject", key):
            answer = self._read(self._s3().get_object, full)
            # Not as a context: that gives the raw stream, which checks nothing.
            with contextlib.closing(answer["Body"]) as stream:
                check_size(key, answer["ContentLength"])
                body = stream.read()
        if len(body) != answer["ContentLength"]:
            raise TransientError(
                "storage_interrupted",
                f"{key} has {answer['ContentLength']} bytes, but {len(body)} arrived",
                key=key,
            )
        return body

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield objects page by page; a page is fetched when it is needed.

        Amazon lists in the order of bytes (S3 API Reference, ListObjectsV2); others may not.
        """
        objects = self._pages(prefix)
        if self._settings.endpoint_url is None:
            return objects
        return by_bytes(objects, prefix)

    def _pages(self, prefix: str) -> Iterator[StoredObject]:
        full = self._with_prefix(prefix)
        token: str | None = None
        while True:
            page = self._page(full, prefix, token)
            for entry in page.get("Contents", ()):
                key = self._plain_key(entry["Key"], full)
                yield StoredObject(
                    key=key, size_bytes=entry["Size"], modified_at=entry.get("LastModified")
                )
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or token is None:
                return

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, a thousand by a request; one by one where the server cannot."""
        full = [self._full(key) for key in keys]
        for start in range(0, len(full), _DELETE_COUNT):
            some = full[start : start + _DELETE_COUNT]
            if not (self._has_batch_delete.get() and self._delete_batch(some)):
                for key in some:
                    self._delete_one(key)

    def probe(self) -> None:
        """List at most one object."""
        with self._translated("ListObjectsV2", self.describe()):
            self._s3().list_objects_v2(
                Bucket=self._settings.bucket, Prefix=self._with_prefix(""), MaxKeys=1
            )

    def describe(self) -> str:
        """Name the bucket and the prefix."""
        return f"s3://{self._settings.bucket}/{self._settings.prefix}".rstrip("/")

    def _s3(self) -> "S3Client":
        client = self._client.get() or self._client.update(self._made)
        return cast("S3Client", client)

    def _made(self, client: "S3Client | None") -> "S3Client":
        if client is None:
            client = self._connect()
            s3_transport.prepare(client)
            s3_figures.observe(client, self._instruments)
        return client

    def _with_prefix(self, text: str) -> str:
        return f"{self._settings.prefix}/{text}" if self._settings.prefix else text

    def _full(self, key: str) -> str:
        full = self._with_prefix(check(key))
        if len(full.encode()) > LONGEST_KEY_BYTES:
            raise PermanentError("bad_key", f"the key {full!r} is too long", key=key)
        return full

    def _put(self, full: str, body: bytes | bytearray, condition: Mapping[str, Any]) -> None:
        checksum: dict[str, Any] = {}
        if self._settings.checksums == "when_supported":
            # Counted here, because botocore would wrap the body to append it, at more CPU.
            checksum["ChecksumCRC32"] = base64.b64encode(
                zlib.crc32(body).to_bytes(4, "big")
            ).decode()
        with self._translated("PutObject", full):
            try:
                self._s3().put_object(
                    Bucket=self._settings.bucket,
                    Key=full,
                    Body=cast("bytes", body),
                    **checksum,
                    **condition,
                    **self._extra,
                )
            except ClientError as error:
                if condition and _is_about_condition(error):
                    raise _PutRefusedError(error) from error
                raise

    def _read(self, method: Callable[..., T], full: str) -> T:
        """Ask for an object; one that was written before there was a customer's key has none."""
        where: Any = {"Bucket": self._settings.bucket, "Key": full}
        try:
            return method(**where, **self._with_key)
        except ClientError as error:
            if not self._with_key or not s3_errors.is_unencrypted(error):
                raise
            return method(**where)

    def _exists(self, full: str, key: str) -> bool:
        try:
            with self._translated("HeadObject", key):
                self._read(self._s3().head_object, full)
        except PermanentError as error:
            if error.code == "object_missing":
                return False
            raise
        return True

    def _refuse_other_content(self, key: str, body: bytes | bytearray) -> None:
        """Return if the object holds this content: then an earlier try of ours created it."""
        try:
            same = self.get(key) == body
        except PermanentError as error:
            if error.code != "object_missing":
                raise
            raise TransientError(
                "storage_conflict", f"{key} was there and is gone", key=key
            ) from error
        if not same:
            raise PermanentError("object_exists", f"{key} exists with another content", key=key)

    def _page(self, full: str, prefix: str, token: str | None) -> "ListObjectsV2OutputTypeDef":
        more: dict[str, Any] = {} if token is None else {"ContinuationToken": token}
        with self._translated("ListObjectsV2", prefix or self.describe()):
            return self._s3().list_objects_v2(Bucket=self._settings.bucket, Prefix=full, **more)

    def _plain_key(self, found: str, full: str) -> str:
        if not found.startswith(full):
            # Some servers encode keys without saying so, slashes included.
            found = unquote_plus(found)
        if not found.startswith(full):
            raise PermanentError(
                "storage_refused", f"the listing of {full!r} has the foreign key {found!r}"
            )
        return found[len(self._with_prefix("")) :]

    def _delete_batch(self, keys: Sequence[str]) -> bool:
        """Remove objects by one request; return False if the server has no such request."""
        with self._translated("DeleteObjects", f"{len(keys)} objects"):
            try:
                answer = self._s3().delete_objects(
                    Bucket=self._settings.bucket,
                    Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
                )
            except ClientError as error:
                if s3_errors.answer_code(error) not in _UNKNOWN_REQUEST:
                    raise
                self._has_batch_delete.set(False)
                return False
        for failure in answer.get("Errors", ()):
            if rule_of_answer(failure.get("Code", ""), 0).code != "object_missing":
                raise s3_errors.translate(
                    ClientError({"Error": failure}, "DeleteObjects"),
                    "DeleteObjects",
                    failure.get("Key", ""),
                )
        return True

    def _delete_one(self, full: str) -> None:
        try:
            with self._translated("DeleteObject", full):
                self._s3().delete_object(Bucket=self._settings.bucket, Key=full)
        except PermanentError as error:
            if error.code != "object_missing":
                raise

    def _translated(self, operation: str, where: str) -> "_Translated":
        return _Translated(operation, where, self._settings.server_side_encryption)


class _PutRefusedError(Exception):
    """The server refused a PUT because of its condition."""

    def __init__(self, answer: ClientError) -> None:
        super().__init__()
        self.answer = answer


class _Translated:
    """Turns errors of botocore into ours."""

    def __init__(self, operation: str, where: str, encryption: EncryptionSettings | None) -> None:
        self._operation = operation
        self._where = where
        self._encryption = encryption

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, s3_errors.FAILURES):
            raise s3_errors.translate(
                error, self._operation, self._where, self._encryption
            ) from error


def _is_about_condition(error: ClientError) -> bool:
    return (
        s3_errors.answer_status(error) == _PRECONDITION_FAILED
        or s3_errors.answer_code(error) in _UNKNOWN_REQUEST
    )


def _proof(store: S3Store) -> ObjectStore:
    return store
