"""The doors of the role flow."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.core.clock import Clock
from agent.core.log import Log
from agent.ports import RoleBoard, RoleStorage, StatusBoard


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePorts:
    """What authorizing needs.

    ``storage`` takes a label, or None for the main one, and raises PermanentError for what no role
    can be for; ``token`` makes a text that nobody can guess; ``patience_s`` is how long a
    role that is refused is tried again, since changes in IAM take seconds to arrive everywhere.
    """

    roles: RoleBoard
    status: StatusBoard
    storage: Callable[[str | None], RoleStorage]
    token: Callable[[], str]
    replset: str
    clock: Clock
    patience_s: float
    log: Log
