"""Coverage: what segments hold between them, against sets of single moments.

Time has a dozen moments here. A segment after ``begin``, up to and with ``last``, holds the entries
of the moments in between, whatever they are; what holds for sets of moments must hold for spans.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import (
    Archived,
    Base,
    Reach,
    Recoverable,
    Span,
    chain,
    extended,
    gaps,
    reach,
    recoverable,
    spans,
)

LAST = 12


def time(moment: int) -> ClusterTime:
    """Return a moment as a cluster time; moments are an increment apart."""
    return ClusterTime(1, moment)


def segment(bounds: tuple[int, int]) -> Archived:
    """Return a segment after one moment, up to and with another."""
    begin, last = bounds
    return Archived(
        key=f"{begin}_{last}", begin=time(begin), last=time(last), stored_bytes=last - begin
    )


def base(bounds: tuple[int, int]) -> Base:
    """Return a backup that reads the oplog after one moment and is consistent at another."""
    oplog_from, consistent_at = bounds
    return Base(
        backup_id=f"{oplog_from}_{consistent_at}",
        replset_id="id",
        consistent_at=time(consistent_at),
        oplog_from=time(oplog_from),
    )


def held(begin: ClusterTime, last: ClusterTime) -> set[int]:
    """Return the moments after one and up to another."""
    return set(range(begin.increment + 1, last.increment + 1))


def held_by(segments: Sequence[Archived]) -> set[int]:
    """Return all moments that some segments hold."""
    return set().union(*(held(each.begin, each.last) for each in segments))


moments = st.integers(min_value=0, max_value=LAST)
bounds = st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair)))
segments = st.lists(
    bounds.filter(lambda pair: pair[0] < pair[1]).map(segment), max_size=8, unique=True
)


@given(segments)
def test_spans_hold_what_the_segments_hold(some: list[Archived]) -> None:
    """Not a moment more or less; and each as long as it can be, in order."""
    found = spans(some)
    assert held_by(some) == set().union(*(held(each.begin, each.last) for each in found))
    edges = [edge for each in found for edge in (each.begin, each.last)]
    assert sorted(set(edges)) == edges


@given(segments, st.randoms(use_true_random=False))
def test_spans_do_not_depend_on_the_order_of_a_listing(
    some: list[Archived], random: object
) -> None:
    """Segments of two archivers come in any order."""
    mixed = list(some)
    getattr(random, "shuffle")(mixed)  # noqa: B009 - Hypothesis does not export its type
    assert spans(some) == spans(mixed)


@given(segments)
def test_gaps_are_what_lies_between(some: list[Archived]) -> None:
    """Gaps and spans together are everything from the first begin to the last end, once."""
    found = spans(some)
    missing = [held(each.begin, each.last) for each in gaps(found)]
    assert all(missing)
    if not found:
        assert [] == missing
        return
    whole = held(found[0].begin, found[-1].last)
    assert whole - held_by(some) == set().union(*missing)
    assert sum(map(len, missing)) == len(set().union(*missing))


@given(segments, bounds)
def test_one_more_segment_extends_spans_as_a_listing_would(
    some: list[Archived], more: tuple[int, int]
) -> None:
    """What an archiver remembers is what another one would list."""
    known = spans(some)
    added = segment(more)
    end = known[-1].last if known else time(0)
    # What an archiver stores ends no earlier than what is there, and begins in its last span.
    if added.begin == added.last or added.last < end:
        return
    if known and added.begin < known[-1].begin:
        return
    span = Span(begin=added.begin, last=added.last)
    assert spans([*some, added]) == extended(known, span)


@given(segments, bounds)
@example([segment((0, 4)), segment((4, 8))], (0, 8))
@example([segment((0, 4)), segment((5, 8))], (2, 8))
@example([], (3, 3))
def test_a_chain_is_there_exactly_if_every_moment_is_held(
    some: list[Archived], wanted: tuple[int, int]
) -> None:
    """It leaves nothing out, each segment goes on where the one before ended, and fails else."""
    begin, last = map(time, wanted)
    missing = held(begin, last) - held_by(some)
    if missing:
        with pytest.raises(PermanentError) as caught:
            chain(some, begin, last)
        assert "oplog_gap" == caught.value.code
        assert str(time(min(missing) - 1)) == caught.value.facts["reached"]
        return
    found = chain(some, begin, last)
    reached = begin
    for each in found:
        assert each in some
        assert each.begin <= reached < each.last
        reached = each.last
    assert reached >= last


@given(segments, bounds)
def test_no_shorter_chain_exists(some: list[Archived], wanted: tuple[int, int]) -> None:
    """A restore fetches no segment that it could do without."""
    begin, last = map(time, wanted)
    need = held(begin, last)
    if not need <= held_by(some):
        return
    fewest = next(
        count
        for count in range(len(some) + 1)
        if any(need <= held_by(picked) for picked in combinations(some, count))
    )
    assert fewest == len(chain(some, begin, last))


@given(segments, bounds)
def test_a_backup_reaches_exactly_what_a_chain_from_it_reaches(
    some: list[Archived], of_base: tuple[int, int]
) -> None:
    """Its own time always; beyond it, the last moment up to which nothing is missing."""
    one = base(of_base)
    found = reach(one, spans(some)).last
    expected = one.consistent_at
    for moment in range(expected.increment + 1, LAST + 1):
        try:
            chain(some, one.oplog_from, time(moment))
        except PermanentError:
            break
        expected = time(moment)
    assert expected == found


@given(st.lists(bounds, max_size=6), segments)
def test_recoverable_is_every_moment_that_some_backup_reaches(
    backups: list[tuple[int, int]], some: list[Archived]
) -> None:
    """Ends included; ascending, and no two ranges share a moment."""
    reaches = [reach(base(each), spans(some)) for each in backups]
    found = recoverable(reaches)
    assert _all_moments(reaches) == [moment for each in found for moment in _moments(each)]
    assert all(one.last < two.begin for one, two in pairwise(found))


def _moments(each: Recoverable) -> range:
    return range(each.begin.increment, each.last.increment + 1)


def _all_moments(reaches: Sequence[Reach]) -> list[int]:
    found: set[int] = set()
    for each in reaches:
        found |= set(range(each.base.consistent_at.increment, each.last.increment + 1))
    return sorted(found)
