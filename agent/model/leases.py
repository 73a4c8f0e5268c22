"""Leases: the right of one agent to act, proved by a fencing token."""

from dataclasses import dataclass
from typing import Final

COORDINATOR: Final = "coordinator"
ARCHIVER: Final = "archiver"
# Long enough for a node's election, short enough that a dead agent is replaced within 20 s.
LEASE_S: Final = 15.0
# Renewed three times within its life.
RENEW_S: Final = 4.0
# A holder stops this long before the server would give its lease away, by its own clock.
MARGIN_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A lease that the control database gave.

    ``token`` grows with every change of holder and never restarts, even when the control
    database was dropped in between.
    """

    name: str
    holder: str
    token: int


def deadline(asked_at: float, duration_s: float = LEASE_S) -> float:
    """Return the local monotonic time at which the holder must have stopped.

    ``asked_at`` is read before the request was sent: the server's count starts later.
    """
    return asked_at + duration_s - MARGIN_S
