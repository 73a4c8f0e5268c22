"""The storage blocks: where objects are kept and how to reach them."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from agent.settings.bucket import broken_rule
from agent.settings.encryption import EncryptionSettings
from agent.settings.shape import Block, refused

_LABEL: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")
# S3 keys have at most 1024 bytes; the longest that we add to a prefix has under 800.
_LONGEST_PREFIX_BYTES: Final = 200


class CredentialSettings(Block):
    """Static keys; they override every other source."""

    access_key_id: SecretStr = Field(description="Access key id.")
    secret_access_key: SecretStr = Field(description="Secret access key.")
    session_token: SecretStr | None = Field(
        default=None, description="Session token, only of temporary keys. Default none."
    )


class RoleSettings(Block):
    """A role to assume with the credentials that were found."""

    arn: str = Field(pattern=r"^arn:[a-z-]+:iam::\d{12}:role/.+$", description="ARN of the role.")
    external_id: str | None = Field(
        default=None, description="External id that the role's trust policy asks for. Default none."
    )
    session_name: str = Field(
        default="backstay",
        pattern=r"^[\w+=,.@-]{2,64}$",
        description="Name of the session in CloudTrail.",
    )
    duration_s: int = Field(
        default=3600,
        ge=900,
        le=43200,
        description="Life of the assumed credentials, seconds. 3600 is what every role allows.",
    )


class RetrySettings(Block):
    """How long a request that failed for the moment is tried again."""

    limit_s: float = Field(
        default=120.0,
        ge=0,
        le=3600,
        description="Seconds from the first try. 120 outlasts a fail-over of most stores.",
    )
    first_wait_s: float = Field(
        default=0.1, gt=0, le=60, description="Longest wait before the second try, seconds."
    )
    longest_wait_s: float = Field(
        default=5.0, gt=0, le=300, description="Longest wait between two tries, seconds."
    )


class S3Settings(Block):
    """A bucket of Amazon S3 or of a server that speaks its protocol."""

    region: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9-]+$",
        description="Region of the bucket. Default $AWS_REGION, then $AWS_DEFAULT_REGION.",
    )
    bucket: str = Field(description="Name of the bucket; it must exist.")
    prefix: str = Field(
        default="", description="Prefix of every key; slashes at its ends do not count."
    )
    endpoint_url: str | None = Field(
        default=None, description="http or https address of another S3 server. Default Amazon's."
    )
    force_path_style: bool | None = Field(
        default=None,
        description="true: endpoint/bucket/key; false: bucket.endpoint/key. Default: path style"
        " with an endpoint_url, virtual-host style at Amazon.",
    )
    insecure_skip_tls_verify: bool = Field(
        default=False, description="Accept any certificate: for tests only."
    )
    ca_file: Annotated[Path, Field(strict=False)] | None = Field(
        default=None, description="PEM file of certificate authorities. Default: well-known ones."
    )
    credentials: CredentialSettings | None = Field(
        default=None, description="Static keys. Default: what the environment gives."
    )
    role: RoleSettings | None = Field(default=None, description="Role to assume. Default none.")
    awaits_role: bool = Field(
        default=False,
        description="Start although the bucket may not be used yet: a role for it is being set up.",
    )
    server_side_encryption: EncryptionSettings | None = Field(
        default=None, description="Encryption to ask for. Default: what the bucket does by itself."
    )
    storage_class: str | None = Field(
        default=None,
        pattern=r"^[A-Z0-9_]+$",
        description="Storage class of new objects. Default STANDARD.",
    )
    checksums: Literal["when_supported", "when_required"] = Field(
        default="when_supported",
        description="when_supported: a CRC32 goes with every upload; when_required: for servers"
        " that refuse that header, uploads are signed by SHA-256 instead.",
    )
    conditional_puts: bool = Field(
        default=True,
        description="Create with If-None-Match: *; false for servers that ignore or refuse it.",
    )
    connect_timeout_s: float = Field(
        default=10.0,
        ge=0.1,
        le=300,
        description="Seconds to connect, and to hand over each 256 KiB of an upload.",
    )
    read_timeout_s: float = Field(
        default=60.0,
        ge=0.1,
        le=900,
        description="Seconds to wait for the next byte of an answer. An upload or an answer as a"
        " whole has so long too, and a second more for each 4 KiB of it.",
    )
    retries: RetrySettings = Field(default=RetrySettings(), description="When to try again.")

    @field_validator("bucket")
    @classmethod
    def _bucket_is_sound(cls, name: str) -> str:
        rule = broken_rule(name)
        if rule is not None:
            raise refused(f"{rule} (S3's rules for bucket names; got {name!r})")
        return name

    @field_validator("prefix")
    @classmethod
    def _prefix_is_plain(cls, prefix: str) -> str:
        plain = prefix.strip("/")
        if any(part in {"", ".", ".."} for part in plain.split("/")) and plain:
            raise refused("must not have empty parts, '.' or '..' between its slashes")
        if any(not letter.isprintable() for letter in plain):
            raise refused("must not have control characters")
        if len(plain.encode()) > _LONGEST_PREFIX_BYTES:
            raise refused(f"must not be longer than {_LONGEST_PREFIX_BYTES} bytes")
        return plain

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_is_an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            raise refused("must be an address such as https://s3.example.net:9000") from None
        if parts.scheme not in {"http", "https"} or not has_host:
            raise refused("must be an address such as https://s3.example.net:9000")
        if parts.username is not None or parts.query or parts.fragment:
            raise refused("must have neither user, query nor fragment; keys go to credentials")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _tls_choices_agree(self) -> Self:
        if self.insecure_skip_tls_verify and self.ca_file is not None:
            raise refused("has both ca_file and insecure_skip_tls_verify; keep ca_file")
        return self

    @model_validator(mode="after")
    def _customer_key_stays_secret(self) -> Self:
        encryption = self.server_side_encryption
        if encryption is not None and encryption.customer_key is not None and self._is_in_clear():
            # S3 refuses such requests too, when the key has already been on the wire.
            raise refused(
                "has an sse_customer_key, which must not travel over http; set endpoint_url to"
                " an https address"
            )
        return self

    def _is_in_clear(self) -> bool:
        """Whether others could read what is sent; nobody reads the loopback interface."""
        parts = urlsplit(self.endpoint_url or "https://amazon")
        if parts.scheme == "https" or parts.hostname == "localhost":
            return False
        try:
            return not ipaddress.ip_address(parts.hostname or "").is_loopback
        except ValueError:
            return True


class FilesystemSettings(Block):
    """A directory, for trials and for network file systems."""

    path: Annotated[Path, Field(strict=False)] = Field(
        description="Absolute path of a directory that exists, so that a file system that is not"
        " mounted is noticed."
    )

    @field_validator("path")
    @classmethod
    def _path_is_absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise refused("must be an absolute path")
        return path


class StorageSettings(Block):
    """One storage: a label, and one of the types."""

    label: str = Field(default="main", description="Name of the storage in commands and status.")
    type: Literal["s3", "filesystem"] = Field(description="Which of the blocks below is used.")
    s3: S3Settings | None = Field(default=None, description="For type s3.")
    filesystem: FilesystemSettings | None = Field(default=None, description="For type filesystem.")

    @field_validator("label")
    @classmethod
    def _label_is_a_word(cls, label: str) -> str:
        if _LABEL.match(label) is None:
            raise refused("must be up to 63 letters, digits, hyphens and underscores")
        return label

    @property
    def place(self) -> tuple[str, ...]:
        """Where objects are kept: equal for two blocks only if it is the same place."""
        if self.s3 is not None:
            return (self.s3.endpoint_url or "", self.s3.bucket, self.s3.prefix)
        return ("", str(self.filesystem and self.filesystem.path))

    @model_validator(mode="after")
    def _block_fits_type(self) -> Self:
        blocks = {"s3": self.s3, "filesystem": self.filesystem}
        if blocks[self.type] is None:
            raise refused(f"has type {self.type} but no {self.type} block")
        for name, block in blocks.items():
            if block is not None and name != self.type:
                raise refused(f"has type {self.type} and a {name} block; keep one of them")
        return self
