"""Several segments made into the bytes of one, entry by entry where they overlap."""

from collections.abc import Sequence
from itertools import pairwise

from agent.codec import framing, oplog
from agent.codec.zstd import ChunkCompressor, Compressed
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.jobs import segments
from agent.model.cluster_time import Position
from agent.model.coverage import Archived
from agent.ports import ObjectStore


def joined(store: ObjectStore, parts: Sequence[Archived], level: int, stop: Stop) -> Compressed:
    """Read segments in order and return one that holds each entry of theirs once.

    Holds one of them in memory, and what the result has so far.

    Raises: PermanentError ``object_missing``, ``damaged_object``, and ``segments_differ`` if they
    are of different histories; TransientError; Stopped.
    """
    joint = _Joint(level)
    for part in parts:
        body = store.get(part.key)
        try:
            joint.begin(part)
            for data in segments.parts(body, part):
                stop.check()
                joint.add(data)
            joint.end()
        except PermanentError as error:
            if "key" in error.facts:
                raise
            raise PermanentError(
                "damaged_object",
                f"the segment {part.key} is damaged: {error.message}",
                key=part.key,
            ) from error
    return joint.finish()


class _Joint:
    """A segment in the making: entries up to the one that was reached are left out."""

    def __init__(self, level: int) -> None:
        self._compressor = ChunkCompressor(level)
        self._reached: Position | None = None
        self._part: Archived | None = None
        self._is_linked = True

    def begin(self, part: Archived) -> None:
        """Take in a segment; one that begins before what is reached must hold that very entry."""
        self._part = part
        reached = self._reached
        self._is_linked = reached is None or part.begin == reached.time

    def add(self, data: bytes) -> None:
        """Take in some entries."""
        fresh = data if self._is_fresh(data) else self._without_known(data)
        if not fresh:
            return
        first, last = _first(fresh), oplog.position(framing.last(fresh))
        reached = self._reached
        if not self._is_linked or (reached is not None and first.term < reached.term):
            raise self._differs()
        self._compressor.add(fresh, framing.count(fresh))
        self._reached = last

    def end(self) -> None:
        """Check that the segment had what it had to hold."""
        if not self._is_linked:
            raise self._differs()

    def finish(self) -> Compressed:
        """Return the object."""
        return self._compressor.finish()

    def _is_fresh(self, data: bytes) -> bool:
        return self._reached is None or _first(data).time > self._reached.time

    def _without_known(self, data: bytes) -> bytes | memoryview:
        """Return what comes after the entry that is reached, and notice that entry itself."""
        reached = self._reached
        found = framing.bounds(data)
        for begin, end in pairwise(found):
            place = oplog.position(data[begin:end])
            if place == reached:
                self._is_linked = True
            elif reached is not None and place.time > reached.time:
                return memoryview(data)[begin:]
        return b""

    def _differs(self) -> PermanentError:
        key = "" if self._part is None else self._part.key
        return PermanentError(
            "segments_differ",
            f"the segment {key} is of another history than the one before it",
            hint="two clusters may archive to one prefix; these segments stay as they are",
            key=key,
        )


def _first(data: bytes | memoryview) -> Position:
    return oplog.position(memoryview(data)[: framing.first_end(data)])
