"""Authorizations of roles in memory, which pass the contract suite of the board."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from agent.core.clock import Clock
from agent.core.errors import LeaseLost
from agent.model.leases import COORDINATOR
from agent.model.outcome import Failure
from agent.model.roles import Authorization, RoleState
from agent.ports import RoleBoard


class MemoryRoles:
    """Authorizations with the largest token that each has seen."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.by_id: dict[str, tuple[int, Authorization]] = {}

    def authorizations(self) -> Sequence[Authorization]:
        """Return all, oldest first."""
        with self._lock:
            return [value for _, value in self.by_id.values()]

    def begin(self, wanted: Authorization, token: int) -> Authorization:
        """Write a new authorization; return it, or the one of its storage in progress already."""
        with self._lock:
            for _, each in self.by_id.values():
                is_open = each.state is RoleState.IN_PROGRESS and each.storage == wanted.storage
                if is_open or each.authorization == wanted.authorization:
                    return each
            now = self._clock.now()
            made = replace(wanted, created_at=now, updated_at=now)
            self.by_id[wanted.authorization] = (token, made)
            return made

    def authorize(self, authorization: str, role_arn: str, token: int) -> bool:
        """Move from in progress to authorized; False if that one is gone or has another role."""
        with self._lock:
            found = self._unfenced(authorization, token)
            if found is None:
                return False
            if found.state is RoleState.AUTHORIZED:
                return found.role_arn == role_arn
            now = self._clock.now()
            moved = replace(
                found,
                state=RoleState.AUTHORIZED,
                role_arn=role_arn,
                last_error=None,
                authorized_at=now,
                updated_at=now,
            )
            self.by_id[authorization] = (token, moved)
            return True

    def refuse(self, authorization: str, failure: Failure, token: int) -> None:
        """Write down why it is still in progress; no error if it is not any more."""
        with self._lock:
            found = self._unfenced(authorization, token)
            if found is not None and found.state is RoleState.IN_PROGRESS:
                told = replace(found, last_error=failure, updated_at=self._clock.now())
                self.by_id[authorization] = (token, told)

    def remove(self, found: Authorization, token: int) -> bool:
        """Remove one that still has the state of `found`, or is gone; False if it moved on."""
        with self._lock:
            now = self._unfenced(found.authorization, token)
            if now is not None and now.state is not found.state:
                return False
            self.by_id.pop(found.authorization, None)
            return True

    def _unfenced(self, authorization: str, token: int) -> Authorization | None:
        seen, found = self.by_id.get(authorization, (0, None))
        if seen > token:
            raise LeaseLost(COORDINATOR)
        return found


def _proves(clock: Clock) -> RoleBoard:
    return MemoryRoles(clock)
