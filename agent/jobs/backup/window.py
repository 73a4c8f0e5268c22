"""The oplog that a backup keeps when not everything could be read at one cluster time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.codec import documents, framing, oplog
from agent.codec.zstd import ChunkCompressor, sha256
from agent.core.errors import PermanentError
from agent.core.log import Log
from agent.jobs.segments import put_segment
from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived
from agent.model.manifest import Segment, Window
from agent.ports import ObjectStore, OplogReader

_SEGMENT_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowPlace:
    """Where segments go, and how they are compressed; ``held`` raises when the job is lost."""

    store: ObjectStore
    replset: str
    replset_id: str
    level: int
    held: Callable[[], None]
    log: Log


class WindowRecorder:
    """Stores the oplog after ``begin`` step by step, so that none of it rolls over meanwhile.

    Owned by one thread; goes on after the segments that are there.
    """

    def __init__(
        self,
        place: WindowPlace,
        oplog: OplogReader,
        begin: ClusterTime,
        segments: Sequence[Segment],
    ) -> None:
        self._place = place
        self._oplog = oplog
        self._begin = begin
        self._segments = list(segments)

    @property
    def reached(self) -> ClusterTime:
        """The cluster time up to which everything is stored."""
        return self._segments[-1].last if self._segments else self._begin

    def advance(self, last: ClusterTime) -> None:
        """Store everything up to and with ``last``, the time of a majority-committed entry.

        Raises: PermanentError ``oplog_rolled`` if the oplog no longer reaches back,
        ``compatibility_changed`` if it has an entry that no restore can cross.
        """
        if last <= self.reached:
            return
        piece = ChunkCompressor(self._place.level)
        for batch in self._oplog.read(self.reached, last):
            _check_no_barrier(bytes(batch.data))
            piece.add(batch.data, batch.docs)
            if piece.stored_bytes >= _SEGMENT_BYTES:
                self._close(piece, _last_time(batch.data))
        if last > self.reached:
            self._close(piece, last)

    def _close(self, piece: ChunkCompressor, last: ClusterTime) -> None:
        begin = self.reached
        key = keys.segment(self._place.replset, self._place.replset_id, begin, last)
        done = piece.finish()
        segment = Archived(key=key, begin=begin, last=last, stored_bytes=done.stored_bytes)
        # A coordinator that died before it wrote that down may have stored the same entries.
        place = self._place
        body = put_segment(place.store, segment, done.body, place.held, place.log)
        self._segments.append(
            Segment(
                key=key,
                begin=begin,
                last=last,
                entries=done.docs,
                bytes=done.bytes,
                stored_bytes=len(body),
                sha256=sha256(body),
            )
        )

    def window(self) -> Window:
        """Return what was stored."""
        return Window(begin=self._begin, last=self.reached, segments=tuple(self._segments))


def _check_no_barrier(entries: bytes) -> None:
    found = oplog.first_barrier(entries)
    if found is not None:
        begin, end = found
        raise PermanentError(
            "compatibility_changed",
            "the feature compatibility version was changed at "
            f"{_last_time(entries[begin:end])}, while the backup ran: no restore can cross that",
            hint="start the backup again when the change is complete",
        )


def _last_time(entries: bytes | memoryview) -> ClusterTime:
    time = documents.cluster_time(framing.last(entries), "ts")
    if time is None:
        raise PermanentError("bad_oplog_entry", "an oplog entry has no time", hint="")
    return time
