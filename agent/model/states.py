"""The life of a command as data: which state may follow which."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """State of a command; a document just inserted has none."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"


LEGAL_MOVES: Final[dict[State | None, frozenset[State]]] = {
    None: frozenset({State.ACCEPTED, State.REJECTED, State.EXPIRED}),
    State.ACCEPTED: frozenset({State.RUNNING, State.REJECTED, State.FAILED, State.CANCELED}),
    State.RUNNING: frozenset({State.DONE, State.FAILED, State.CANCELED}),
    State.DONE: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
    State.REJECTED: frozenset(),
    State.EXPIRED: frozenset(),
}

END_STATES: Final = frozenset(state for state, then in LEGAL_MOVES.items() if state and not then)


def may_move(old: State | None, new: State) -> bool:
    """Whether a command may go from ``old`` (None: just inserted) to ``new``."""
    return new in LEGAL_MOVES[old]
