"""Server-side encryption: who keeps the keys of objects in a bucket."""

import base64
import binascii
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from agent.settings.shape import Block, refused

# AES-256.
_CUSTOMER_KEY_BYTES: Final = 32


class EncryptionSettings(Block):
    """Server-side encryption asked for with every object that is written.

    Either ``algorithm``, with keys of S3 or of KMS, or a key of the customer's (SSE-C), which S3
    does not keep: it goes with every write and every read. Source: Amazon S3 User Guide,
    "Protecting data with server-side encryption".
    """

    algorithm: Literal["AES256", "aws:kms"] | None = Field(
        default=None, description="AES256 (keys of S3) or aws:kms (keys of KMS). Default none."
    )
    kms_key_id: str | None = Field(
        default=None,
        min_length=1,
        description="Key id or ARN for aws:kms. Default: the account's own key for S3.",
    )
    bucket_key_enabled: bool | None = Field(
        default=None,
        description="Whether S3 asks KMS once for many objects, for aws:kms. Default: as the bucket"
        " says.",
    )
    sse_customer_algorithm: Literal["AES256"] | None = Field(
        default=None, description="AES256, all that SSE-C has. Default: that, with a key."
    )
    sse_customer_key: SecretStr | None = Field(
        default=None, description="Key of 32 bytes in base64, for SSE-C. Default none."
    )
    sse_customer_key_file: Annotated[Path, Field(strict=False)] | None = Field(
        default=None, description="File that holds that key, so that it stands elsewhere."
    )

    @field_validator("sse_customer_key")
    @classmethod
    def _key_is_whole(cls, key: SecretStr | None) -> SecretStr | None:
        try:
            is_whole = key is None or len(_decoded(key)) == _CUSTOMER_KEY_BYTES
        except (binascii.Error, ValueError):
            is_whole = False
        if not is_whole:
            raise refused(
                f"must be {_CUSTOMER_KEY_BYTES} bytes in base64, as `openssl rand -base64"
                f" {_CUSTOMER_KEY_BYTES}` makes them"
            )
        return key

    @model_validator(mode="after")
    def _choices_agree(self) -> Self:
        for name in ("kms_key_id", "bucket_key_enabled"):
            if getattr(self, name) is not None and self.algorithm != "aws:kms":
                raise refused(f"has a {name}, which needs algorithm: aws:kms")
        if self.sse_customer_key is not None:
            if self.algorithm is not None:
                raise refused("has both algorithm and sse_customer_key; keep one of them")
        elif self.sse_customer_algorithm is not None:
            raise refused("has sse_customer_algorithm, which needs an sse_customer_key")
        elif self.algorithm is None:
            raise refused("needs algorithm, or an sse_customer_key")
        return self

    @property
    def customer_key(self) -> bytes | None:
        """The key for SSE-C as bytes."""
        return None if self.sse_customer_key is None else _decoded(self.sse_customer_key)


def _decoded(key: SecretStr) -> bytes:
    return base64.b64decode(key.get_secret_value(), validate=True)
