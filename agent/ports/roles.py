"""Authorizations of roles, and trying a role out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.model.iam import Policy
from agent.model.outcome import Failure
from agent.model.roles import Authorization
from agent.ports.storage import ObjectStore


class RoleBoard(Protocol):
    """Authorizations in the control database: compare-and-set on their state, fenced by ``token``.

    A change under a token lower than one that the document has seen raises LeaseLost. Every
    method may be repeated when an answer was lost.
    """

    def authorizations(self) -> Sequence[Authorization]:
        """Return all, oldest first."""
        ...

    def begin(self, wanted: Authorization, token: int) -> Authorization:
        """Write a new authorization; return it, or the one of its storage in progress already."""
        ...

    def authorize(self, authorization: str, role_arn: str, token: int) -> bool:
        """Move from in progress to authorized; False if that one is gone or has another role."""
        ...

    def refuse(self, authorization: str, failure: Failure, token: int) -> None:
        """Write down why it is still in progress; no error if it is not any more."""
        ...

    def remove(self, found: Authorization, token: int) -> bool:
        """Remove one that still has the state of ``found``, or is gone; False if it moved on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleStorage:
    """A storage that a role may be authorized for.

    ``trust_policy`` makes the policy of a role that these principals may assume if they know the
    external id. ``assume`` takes a role's ARN and an external id, or None. It assumes the role
    anew with the agent's own keys, whatever role they wear otherwise, and returns the storage as
    the role sees it, which tries nothing again. It raises PermanentError ``role_denied`` and what
    else assuming ends with.
    """

    label: str
    bucket: str
    trust_policy: Callable[[Sequence[str], str], Policy]
    permission_policy: Policy
    assume: Callable[[str, str | None], ObjectStore]
