"""What is wrong with the last backup that was tried: pure."""

from collections.abc import Iterator

from agent.model.commands import Ended
from agent.model.states import State
from agent.model.status import Problem


def of_last(ended: Ended | None) -> Iterator[Problem]:
    """Yield a problem if the backup command that ended last failed.

    One that was canceled or rejected did not try, and says nothing.
    """
    if ended is None or ended.state is not State.FAILED:
        return
    failure = ended.failure
    yield Problem(
        code="backup_failed",
        level="error",
        message=f"the last backup failed (command {ended.command_id})",
        hint=f"{failure.code}: {failure.message}; {failure.hint}".rstrip("; ")
        if failure is not None
        else "see the command's document",
        since=ended.finished_at,
    )
