"""The least that AWS must allow: permissions for a bucket, its own policy, and whom a role trusts.

Pure: nothing is asked, so that it works before there is any access.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from agent.model.iam import ACTIONS, KMS_READ, KMS_WRITE, Condition, Policy, Statement, literal
from agent.settings import S3Settings

# What regions of other partitions begin with. Source: botocore's partitions.json; a test compares.
_PARTITIONS: Final = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
    "eusc-": "aws-eusc",
}
_CHINA: Final = "aws-cn"

_LIST: Final = (ACTIONS["ListObjectsV2"],)
_READ: Final = (ACTIONS["GetObject"],)
_WRITE: Final = (*_READ, ACTIONS["PutObject"], ACTIONS["DeleteObject"])
_LOOK: Final = (
    ACTIONS["GetBucketVersioning"],
    ACTIONS["GetBucketLifecycleConfiguration"],
    ACTIONS["GetBucketEncryption"],
)
# With any of these, what was deleted could be made to be gone for good.
_FORGET_VERSIONS: Final = ("s3:DeleteObjectVersion",)
_STOP_VERSIONS: Final = ("s3:PutBucketVersioning", "s3:PutLifecycleConfiguration")

# Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3".
_ENCRYPTION: Final = "s3:x-amz-server-side-encryption"
_OF_CUSTOMER: Final = "s3:x-amz-server-side-encryption-customer-algorithm"
_OF_S3: Final = "AES256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which policy is wanted."""

    is_versioned: bool = False
    """Nobody who holds the agent's keys may end the versions that a deletion leaves."""
    is_encryption_required: bool = False
    """An upload that does not ask for the configured encryption is denied."""
    has_kms_key: bool = False
    """The bucket encrypts by a key of KMS that the configuration does not name."""
    is_restore_only: bool = False
    """Nothing is written."""


PLAIN: Final = Scope()


def partition_of(region: str | None) -> str:
    """Return the partition of a region; that of most regions if none is known."""
    for beginning, partition in _PARTITIONS.items():
        if (region or "").startswith(beginning):
            return partition
    return "aws"


def permissions(s3: S3Settings, region: str | None, scope: Scope = PLAIN) -> Policy:
    """Return what an agent's user or role must be allowed for its bucket, and nothing beyond.

    Listings are limited to the prefix. S3 compares the key with ``s3:prefix`` too when it decides
    whether a missing object is a 404 or a 403, so that limit does no harm. Source: the gateway of
    Ceph, which was made to do the same (ceph/ceph, pull request 68577).
    """
    place = _Place(s3, region)
    statements = [
        Statement(
            sid="ListBackups",
            actions=_LIST,
            resources=(place.bucket,),
            condition={"StringLike": {"s3:prefix": place.pattern}} if s3.prefix else {},
        ),
        Statement(
            sid="ReadBackups" if scope.is_restore_only else "ReadAndWriteBackups",
            actions=_READ if scope.is_restore_only else _WRITE,
            resources=(place.objects,),
        ),
        Statement(sid="LookAtBucket", actions=_LOOK, resources=(place.bucket,)),
    ]
    statements += place.key(scope)
    if scope.is_versioned:
        statements += [
            _deny("KeepVersions", _FORGET_VERSIONS, place.objects),
            _deny("KeepVersioning", _STOP_VERSIONS, place.bucket),
        ]
    if scope.is_encryption_required:
        statements += place.encryption(principal=None)
    return Policy(statements=tuple(statements))


def bucket_policy(s3: S3Settings, region: str | None) -> Policy:
    """Return a policy for the bucket: nobody uploads below the prefix without the encryption."""
    return Policy(statements=tuple(_Place(s3, region).encryption(principal="*")))


def may_assume(role_arn: str) -> Policy:
    """Return what the identity that assumes a role must be allowed."""
    statement = Statement(
        sid="AssumeRole", actions=(ACTIONS["AssumeRole"],), resources=(literal(role_arn),)
    )
    return Policy(statements=(statement,))


class _Place:
    """Where a storage's objects lie, as IAM names it."""

    def __init__(self, s3: S3Settings, region: str | None) -> None:
        self._s3 = s3
        self._region = region
        self._partition = partition_of(region)
        self.pattern = f"{literal(s3.prefix)}/*" if s3.prefix else "*"
        self.bucket = f"arn:{self._partition}:s3:::{s3.bucket}"
        self.objects = f"{self.bucket}/{self.pattern}"

    def encryption(self, principal: str | None) -> list[Statement]:
        """Return the two statements that deny uploads without the encryption, or with another.

        Source: AWS Security Blog, "How to Prevent Uploads of Unencrypted Objects to Amazon S3".
        """
        header, algorithm = self._demanded()
        conditions: dict[str, Condition] = {
            "DenyUnencryptedUploads": {"Null": {header: "true"}},
            "DenyOtherEncryption": {"StringNotEquals": {header: algorithm}},
        }
        return [
            _deny(sid, (ACTIONS["PutObject"],), self.objects, condition, principal)
            for sid, condition in conditions.items()
        ]

    def key(self, scope: Scope) -> list[Statement]:
        """Return what S3 must be allowed to do with a KMS key on the agent's behalf, if it has one.

        The account's own key for S3 allows it by its own policy. Source: AWS KMS Developer Guide,
        "Condition keys for AWS KMS" (kms:ViaService, kms:ResourceAliases).
        """
        encryption = self._s3.server_side_encryption
        key_id = None if encryption is None else encryption.kms_key_id
        if key_id is None and not scope.has_kms_key:
            return []
        condition: dict[str, dict[str, str | Sequence[str]]] = {}
        services = self._services()
        if services:
            condition["StringEquals"] = {"kms:ViaService": services}
        resource = self._key_arn(key_id)
        alias = _alias_in(key_id)
        if alias:
            condition["ForAnyValue:StringEquals"] = {"kms:ResourceAliases": alias}
        actions = (KMS_READ,) if scope.is_restore_only else (KMS_WRITE, KMS_READ)
        return [
            Statement(sid="UseKey", actions=actions, resources=(resource,), condition=condition)
        ]

    def _demanded(self) -> tuple[str, str]:
        """Return the encryption that uploads must ask for; that of S3 if none is configured."""
        encryption = self._s3.server_side_encryption
        if encryption is None:
            return _ENCRYPTION, _OF_S3
        if encryption.algorithm is None:
            return _OF_CUSTOMER, _OF_S3
        return _ENCRYPTION, encryption.algorithm

    def _services(self) -> Sequence[str]:
        if self._region is None or self._s3.endpoint_url is not None:
            return ()
        name = f"s3.{self._region}.amazonaws.com"
        return (name, f"{name}.cn") if self._partition == _CHINA else (name,)

    def _key_arn(self, key_id: str | None) -> str:
        alias = _alias_in(key_id)
        if key_id is not None and key_id.startswith("arn:"):
            return f"{key_id.removesuffix(alias)}key/*" if alias else key_id
        key = "*" if key_id is None or alias else key_id
        # The account is not known here, and a key id is unique without it.
        return f"arn:{self._partition}:kms:{self._region or '*'}:*:key/{key}"


def _alias_in(key_id: str | None) -> str:
    """Return ``alias/...`` of an alias or its ARN: permissions go by keys, not by aliases."""
    _, mark, name = (key_id or "").partition("alias/")
    return f"{mark}{name}"


def _deny(
    sid: str,
    actions: tuple[str, ...],
    resource: str,
    condition: Condition | None = None,
    principal: str | None = None,
) -> Statement:
    return Statement(
        sid=sid,
        effect="Deny",
        principal=principal,
        actions=actions,
        resources=(resource,),
        condition=condition or {},
    )
