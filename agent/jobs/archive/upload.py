"""Storing one segment, however long the storage does not answer."""

from collections.abc import Callable
from typing import Final

from agent.codec.zstd import Compressed
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError, TransientError
from agent.jobs.archive.ports import ArchivePorts, Tenure
from agent.jobs.segments import put_segment
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
    segment = Archived(key=key, begin=span.begin, last=span.last, stored_bytes=done.stored_bytes)
    pause_s = _FIRST_PAUSE_S
    while True:
        tenure.held()
        try:
            passing(Point.SEGMENT_BEFORE_PUT)
            put_segment(ports.store, segment, done.body, tenure.held, ports.log)
            passing(Point.SEGMENT_STORED)
        except (TransientError, PermanentError) as error:
            if error.code == "archive_conflict":
                raise
            ports.retried()
            tell(f"{error.message}; {error.hint}" if error.hint else error.message)
        else:
            ports.log.debug("segment stored", key=key, entries=done.docs)
            return
        if tenure.stop.wait(pause_s):
            tenure.stop.check()
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
