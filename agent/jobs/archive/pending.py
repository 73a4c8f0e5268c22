"""Entries that were read and are not stored yet: the segment to come."""

from agent.codec.zstd import ChunkCompressor, Compressed
from agent.core.clock import Clock
from agent.model.cluster_time import ClusterTime, Position
from agent.ports import Batch


class Pending:
    """A segment in the making, compressed as it grows; owned by one thread."""

    def __init__(self, position: Position, level: int, clock: Clock) -> None:
        self.begin: ClusterTime = position.time
        self.read_to = position
        self.is_awake = False
        self._clock = clock
        self._compressor = ChunkCompressor(level)
        self._begun_at = clock.monotonic()

    @property
    def raw_bytes(self) -> int:
        """Uncompressed bytes of the entries so far."""
        return self._compressor.raw_bytes

    @property
    def age_s(self) -> float:
        """Seconds since the segment before this one was finished."""
        return self._clock.monotonic() - self._begun_at

    def add(self, batch: Batch, last: Position, *, is_awake: bool) -> None:
        """Take in the entries that follow; ``is_awake`` if they are worth an upload."""
        self._compressor.add(batch.data, batch.docs)
        self.read_to = last
        self.is_awake = is_awake

    def pass_over(self, barrier: Position) -> None:
        """Go on behind an entry that is not stored; to be called when all before it is."""
        self.begin = barrier.time
        self.read_to = barrier

    def finish(self) -> Compressed:
        """Return the segment's object, and begin the next one where it ends."""
        done = self._compressor.finish()
        self.begin = self.read_to.time
        self.is_awake = False
        self._begun_at = self._clock.monotonic()
        return done
