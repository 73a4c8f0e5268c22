"""A stretch of the oplog as a stream: fetched one segment ahead, verified whole before use."""

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from agent.core.errors import PermanentError
from agent.core.flow import Pipe, Stop, WorkerGroup
from agent.jobs import segments
from agent.jobs.restore.objects import fetch
from agent.model.coverage import Archived, chain
from agent.model.manifest import Segment
from agent.model.restore_plan import Stretch
from agent.model.restore_point import spoken
from agent.ports import ObjectStore

_HARMED: Final = frozenset({"object_missing", "damaged_object"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A segment with its verified object."""

    segment: Archived
    body: bytes

    def parts(self) -> Iterator[bytes]:
        """Yield the segment's raw entries, whole ones, in order."""
        return segments.parts(self.body, self.segment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The segments of one replica set in a storage.

    ``sealed`` are those whose SHA-256 a manifest tells, by key.
    """

    store: ObjectStore
    replset: str
    replset_id: str
    sealed: Mapping[str, Segment] = field(default_factory=dict)

    def listed(self) -> tuple[Archived, ...]:
        """Return what is there now. Raises: TransientError."""
        return segments.listed(self.store, self.replset).get(self.replset_id, ())

    def renewed(self, stretch: Stretch) -> Stretch:
        """Return a stretch with segments that are there now.

        Raises: PermanentError ``object_missing``, as ``feed`` does.
        """
        there = {each.key for each in self.listed()}
        reached, kept = stretch.begin, list[Archived]()
        for number, segment in enumerate(stretch.segments):
            if segment.key not in there:
                left = replace(stretch, begin=reached, segments=stretch.segments[number:])
                error = PermanentError("object_missing", "")
                return replace(stretch, segments=(*kept, *self._around(set(), left, error)))
            kept.append(segment)
            reached = segment.last
        return stretch

    def feed(self, stretch: Stretch, stop: Stop) -> Generator[Fetched, None, None]:
        """Yield the segments of a stretch, in order; neighbours may overlap.

        A segment that is gone (it was joined with others meanwhile) or damaged is gone around
        by others that hold the same entries. No more than two objects are in memory at a time.
        To be closed if it is not read to its end.

        Raises: PermanentError ``object_missing`` or ``damaged_object``, naming the key and,
        as the fact ``reached``, the time up to which everything is there.
        """
        with WorkerGroup("oplog", stop) as group:
            wanted: Pipe[None] = Pipe(2, group.stop)
            found: Pipe[Fetched] = Pipe(1, group.stop)
            group.start(partial(self._fetch_all, stretch, wanted, found), "fetch")
            wanted.put(None)
            for each in found:
                # The next one is fetched while this one is in use.
                wanted.put(None)
                yield each

    def _fetch_all(self, stretch: Stretch, wanted: Pipe[None], found: Pipe[Fetched]) -> None:
        verified = self._verified(stretch)
        for _ in wanted:
            fetched = next(verified, None)
            if fetched is None:
                found.close()
                return
            found.put(fetched)

    def _verified(self, stretch: Stretch) -> Iterator[Fetched]:
        avoided: set[str] = set()
        reached, left = stretch.begin, deque(stretch.segments)
        while left:
            segment = left.popleft()
            try:
                fetched = Fetched(segment=segment, body=self._fetch(segment))
                for _ in fetched.parts():
                    pass
            except PermanentError as error:
                if error.code not in _HARMED:
                    raise
                avoided.add(segment.key)
                rest = replace(stretch, begin=reached, segments=(segment, *left))
                left = deque(self._around(avoided, rest, error))
                continue
            yield fetched
            reached = segment.last

    def _fetch(self, segment: Archived) -> bytes:
        sealed = self.sealed.get(segment.key)
        return self.store.get(segment.key) if sealed is None else fetch(self.store, sealed)

    def _around(
        self, avoided: set[str], rest: Stretch, error: PermanentError
    ) -> tuple[Archived, ...]:
        """Return other segments that hold the rest, of which the first is harmed."""
        usable = [each for each in self.listed() if each.key not in avoided]
        try:
            return chain(usable, rest.begin, rest.last)
        except PermanentError as gap:
            key, last_good = rest.segments[0].key, spoken(rest.begin)
            is_gone = error.code == "object_missing"
            said = f"the segment {key} is not in {self.store.describe()}"
            raise PermanentError(
                error.code,
                f"{said if is_gone else error.message}; before it the archive ends at {last_good}",
                hint=f"restore to {last_good} or a time before it, or from a later backup",
                key=key,
                reached=str(rest.begin),
            ) from gap
