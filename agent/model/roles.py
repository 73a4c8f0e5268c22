"""Authorizations of roles: what must be set up in IAM for a storage, and how far that is; pure."""

import json
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from agent.model.iam import Policy
from agent.model.nodes import STALE_S
from agent.model.outcome import Failure
from agent.model.status import AgentStatus

# Source: IAM API Reference, "CreateRole": RoleName has up to 64 of these characters.
LONGEST_NAME: Final = 64
ROLE_NAME: Final = re.compile(r"^[\w+=,.@-]{1,64}$", re.ASCII)
ROLE_ARN: Final = re.compile(r"^arn:[a-z-]+:iam::\d{12}:role/[!-~]{1,576}$")
POLICY_NAME: Final = "backstay"

_ASSUMED: Final = re.compile(r"^arn:([a-z-]+):sts::(\d{12}):assumed-role/([^/]+)/.+$")
_ROOT: Final = re.compile(r"^arn:[a-z-]+:iam::\d{12}:root$")


class RoleState(StrEnum):
    """State of an authorization."""

    IN_PROGRESS = "in progress"
    AUTHORIZED = "authorized"


# None: there is no such authorization. One that is authorized begins anew only as another one.
LEGAL_MOVES: Final[dict[RoleState | None, frozenset[RoleState | None]]] = {
    None: frozenset({RoleState.IN_PROGRESS}),
    RoleState.IN_PROGRESS: frozenset({RoleState.AUTHORIZED, None}),
    RoleState.AUTHORIZED: frozenset({None}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleCommands:
    """Lines for a shell: for a role that is made, or for one that is there already."""

    create: tuple[str, ...]
    adapt: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """A role's way to being used for a storage; policies are JSON texts.

    ``principals`` are those whom the role must trust. Times are the server's; None before the
    document was written.
    """

    authorization: str
    storage: str
    state: RoleState
    external_id: str
    role_name: str
    principals: tuple[str, ...]
    trust_policy: str
    permission_policy: str
    cli: RoleCommands
    role_arn: str | None = None
    last_error: Failure | None = None
    created_at: datetime | None = None
    authorized_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an authorization is made from."""

    authorization: str
    external_id: str
    storage: str
    role_name: str
    principals: tuple[str, ...]
    trust_policy: Policy
    permission_policy: Policy


def begun(wanted: Wanted) -> Authorization:
    """Return a new authorization, with everything that its operator needs."""
    return Authorization(
        authorization=wanted.authorization,
        storage=wanted.storage,
        state=RoleState.IN_PROGRESS,
        external_id=wanted.external_id,
        role_name=wanted.role_name,
        principals=wanted.principals,
        trust_policy=wanted.trust_policy.text(),
        permission_policy=wanted.permission_policy.text(),
        cli=_commands(wanted.role_name, wanted.trust_policy, wanted.permission_policy),
    )


def settings_line(role_arn: str, external_id: str) -> str:
    """Return the line of YAML for the storage's ``s3`` block; JSON's texts are YAML's too."""
    return f"role: {{arn: {json.dumps(role_arn)}, external_id: {json.dumps(external_id)}}}"


def default_name(bucket: str) -> str:
    """Return the name of a role for a bucket, if the operator gives none."""
    return f"backstay-{bucket}"[:LONGEST_NAME]


def principal_of(identity: str) -> str | None:
    """Return whom a trust policy must name so that an identity may assume the role.

    The session of a role becomes the role, whose path STS does not tell. None for an account's
    root user, which may not assume roles (source: AWS STS API Reference, "AssumeRole").
    """
    found = _ASSUMED.match(identity)
    if found is not None:
        partition, account, name = found.groups()
        return f"arn:{partition}:iam::{account}:role/{name}"
    return None if _ROOT.match(identity) else identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """Whom AWS takes the agents for; ``unknown`` are agents that cannot tell."""

    principals: tuple[str, ...]
    unknown: tuple[str, ...]


def identities(agents: Iterable[AgentStatus], storage: str, now: datetime) -> Identities:
    """Return whose keys the agents reach a storage with, each principal once, in order."""
    principals: set[str] = set()
    unknown: list[str] = []
    for agent in agents:
        if not _is_there(agent, now):
            continue
        told = (each.identity for each in agent.access if each.storage == storage)
        identity = next(told, None)
        principal = principal_of(identity) if identity else None
        if principal is None:
            unknown.append(agent.name)
        else:
            principals.add(principal)
    return Identities(principals=tuple(sorted(principals)), unknown=tuple(sorted(unknown)))


def users_of(role_arn: str, agents: Iterable[AgentStatus], now: datetime) -> dict[str, list[str]]:
    """Return the labels of storages that use a role, with the agents that are there and say so."""
    found: dict[str, list[str]] = {}
    for agent in agents:
        for each in agent.access:
            if each.role == role_arn and _is_there(agent, now):
                found.setdefault(each.storage, []).append(agent.name)
    return found


def _is_there(agent: AgentStatus, now: datetime) -> bool:
    return (now - agent.updated_at).total_seconds() <= STALE_S


def _commands(role_name: str, trust: Policy, permissions: Policy) -> RoleCommands:
    name = shlex.quote(role_name)
    trusting = shlex.quote(_line(trust))
    permit = (
        f"aws iam put-role-policy --role-name {name} --policy-name {POLICY_NAME}"
        f" --policy-document {shlex.quote(_line(permissions))}"
    )
    create = f"aws iam create-role --role-name {name} --assume-role-policy-document {trusting}"
    adapt = f"aws iam update-assume-role-policy --role-name {name} --policy-document {trusting}"
    show = f"aws iam get-role --role-name {name} --query Role.Arn --output text"
    return RoleCommands(create=(create, permit, show), adapt=(adapt, permit, show))


def _line(policy: Policy) -> str:
    return json.dumps(policy.document(), separators=(",", ":"), ensure_ascii=False)
