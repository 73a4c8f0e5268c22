"""Tests of a bucket, by the very requests that backups make, and two of its settings."""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from agent.model import keys
from agent.model.check import Finding
from agent.settings import EncryptionSettings, S3Settings
from agent.storage.asking import Asked, asked, tried
from agent.storage.lifecycle import NO_RULES, removes_old_versions, threats
from agent.storage.object_check import BODY, ObjectCheck, Site
from agent.storage.s3_arguments import customer_key

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

T = TypeVar("T")

# Amazon S3 refuses requests beyond the second (API Reference, RequestTimeTooSkewed).
_SKEW_WARNS_S: Final = 60.0
_SKEW_FAILS_S: Final = 900.0
_SKEW_HINT: Final = "let NTP or chrony set this host's clock"
_NONE: Final = "none"
_OF_CUSTOMER: Final = "SSE-C with the configured key"
_NO_DEFAULT: Final = frozenset({"ServerSideEncryptionConfigurationNotFoundError"})


class BucketCheck:
    """The tests of one bucket; ``connect`` gives the client for what a store does not do."""

    def __init__(self, site: Site, settings: S3Settings, connect: "Callable[[], S3Client]") -> None:
        self._site = site
        self._settings = settings
        self._bucket = settings.bucket
        self._s3 = connect
        self._found = site.findings
        self._object = ObjectCheck(site)
        self._root = self._with_prefix(keys.replset_root(site.replset))

    def findings(self) -> Iterator[Finding]:
        """Yield what the tests find; those that could only fail the same way are left out."""
        yield self._of_name()
        listed = self._asked(
            "ListObjectsV2",
            lambda: self._s3().list_objects_v2(Bucket=self._bucket, Prefix=self._root, MaxKeys=1),
        )
        yield from self._of_listing(listed)
        if listed.error is None or listed.error.code == "storage_denied":
            yield from self._object.findings(self._of_refused_put, self._of_encryption)
            yield from self._of_settings()

    # -- the bucket as a whole

    def _of_name(self) -> Finding:
        # Other rules for names were checked when the configuration was read.
        is_virtual_host = not (self._settings.force_path_style or self._settings.endpoint_url)
        if "." in self._bucket and is_virtual_host:
            return self._found.of(
                "bucket name",
                "warning",
                f"{self._bucket} has dots, for which Amazon's certificate does not hold",
                hint="set force_path_style: true, or use a bucket without dots",
            )
        return self._found.ok("bucket name", f"{self._bucket} keeps to S3's rules")

    def _of_listing(self, listed: Asked[Any]) -> Iterator[Finding]:
        yield from self._of_clock(listed)
        if listed.error is not None and listed.error.code == "storage_wrong_region":
            yield self._found.failed("region", listed.error)
            return
        if listed.headers:
            yield self._of_region(listed)
        if listed.error is None:
            yield self._found.ok("list", f"{self._site.store.describe()} can be listed")
        else:
            yield self._found.failed("list", listed.error, listed.missing)

    def _of_region(self, listed: Asked[Any]) -> Finding:
        used = self._s3().meta.region_name
        true = listed.headers.get("x-amz-bucket-region")
        if true is None:
            return self._found.ok("region", f"{used}; the server does not tell the bucket's")
        if true == used:
            return self._found.ok("region", f"{used}, as the bucket's")
        return self._found.of(
            "region",
            "failed",
            f"the bucket is in {true}, requests go to {used}",
            hint=f"set storage.s3.region to {true}",
        )

    def _of_clock(self, listed: Asked[Any]) -> Iterator[Finding]:
        theirs = _date(listed.headers.get("date", ""))
        if theirs is None:
            return
        skew_s = (self._site.clock.now() - theirs).total_seconds()
        where = "ahead of" if skew_s > 0 else "behind"
        message = f"this host's clock is {abs(skew_s):.0f} s {where} the server's"
        is_refused = listed.error is not None and listed.error.code == "storage_clock_skew"
        if is_refused or abs(skew_s) > _SKEW_FAILS_S:
            yield self._found.of("clock", "failed", message, hint=_SKEW_HINT)
        elif abs(skew_s) >= _SKEW_WARNS_S:
            yield self._found.of("clock", "warning", message, hint=_SKEW_HINT)
        else:
            yield self._found.ok("clock", "this host's clock agrees with the server's")

    # -- encryption

    def _of_refused_put(self, put: Asked[None]) -> Finding:
        """Find out whether the bucket wants encryption, which the refusal does not tell."""
        assert put.error is not None  # noqa: S101 - for the type checker
        if put.error.code == "storage_denied" and self._settings.server_side_encryption is None:
            for algorithm in ("AES256", "aws:kms"):
                if self._takes(algorithm):
                    return self._found.of(
                        "put",
                        "failed",
                        f"the bucket refuses objects without encryption, and takes {algorithm}",
                        hint=f'set storage.s3.server_side_encryption.algorithm: "{algorithm}"',
                    )
        return self._found.failed("put", put.error, put.missing)

    def _takes(self, algorithm: str) -> bool:
        name, more = self._with_prefix(self._object.key), {"ServerSideEncryption": algorithm}
        written = self._asked(
            "PutObject",
            lambda: self._s3().put_object(
                Bucket=self._bucket,
                Key=name,
                Body=BODY,
                **more,  # type: ignore[arg-type]
            ),
        )
        if written.error is None:
            tried("DeleteObject", self._object.remove)
        return written.error is None

    def _of_encryption(self) -> Iterator[Finding]:
        name = self._with_prefix(self._object.key)
        key = customer_key(self._settings)
        head = self._asked(
            "HeadObject", lambda: self._s3().head_object(Bucket=self._bucket, Key=name, **key)
        )
        if head.error is not None:
            yield self._found.failed("encryption", head.error, head.missing)
            return
        answer: Any = head.answer
        shown, wanted = _shown(answer), self._settings.server_side_encryption
        if wanted is None:
            is_bare = shown == _NONE
            message = "none, nor asked for" if is_bare else f"{shown}, by the bucket's own default"
            yield self._found.ok("encryption", message)
        elif _is_as_asked(answer, wanted):
            yield self._found.ok("encryption", f"{shown}, as asked for")
        else:
            named = f" with the key {wanted.kms_key_id}" if wanted.kms_key_id else ""
            yield self._found.of(
                "encryption",
                "failed",
                f"asked for {wanted.algorithm or _OF_CUSTOMER}{named}, but the object has {shown}",
                hint="the server does not heed server_side_encryption; see its documentation",
            )

    # -- settings

    def _of_settings(self) -> Iterator[Finding]:
        read = self._asked(
            "GetBucketLifecycleConfiguration",
            lambda: self._s3().get_bucket_lifecycle_configuration(Bucket=self._bucket),
            nothing=NO_RULES,
        )
        # Not every server leaves out what it has none of in the way that Amazon does.
        answer: Any = read.answer or {}
        rules = answer.get("Rules", ())
        if read.error is not None:
            yield self._unknown("lifecycle", read, "whether rules delete or archive backups")
        elif found := threats(rules, self._root):
            yield self._found.of(
                "lifecycle",
                "failed",
                f"of the objects under {self._root}, {'; '.join(found)}",
                hint="keep the rule away from our prefix: a backup that lacks an object is none",
            )
        else:
            yield self._found.ok("lifecycle", f"no rule deletes or archives {self._root}")
        yield self._of_versioning(goes=removes_old_versions(rules, self._root))
        yield self._of_default()

    def _of_versioning(self, *, goes: bool) -> Finding:
        read = self._asked(
            "GetBucketVersioning", lambda: self._s3().get_bucket_versioning(Bucket=self._bucket)
        )
        if read.error is not None:
            return self._unknown("versioning", read, "whether deleted backups go on to cost")
        status = read.answer.get("Status") if read.answer else None
        if status is None:
            return self._found.ok("versioning", "off: what is deleted is gone")
        if goes:
            message = f"{status.lower()}, and a rule removes noncurrent versions"
            return self._found.ok("versioning", message)
        return self._found.of(
            "versioning",
            "warning",
            f"{status.lower()}: deleted backups stay as noncurrent versions, and go on to cost",
            hint="add a lifecycle rule with NoncurrentVersionExpiration for our prefix",
        )

    def _of_default(self) -> Finding:
        read = self._asked(
            "GetBucketEncryption",
            lambda: self._s3().get_bucket_encryption(Bucket=self._bucket),
            nothing=_NO_DEFAULT,
        )
        if read.error is not None:
            return self._unknown("default encryption", read, "what the bucket encrypts by itself")
        answer: Any = read.answer or {}
        rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", ())
        shown = ", ".join(_default(rule) for rule in rules) or _NONE
        return self._found.ok("default encryption", f"the bucket's own is {shown}")

    def _unknown(self, test: str, read: Asked[Any], what: str) -> Finding:
        """Return a warning: no backup needs to read a setting."""
        assert read.error is not None  # noqa: S101 - for the type checker
        if read.error.code == "storage_unsupported":
            return self._found.ok(test, "the server has no such setting")
        hint = read.error.hint
        if read.missing is not None:
            hint = f"allow {read.missing} on the bucket; nothing but this test needs it"
        message = f"it cannot be told {what}: {read.error.message}"
        return self._found.of(
            test, "warning", message, missing=read.missing, hint=hint, code=read.error.code
        )

    def _asked(
        self, operation: str, call: Callable[[], T], *, nothing: frozenset[str] = frozenset()
    ) -> Asked[T]:
        return asked(
            operation,
            self._site.store.describe(),
            call,
            encryption=self._settings.server_side_encryption,
            nothing=nothing,
        )

    def _with_prefix(self, key: str) -> str:
        return f"{self._settings.prefix}/{key}" if self._settings.prefix else key


def _date(header: str) -> datetime | None:
    try:
        return parsedate_to_datetime(header).astimezone(UTC)
    except ValueError:
        return None


def _default(rule: Mapping[str, Any]) -> str:
    found = rule.get("ApplyServerSideEncryptionByDefault", {})
    has, key_id = found.get("SSEAlgorithm", _NONE), found.get("KMSMasterKeyID")
    return f"{has} with the key {key_id}" if key_id else str(has)


def _shown(answer: Mapping[str, Any]) -> str:
    if answer.get("SSECustomerAlgorithm"):
        return _OF_CUSTOMER
    key_id = answer.get("SSEKMSKeyId")
    has = str(answer.get("ServerSideEncryption") or _NONE)
    return f"{has} with the key {key_id}" if key_id else has


def _is_as_asked(answer: Mapping[str, Any], wanted: EncryptionSettings) -> bool:
    if wanted.customer_key is not None:
        return answer.get("SSECustomerAlgorithm") == "AES256"
    is_same = answer.get("ServerSideEncryption") == wanted.algorithm
    return is_same and _is_key(wanted.kms_key_id, answer.get("SSEKMSKeyId", ""))


def _is_key(wanted: str | None, key_id: str) -> bool:
    """Whether the key is the one asked for; an alias stands for a key that it does not tell."""
    if wanted is None or "alias/" in wanted:
        return True
    return wanted == key_id or key_id.endswith(f"/{wanted}") or wanted.endswith(f"/{key_id}")
