"""Which action of IAM each request asks for, and policies as frozen values.

Errors, the policies that we print and the check of an agent's access take their words from here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal

Condition = Mapping[str, Mapping[str, str | Sequence[str]]]

# Every request that an agent may make, by the name that botocore gives it. GetCallerIdentity is
# not among them: it needs no permission. Sources: Amazon S3 User Guide, "Required permissions for
# Amazon S3 API operations"; STS API Reference, "AssumeRole".
ACTIONS: Final[Mapping[str, str]] = MappingProxyType({
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "GetBucketVersioning": "s3:GetBucketVersioning",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "AssumeRole": "sts:AssumeRole",
})
# What S3 does with a KMS key on behalf of whoever writes and reads. Source: Amazon S3 User Guide,
# "Using server-side encryption with AWS KMS keys".
KMS_WRITE: Final = "kms:GenerateDataKey"
KMS_READ: Final = "kms:Decrypt"

_VERSION: Final = "2012-10-17"


def action_of(request: str) -> str:
    """Return the action that a request asks for; its own name if it is not one of ours."""
    return ACTIONS.get(request, request)


def literal(text: str) -> str:
    """Return a text as it must stand in a resource or a pattern to mean itself.

    Source: IAM User Guide, "IAM policy elements: Variables and tags", special characters.
    """
    return "".join(f"${{{letter}}}" if letter in "*?$" else letter for letter in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of a policy.

    ``resources`` is empty in trust policies, ``principal`` in policies of users and roles.
    """

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ()
    effect: Literal["Allow", "Deny"] = "Allow"
    principal: str | Mapping[str, Sequence[str]] | None = None
    condition: Condition = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """Return the statement as AWS reads it."""
        made: dict[str, object] = {"Sid": self.sid, "Effect": self.effect}
        if self.principal is not None:
            made["Principal"] = (
                self.principal
                if isinstance(self.principal, str)
                else {kind: _short(names) for kind, names in self.principal.items()}
            )
        made["Action"] = _short(self.actions)
        if self.resources:
            made["Resource"] = _short(self.resources)
        if self.condition:
            made["Condition"] = {
                operator: {
                    key: value if isinstance(value, str) else _short(value)
                    for key, value in keys.items()
                }
                for operator, keys in self.condition.items()
            }
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy: of a user or role, of a bucket, or of whom a role trusts."""

    statements: tuple[Statement, ...]

    def actions(self) -> tuple[str, ...]:
        """Return the actions that it allows, in order."""
        return tuple(
            action
            for statement in self.statements
            if statement.effect == "Allow"
            for action in statement.actions
        )

    def document(self) -> dict[str, object]:
        """Return the policy as AWS reads it."""
        statements = [statement.document() for statement in self.statements]
        return {"Version": _VERSION, "Statement": statements}

    def text(self) -> str:
        """Return the policy as JSON to paste."""
        return json.dumps(self.document(), indent=2, ensure_ascii=False)


def _short(values: Sequence[str]) -> str | list[str]:
    """Return a single value without its list, as people write it."""
    return values[0] if len(values) == 1 else list(values)
