"""Removing a backup so that it is whole or none, and so that another agent can go on with it.

First it is written down which backup goes and which oplog its manifest names, then the manifest
goes, then what it named. Whoever finds the notes goes on: each step may be repeated.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from agent.ports import JobContext, JobNotes

# As many as one request of S3 takes.
_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A backup that goes, and the keys of the segments that only its manifest told of."""

    backup: str
    segments: tuple[str, ...]

    def fields(self) -> Mapping[str, object]:
        """Return it as notes have it."""
        return {"deleting": self.backup, "segments": list(self.segments)}


def write_down(removal: Removal, context: JobContext, notes: JobNotes, **more: object) -> None:
    """Note what only the manifest knows, before it goes. Raises: LeaseLost."""
    context.held()
    notes.save(context.command_id, context.token, {**removal.fields(), **more})


def removal_in(noted: Mapping[str, object] | None) -> Removal | None:
    """Return the removal that was begun, if notes tell of one."""
    match noted:
        case {"deleting": str(backup), "segments": [*segments]}:
            return Removal(backup=backup, segments=tuple(map(str, segments)))
    return None


def portions(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield as many keys at a time as go in one request."""
    for begin in range(0, len(keys), _AT_ONCE):
        yield keys[begin : begin + _AT_ONCE]
