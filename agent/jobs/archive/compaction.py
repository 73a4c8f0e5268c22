"""Small segments of the archive are made into large ones; whatever interrupts, nothing is lost.

One pass writes a joined segment, a later one removes what lies within it. Both go by what the
listing shows at that moment, so that there is nothing to remember, and nothing to resume.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from typing import Final

from agent.codec.zstd import Compressed
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.core.log import Log
from agent.jobs import segments
from agent.jobs.archive.joining import joined
from agent.jobs.archive.ports import Tenure
from agent.model import keys
from agent.model.catalogue import Identity
from agent.model.compaction import MOST_BYTES, Join, is_covered, joins, stranded, superseded
from agent.model.coverage import Archived
from agent.ports import EventLog, ObjectStore

# As many as one request of S3 takes.
_AT_ONCE: Final = 1_000
_MISSING: Final = "object_missing"
# What is wrong with the objects themselves, not with the storage.
_BROKEN: Final = frozenset({"damaged_object", "segments_differ"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionPorts:
    """What compacting needs; ``level`` is that of the compression."""

    identity: Identity
    store: ObjectStore
    events: EventLog
    level: int
    log: Log
    most_bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What a pass did: segments that it wrote, and that it removed."""

    joined: int
    removed: int


class Compactor:
    """Makes passes over the archive of one replica set; remembers only what it told of."""

    def __init__(self, ports: CompactionPorts) -> None:
        self._ports = ports
        self._bad: set[str] = set()

    def run(self, now: datetime, tenure: Tenure) -> Compacted:
        """Make one pass: remove what earlier passes made superfluous, then join what is ripe.

        May end anywhere without harm. Raises: LeaseLost; Stopped; TransientError; PermanentError
        of the storage.
        """
        found = self._listed()
        # What is gone may come again under the same key, and be good.
        self._bad &= {each.key for each in found}
        removed = sum(
            self._clear(holder, held, found, tenure)
            for holder, held in superseded(self._good(found), now).items()
        )
        made = {
            join
            for join in joins(self._good(found), now, most_bytes=self._ports.most_bytes)
            if self._join(join, tenure)
        }
        if made:
            self._withdraw(made, found, tenure)
        if removed or made:
            self._ports.log.info("archive compacted", joined=len(made), removed=removed)
        return Compacted(joined=len(made), removed=removed)

    def _listed(self) -> Sequence[Archived]:
        identity = self._ports.identity
        return segments.listed(self._ports.store, identity.replset).get(identity.replset_id, ())

    def _good(self, found: Iterable[Archived]) -> list[Archived]:
        return [each for each in found if each.key not in self._bad]

    # -- removing

    def _clear(
        self,
        holder: Archived,
        held: Sequence[Archived],
        found: Sequence[Archived],
        tenure: Tenure,
    ) -> int:
        """Remove what a segment holds, once that one was read and is good."""
        tenure.stop.check()
        try:
            for _ in segments.parts(self._ports.store.get(holder.key), holder):
                tenure.stop.check()
        except PermanentError as error:
            if error.code not in {_MISSING, *_BROKEN}:
                raise
            if error.code == _MISSING:
                return 0
            return self._clear_broken(holder, found, error, tenure)
        self._remove([each.key for each in held], tenure)
        return len(held)

    def _clear_broken(
        self,
        holder: Archived,
        found: Sequence[Archived],
        error: PermanentError,
        tenure: Tenure,
    ) -> int:
        """Remove a damaged segment if all that it should hold is held by others."""
        self._tell(holder.key, error)
        others = [each for each in self._good(found) if each != holder]
        if not is_covered(holder, others):
            return 0
        self._remove([holder.key], tenure)
        return 1

    def _remove(self, gone: Sequence[str], tenure: Tenure) -> None:
        for begin in range(0, len(gone), _AT_ONCE):
            tenure.stop.check()
            tenure.held()
            passing(Point.COMPACTION_BEFORE_DELETE)
            self._ports.store.delete(gone[begin : begin + _AT_ONCE])
            passing(Point.COMPACTION_DELETED)

    # -- joining

    def _join(self, join: Join, tenure: Tenure) -> bool:
        """Write a joined segment and read it again; False if that was not possible."""
        ports, identity = self._ports, self._ports.identity
        tenure.stop.check()
        key = keys.segment(identity.replset, identity.replset_id, join.begin, join.last)
        if key in self._bad:
            return False
        try:
            done = joined(ports.store, join.parts, ports.level, tenure.stop)
            self._put(key, join, done, tenure)
        except PermanentError as error:
            culprit = str(error.facts.get("key", ""))
            if error.code == _MISSING:
                ports.log.info("a segment to be joined is gone", key=culprit)
            elif error.code == "damaged_object" and culprit == key:
                # The next pass meets it as one that holds others, and removes it.
                ports.log.warning("a joined segment was stored badly", key=key)
            elif error.code in _BROKEN:
                self._tell(culprit, error)
            else:
                raise
            return False
        return True

    def _withdraw(self, made: Collection[Join], before: Sequence[Archived], tenure: Tenure) -> None:
        """Remove what was joined while a prune removed the old end of the archive around it.

        Whatever comes first: if this look is before what follows was removed, the prune's next
        look is after these were written, and it removes them itself.
        """
        ends = {(join.begin, join.last) for join in made}
        after = self._listed()
        ours = [each for each in after if (each.begin, each.last) in ends]
        gone = stranded(ours, before, after)
        if gone:
            self._ports.log.info("joined segments withdrawn", keys=[each.key for each in gone])
            self._remove([each.key for each in gone], tenure)

    def _put(self, key: str, join: Join, done: Compressed, tenure: Tenure) -> None:
        ports = self._ports
        tenure.held()
        try:
            ports.store.put(key, done.body)
            passing(Point.COMPACTION_STORED)
        except PermanentError as error:
            if error.code != "object_exists":
                raise
        stored = ports.store.get(key)
        if stored != done.body:
            _check_same(stored, done, Archived(
                key=key, begin=join.begin, last=join.last, stored_bytes=len(stored)
            ))  # fmt: skip
        ports.log.debug("segments joined", key=key, parts=len(join.parts), entries=done.docs)

    def _tell(self, key: str, error: PermanentError) -> None:
        """Say once what is wrong with a segment, which is then left alone."""
        if key in self._bad:
            return
        self._bad.add(key)
        self._ports.log.error("segment left alone", key=key, code=error.code, reason=error.message)
        self._ports.events.write("error", "segment_damaged", error.message, key=key)


def _check_same(stored: bytes, done: Compressed, segment: Archived) -> None:
    """Check that what lies under a key are the same entries, if in other bytes.

    Raises: PermanentError ``damaged_object``, ``segments_differ``.
    """
    theirs = segments.parts(stored, segment)
    ours = segments.parts(bytes(done.body), segment)
    if any(one != other for one, other in zip_longest(theirs, ours)):
        raise PermanentError(
            "segments_differ",
            f"{segment.key} holds other entries than the segments that it was to join",
            hint="two clusters may archive to one prefix; these segments stay as they are",
            key=segment.key,
        )
