"""What every job is to the daemon that runs it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.model.progress import Progress

# The reason of a stop that came from a cancel command; any other stop leaves the work to the
# next coordinator.
CANCELED: Final = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What a job knows of the command that caused it.

    ``token`` is the coordinator's fencing token and goes with every write; ``held`` raises
    LeaseLost when the coordinator's lease can no longer be proved, and is called before each
    step that others would see. ``tell`` writes the job's progress down at once, for what must
    be known of it if everybody dies; raises TransientError, LeaseLost.
    """

    command_id: object
    agent: str
    token: int
    stop: Stop
    held: Callable[[], None]
    tell: Callable[[], None] = lambda: None


class JobError(PermanentError):
    """The work was done to its end, and what it found is a failure; ``result`` says all of it."""

    def __init__(self, code: str, message: str, *, hint: str, result: Mapping[str, object]) -> None:
        super().__init__(code, message, hint=hint)
        self.result = result


class Job(Protocol):
    """One command's work, run in a thread of its own by the coordinator."""

    def plan(self) -> None:
        """Find out whether and how the work can be done; touches nothing.

        Not called when an earlier coordinator has begun the work (the command is already
        ``running``): ``run`` then finds out by itself what it needs.

        Raises: PermanentError if it cannot: the command is rejected.
        """
        ...

    def run(self) -> Mapping[str, object]:
        """Do the work and return the command's result.

        Goes on where an earlier coordinator's run ended, if it did. Raises: PermanentError
        after cleaning up (the command failed; a JobError keeps its result); Stopped: after
        cleaning up if the stop's reason is ``CANCELED``, else at once; LeaseLost or
        TransientError at once, leaving everything to the next coordinator.
        """
        ...

    def progress(self) -> Progress:
        """Return how far the work is; cheap, and callable from any thread."""
        ...

    def may_cancel(self) -> bool:
        """Whether the work can still be undone."""
        ...

    def give_up(self) -> None:
        """Remove what a ``run`` that ended with a TransientError left, since none will follow.

        Called at most once, after ``run``. Raises: TransientError, if it cannot now; LeaseLost.
        """
        ...
