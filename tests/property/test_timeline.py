"""The line of blocks never claims more than can be restored, and hides no gap."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.cli.restorable import ranges_of
from agent.cli.timeline import ASCII, BLOCKS, Timeline, glyphs_for, timeline
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Recoverable
from tests.fakes.console import NOW
from tests.unit.cli.terminal import a_backup

_NOW_S = int(NOW.timestamp())
_LONGEST_S = 400 * 86_400
TIMES = st.builds(
    ClusterTime,
    # Short histories and long ones, and times that lie close together.
    st.one_of(st.integers(_NOW_S - 100, _NOW_S - 1), st.integers(_NOW_S - _LONGEST_S, _NOW_S - 1)),
    st.integers(1, 9),
)
RANGES = st.lists(st.tuples(TIMES, TIMES).map(sorted), max_size=8).map(
    lambda pairs: ranges_of([{"from": one, "to": two} for one, two in pairs])
)
WIDTHS = st.integers(1, 130)


def drawn(ranges: tuple[Recoverable, ...], backups: list[ClusterTime], width: int) -> Timeline:
    """Draw a line of that width."""
    entries = [replace(a_backup(), consistent_at=each) for each in backups]
    line = timeline(entries, ranges, NOW, width=width)
    assert line is not None
    return line


def moments(line: Timeline, cell: int) -> tuple[float, float]:
    """Return the seconds that lie in a cell for certain: edges are whole seconds."""
    begin, end = line.begin.timestamp(), line.end.timestamp()
    step = (end - begin) / len(line.cells)
    return begin + step * cell + 1, begin + step * (cell + 1) - 1


@given(ranges=RANGES.filter(bool), width=WIDTHS)
def test_a_full_block_is_wholly_restorable(ranges: tuple[Recoverable, ...], width: int) -> None:
    """Every moment in it lies in one range."""
    line = drawn(ranges, [], width)
    for number, sign in enumerate(line.cells):
        one, two = moments(line, number)
        if sign == BLOCKS.full and one < two:
            assert any(each.begin.seconds <= one and two <= each.last.seconds for each in ranges)


@given(ranges=RANGES.filter(lambda found: len(found) > 1), width=WIDTHS)
def test_every_gap_is_seen(ranges: tuple[Recoverable, ...], width: int) -> None:
    """However thin it is, a block at its place is not full."""
    line = drawn(ranges, [], width)
    begin, end = line.begin.timestamp(), line.end.timestamp()
    step = (end - begin) / width
    for one, two in pairwise(ranges):
        first = int(max(0, (one.last.seconds - 1 - begin) // step))
        last = int(min(width - 1, (two.begin.seconds + 1 - begin) // step))
        assert set(line.cells[first : last + 1]) - {BLOCKS.full}


@given(ranges=RANGES.filter(bool), width=WIDTHS)
def test_whatever_can_be_restored_shows(ranges: tuple[Recoverable, ...], width: int) -> None:
    """Even a single moment is no empty block."""
    line = drawn(ranges, [], width)
    assert set(line.cells) & {BLOCKS.full, BLOCKS.part}


@given(ranges=RANGES, backups=st.lists(TIMES, min_size=1, max_size=20), width=WIDTHS)
def test_lines_are_as_wide_as_was_asked(
    ranges: tuple[Recoverable, ...], backups: list[ClusterTime], width: int
) -> None:
    """Marks never stand beyond the blocks, and no more of them than there are backups."""
    line = drawn(ranges, backups, width)
    assert width == len(line.cells)
    assert len(line.marks) <= width
    assert 1 <= line.marks.count(BLOCKS.backup) <= len(backups)


def test_nothing_makes_no_line() -> None:
    """Nor does a terminal without columns."""
    assert timeline([], [], NOW, width=80) is None
    assert timeline([a_backup()], [], NOW, width=0) is None


def test_a_stopped_archive_ends_before_now() -> None:
    """An hour that is lacking is not taken for lag."""
    begin, last = ClusterTime(_NOW_S - 7_200, 1), ClusterTime(_NOW_S - 3_600, 1)
    line = drawn((Recoverable(begin=begin, last=last),), [begin], 10)
    assert ("█████▒····"[:5], NOW) == (line.cells[:5], line.end)
    assert {BLOCKS.none} == set(line.cells[6:])
    assert NOW - line.begin == timedelta(hours=2)


def test_signs_are_those_that_can_be_written() -> None:
    """Where blocks cannot be, plain signs are."""
    assert (BLOCKS, ASCII, ASCII, ASCII) == tuple(
        glyphs_for(each) for each in ("utf-8", "ascii", "latin-1", "no-such-encoding")
    )
