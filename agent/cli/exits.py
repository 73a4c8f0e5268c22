"""Exit statuses: what a script can tell from how a verb ended."""

from enum import IntEnum
from typing import Final

from agent.model.states import State


class Exit(IntEnum):
    """Exit status of every verb; 2 is click's own for wrong usage."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    FAILED = 3
    REJECTED = 4
    EXPIRED = 5
    CANCELED = 6
    NOT_SAFE = 8
    CONFIG = 78
    INTERRUPTED = 130


OF_STATE: Final = {
    State.DONE: Exit.DONE,
    State.FAILED: Exit.FAILED,
    State.REJECTED: Exit.REJECTED,
    State.EXPIRED: Exit.EXPIRED,
    State.CANCELED: Exit.CANCELED,
}

EPILOG: Final = (
    "Exit status: 0 the command ended done (or, with --no-wait, was inserted); 1 an error, such"
    " as a server that cannot be reached; 2 wrong usage; 3 failed; 4 rejected; 5 expired, taken"
    " by no agent in time; 6 canceled; 8 status says not safe; 78 the configuration is wrong;"
    " 130 interrupted while following a command that goes on."
)
