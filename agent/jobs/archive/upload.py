"""Storing one segment, however long the storage does not answer."""

from collections.abc import Callable
from itertools import zip_longest
from typing import Final

from agent.codec.zstd import Compressed
from agent.core.errors import PermanentError, TransientError
from agent.jobs import segments
from agent.jobs.archive.ports import ArchivePorts, Tenure
from agent.model import keys
from agent.model.coverage import Archived, Span

# Short enough that the archive goes on within seconds of the end of an outage.
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 2.0


def upload(
    ports: ArchivePorts,
    tenure: Tenure,
    done: Compressed,
    span: Span,
    tell: Callable[[str], None],
) -> None:
    """Put a segment, again and again until it is there; ``tell`` gets each failure.

    Even what a person must mend is waited for: the oplog keeps what follows, and nothing that
    this agent could do instead would be better.

    Raises: LeaseLost; Stopped; PermanentError ``archive_conflict``.
    """
    identity = ports.identity
    key = keys.segment(identity.replset, identity.replset_id, span.begin, span.last)
    pause_s = _FIRST_PAUSE_S
    while True:
        tenure.held()
        try:
            if _put(ports, done, key, span):
                ports.log.debug("segment stored", key=key, entries=done.docs)
                return
        except (TransientError, PermanentError) as error:
            if error.code == "archive_conflict":
                raise
            tell(f"{error.message}; {error.hint}" if error.hint else error.message)
        if tenure.stop.wait(pause_s):
            tenure.stop.check()
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _put(ports: ArchivePorts, done: Compressed, key: str, span: Span) -> bool:
    """Put a segment once; return False if a damaged one was in its place, which is gone now."""
    try:
        ports.store.put(key, done.body)
    except PermanentError as error:
        if error.code != "object_exists":
            raise
    else:
        return True
    stored = ports.store.get(key)
    try:
        _check_same(stored, done, key, span)
    except PermanentError as error:
        if error.code != "damaged_object":
            raise
        ports.log.error("a damaged segment is replaced", key=key, reason=error.message)
        ports.store.delete([key])
        return False
    return True


def _check_same(stored: bytes, done: Compressed, key: str, span: Span) -> None:
    """Check that another archiver has stored the very same entries, if in other bytes.

    Compressed anew, the same entries may be other bytes.

    Raises: PermanentError ``archive_conflict``, ``damaged_object``.
    """
    segment = Archived(key=key, begin=span.begin, last=span.last, stored_bytes=len(stored))
    theirs = segments.parts(stored, segment)
    ours = segments.parts(bytes(done.body), segment)
    if any(one != other for one, other in zip_longest(theirs, ours)):
        raise PermanentError(
            "archive_conflict",
            f"{key} holds other entries than this replica set's oplog has",
            hint="another cluster archives to the same prefix: give each its own",
            key=key,
        )
