"""Compaction: whatever segments there are, and whenever it is interrupted, readers lose nothing."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core import log
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.jobs.archive.compaction import Compacted, CompactionPorts, Compactor
from agent.jobs.archive.ports import Tenure
from agent.model.compaction import joins
from agent.model.coverage import Archived, Span, chain, spans
from tests.fakes import archive
from tests.fakes.archive import IDENTITY, listed, moment, numbers_in, time
from tests.fakes.control import MemoryEvents
from tests.fakes.store import MemoryStore, unreachable

# Four hours, and a bit.
LAST = 26
NOW = moment(1000)

ranges = st.tuples(st.integers(-1, LAST - 1), st.integers(1, 9)).map(
    lambda pair: (pair[0], min(LAST, pair[0] + pair[1]))
)
archives = st.lists(ranges, min_size=1, max_size=25, unique=True)
# Stored bytes of a joined segment: of two small ones, of some, of all.
sizes = st.sampled_from([400, 900, 100_000])


@dataclass
class Reader:
    """A restore that planned its way through a span, and reads a segment now and then."""

    store: MemoryStore
    span: Span
    way: Sequence[Archived]
    numbers: list[int]

    @property
    def reached(self) -> int:
        """The last entry that was read."""
        return self.numbers[-1]

    @property
    def last(self) -> int:
        """The last entry that is wanted."""
        return archive.number(self.span.last)

    def step(self) -> None:
        """Read the next segment; if it is gone, look at the listing as it is now."""
        if not self.way:
            return
        first, *rest = self.way
        try:
            found = numbers_in(self.store, first)
        except PermanentError as error:
            if error.code != "object_missing":
                raise
            begin = time(self.reached)
            self.way = chain(listed(self.store), begin, self.span.last)
            first, *rest = self.way
            found = numbers_in(self.store, first)
        self.way = rest
        self.numbers += [number for number in found if self.reached < number <= self.last]


def reader_of(store: MemoryStore, span: Span) -> Reader:
    """Return a reader that has planned, and has read nothing yet."""
    way = chain(listed(store), span.begin, span.last)
    return Reader(store=store, span=span, way=way, numbers=[archive.number(span.begin)])


class Watched(MemoryStore):
    """A store in which others look around before each call, and which may die at one."""

    def __init__(self, luck: random.Random) -> None:
        super().__init__()
        self.luck = luck
        self.before: tuple[Span, ...] = ()
        self.readers: list[Reader] = []
        self.dies = False
        self.is_quiet = True
        self.fault = self._look_around

    def _look_around(self, _call: int, _method: str, _key: str) -> None:
        if self.is_quiet:
            return
        self.is_quiet = True
        now = spans(listed(self))
        for old in self.before:
            assert any(span.begin <= old.begin and old.last <= span.last for span in now)
        for reader in self.readers:
            for _ in range(self.luck.choice([0, 0, 1, 2])):
                reader.step()
        self.is_quiet = False
        if self.dies and self.luck.random() < 0.15:
            raise unreachable()


@given(archives, archives, sizes, st.randoms(use_true_random=False), st.booleans())
@example([(0, 2), (1, 3), (2, 4)], [(0, 4)], 100_000, random.Random(1), True)
@settings(max_examples=150, deadline=None)
def test_every_entry_can_be_read_at_every_moment(
    first: list[tuple[int, int]],
    later: list[tuple[int, int]],
    most_bytes: int,
    luck: random.Random,
    dies: bool,  # noqa: FBT001
) -> None:
    """By whoever planned at any time, while passes run, die, and more segments come."""
    store = Watched(luck)
    more = [each for each in later if each not in first]
    for begin, last in first:
        archive.archive(store, begin, last)
    store.dies = dies
    for _ in range(4):
        store.before = spans(listed(store))
        store.readers += [reader_of(store, span) for span in store.before]
        _pass(store, most_bytes)
        if more:
            archive.archive(store, *more.pop())
    store.dies = False
    assert _until_done(store, most_bytes) == spans(listed(store))
    for reader in store.readers:
        while reader.way:
            reader.step()
        begin, *numbers = reader.numbers
        assert list(range(begin + 1, reader.last + 1)) == numbers


def _pass(store: Watched, most_bytes: int) -> Compacted | None:
    ports = CompactionPorts(
        identity=IDENTITY,
        store=store,
        events=MemoryEvents(),
        level=1,
        log=log.get(),
        most_bytes=most_bytes,
    )
    store.is_quiet = False
    try:
        return Compactor(ports).run(NOW, Tenure(stop=Stop(), held=lambda: None))
    except TransientError:
        return None
    finally:
        store.is_quiet = True


def _until_done(store: Watched, most_bytes: int) -> tuple[Span, ...]:
    """Make passes until nothing is left to do; return what was covered before."""
    before = store.before = spans(listed(store))
    nothing = Compacted(joined=0, removed=0)
    for _ in range(20):
        if _pass(store, most_bytes) == nothing:
            return before
    raise AssertionError("it never comes to its end")


@given(archives, sizes)
def test_joins_are_of_linked_segments_of_one_hour(
    found: list[tuple[int, int]], most_bytes: int
) -> None:
    """At least two, within the size, never across a gap, and none in two joins."""
    store = MemoryStore()
    for begin, last in found:
        archive.archive(store, begin, last)
    planned = joins(listed(store), NOW, most_bytes=most_bytes)
    parts = [part for join in planned for part in join.parts]
    assert len(set(parts)) == len(parts)
    for join in planned:
        assert len(join.parts) > 1
        assert sum(part.stored_bytes for part in join.parts) <= most_bytes
        assert [Span(begin=join.begin, last=join.last)] == list(spans(join.parts))
        assert 1 == len({part.last.seconds // 3600 for part in join.parts})
