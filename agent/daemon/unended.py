"""Commands whose documents take no change: what is known of them, and what is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent.core.errors import PermanentError
from agent.core.log import Log
from agent.daemon.decisions import Reject
from agent.model.commands import CommandRecord
from agent.model.outcome import Failure, cut
from agent.model.states import State
from agent.model.status import Problem

# What the server says of a document that has no room for the state of its command, for example.
_OF_THE_DOCUMENT: Final = frozenset({"mongodb_refused", "bad_document", "document_too_large"})


def is_of_document(error: PermanentError) -> bool:
    """Whether a write failed for what the document is, and not for what the control database is."""
    return error.code in _OF_THE_DOCUMENT


def no_room(end: State | None, error: PermanentError) -> Failure:
    """Return the short failure of a job whose end, or the result with it, was refused.

    ``end``: what it would have been; None if nobody knows any more.
    """
    how = "its job has ended" if end is None else f"its job ended as {end}"
    return Failure(
        code="result_too_large",
        message=f"{how}, but its document did not take what was to be written:"
        f" {cut(error.message, 200)}",
        hint="the backups, the events and the agents' logs tell what was done",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    record: CommandRecord
    since: datetime
    failure: Failure | None


class Unended:
    """Commands that stay open because nothing can be written into them, by this coordinator."""

    def __init__(self, log: Log) -> None:
        self._log = log
        # By their texts: an _id may be a document.
        self._open: dict[str, _Open] = {}

    def note(
        self,
        record: CommandRecord,
        error: PermanentError,
        since: datetime,
        failure: Failure | None = None,
    ) -> None:
        """Remember a command; ``failure`` is the end that it needs, if its job has run."""
        name = repr(record.command_id)
        if name in self._open:
            return
        self._open[name] = _Open(record=record, since=since, failure=failure)
        self._log.error(
            "command cannot be ended", id=cut(name), code=error.code, reason=cut(error.message, 500)
        )

    def split(self, records: Sequence[CommandRecord]) -> tuple[list[CommandRecord], list[Reject]]:
        """Return which commands are as any other, and ends for those whose jobs have run."""
        left, ends = [], []
        for record in records:
            found = self._open.get(repr(record.command_id))
            if found is None or found.failure is None:
                left.append(record)
            else:
                ends.append(Reject(record=record, failure=found.failure))
        return left, ends

    def forget(self, record: CommandRecord) -> None:
        """Drop a command whose document took a change."""
        self._open.pop(repr(record.command_id), None)

    def keep(self, records: Sequence[CommandRecord]) -> None:
        """Drop all that are not open any more: somebody has deleted them."""
        names = {repr(each.command_id) for each in records}
        self._open = {name: each for name, each in self._open.items() if name in names}

    def problems(self) -> list[Problem]:
        """Return a problem for each command."""
        return [_problem(name, each) for name, each in self._open.items()]


def _problem(name: str, each: _Open) -> Problem:
    shown = cut(name)
    has_run = each.failure is not None and each.record.state is State.RUNNING
    return Problem(
        code="command_cannot_end",
        level="warning",
        message=f"the command {shown} stays open: its document has no room for its state",
        hint=f"{'it has been run' if has_run else 'nothing is done for it'}; delete it:"
        f" db.commands.deleteOne({{_id: {shown}}})",
        since=each.since,
    )
