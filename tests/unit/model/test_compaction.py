"""Which segments are joined, and which may go with a backup."""

from datetime import datetime

import pytest

from agent.model.cluster_time import ClusterTime
from agent.model.compaction import joins, maximal, removable, stranded, superseded
from agent.model.coverage import Archived, Base
from tests.fakes.archive import key_of, moment, time

LATE = moment(1000)


def segment(begin: int, last: int, stored_bytes: int = 100) -> Archived:
    """Return a segment between two entries."""
    return Archived(
        key=key_of(begin, last), begin=time(begin), last=time(last), stored_bytes=stored_bytes
    )


def segments(*ranges: tuple[int, int]) -> list[Archived]:
    """Return some segments."""
    return [segment(*each) for each in ranges]


def number(of: ClusterTime) -> int:
    """Return which entry has a time."""
    return (of.seconds - time(0).seconds) // 600


def planned(
    found: list[Archived], now: datetime = LATE, most_bytes: int = 10_000
) -> list[list[tuple[int, int]]]:
    """Return the parts of each join."""
    return [
        [(number(part.begin), number(part.last)) for part in join.parts]
        for join in joins(found, now, most_bytes=most_bytes)
    ]


def test_the_segments_of_an_hour_are_joined() -> None:
    """Each belongs to the hour of its last entry; the newest hour waits for its end."""
    found = segments(*((each, each + 1) for each in range(-1, 14)))
    first = [(-1, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    second = [(5, 6), (6, 7), (7, 8), (8, 9), (9, 10), (10, 11)]
    assert [first, second] == planned(found)


def test_an_hour_waits_until_it_has_been_over_for_an_hour() -> None:
    """What a restore to the newest time has planned with stays longer than it takes to plan."""
    found = segments(*((each, each + 1) for each in range(-1, 14)))
    assert [] == planned(found, moment(11))
    assert 1 == len(planned(found, moment(12)))
    assert 1 == len(planned(found, moment(17)))
    assert 2 == len(planned(found, moment(18)))


def test_nothing_is_joined_across_a_gap() -> None:
    """A segment promises that nothing is missing in it."""
    found = segments((-1, 0), (0, 1), (2, 3), (3, 4), (4, 7))
    assert [[(-1, 0), (0, 1)], [(2, 3), (3, 4)]] == planned(found)


def test_a_segment_alone_stays() -> None:
    """So does what was joined, which is alone in its hour."""
    assert [] == planned(segments((-1, 5), (5, 11), (11, 13)))


def test_overlapping_segments_are_joined() -> None:
    """Two archivers, or a backup beside the archiver."""
    assert [[(0, 3), (1, 4), (4, 5)]] == planned(segments((0, 3), (1, 4), (4, 5), (5, 9)))


def test_what_lies_within_another_is_no_part() -> None:
    """It has been joined already."""
    found = segments((-1, 0), (0, 1), (1, 2), (-1, 2), (2, 3), (3, 9))
    assert [[(-1, 2), (2, 3)]] == planned(found)


def test_joined_segments_have_a_largest_size() -> None:
    """Those that would be too large together begin a new one."""
    found = [segment(each, each + 1, 100) for each in range(-1, 8)]
    assert [[(-1, 0), (0, 1), (1, 2)], [(2, 3), (3, 4), (4, 5)]] == planned(found, LATE, 300)


def test_large_segments_are_no_parts() -> None:
    """They are what others are joined to be; what lies between two of them may be."""
    sizes = (100, 100, 500, 100, 100, 500)
    found = [segment(each - 1, each, size) for each, size in enumerate(sizes)]
    found.append(segment(5, 6))
    assert [[(-1, 0), (0, 1)], [(2, 3), (3, 4)]] == planned(found, LATE, 1000)


def test_an_empty_archive_has_nothing_to_join() -> None:
    """Nor has one with a single segment."""
    assert [] == planned([])
    assert [] == planned(segments((0, 1)))


def test_the_outermost_segments_have_ascending_ends() -> None:
    """Whatever lies within one of them is left out, also with one end in common."""
    found = segments((0, 3), (0, 2), (1, 3), (1, 2), (2, 5), (4, 5), (5, 6))
    assert segments((0, 3), (2, 5), (5, 6)) == list(maximal(found))


def test_superseded_segments_are_known_with_what_holds_them() -> None:
    """Overlaps count for nothing; what is young stays."""
    found = segments((0, 3), (0, 2), (1, 3), (2, 5), (4, 5), (2, 4), (1, 4), (5, 9), (6, 7))
    held = {
        (number(holder.begin), number(holder.last)): {
            (number(each.begin), number(each.last)) for each in inner
        }
        for holder, inner in superseded(found, moment(12)).items()
    }
    assert {(0, 3): {(0, 2), (1, 3)}, (1, 4): {(2, 4)}, (2, 5): {(4, 5)}} == held


def base(oplog_from: int, consistent_at: int) -> Base:
    """Return another backup."""
    return Base(
        backup_id="b",
        replset_id="id",
        consistent_at=time(consistent_at),
        oplog_from=time(oplog_from),
    )


@pytest.mark.parametrize(
    ("own", "others", "bases", "expected"),
    [
        # Alone, or with the archive beside it.
        ([(4, 5), (5, 6)], [], [], [(4, 5), (5, 6)]),
        ([(4, 5), (5, 6)], [(0, 10)], [], [(4, 5), (5, 6)]),
        ([(4, 6)], [(0, 5), (5, 10)], [], [(4, 6)]),
        # The archive goes on at both sides, and would have a hole.
        ([(4, 5), (5, 6)], [(0, 4), (6, 10)], [], []),
        ([(4, 5), (5, 6)], [(0, 5), (6, 10)], [], [(4, 5)]),
        # At one side only; nobody needs it, or another backup does.
        ([(4, 5), (5, 6)], [(6, 10)], [], [(4, 5), (5, 6)]),
        ([(4, 5), (5, 6)], [(6, 10)], [base(5, 7)], [(4, 5)]),
        ([(4, 5), (5, 6)], [(0, 4)], [base(2, 3)], []),
        # The archive may go on from its end: it ended where the window begins.
        ([(4, 5), (5, 6)], [(0, 4)], [base(7, 8)], []),
        ([(4, 5), (5, 6)], [(0, 4)], [], []),
        # It holds what the next pass of compaction would remove because of it.
        ([(4, 6)], [(4, 5), (5, 6)], [], []),
        ([], [(0, 4)], [], []),
    ],
)
def test_a_window_goes_with_its_backup_but_leaves_no_hole(
    own: list[tuple[int, int]],
    others: list[tuple[int, int]],
    bases: list[Base],
    expected: list[tuple[int, int]],
) -> None:
    """Other backups reach as far as before, and the archive stays whole."""
    found = removable(segments(*own), segments(*own, *others), bases)
    assert segments(*expected) == list(found)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        # What a prune removed around them is gone: the later one first, then what it follows.
        ([(0, 3), (3, 6), (6, 7), (9, 10)], [(0, 6), (6, 9), (9, 10)], []),
        ([(0, 3), (3, 6), (6, 9), (9, 10)], [(0, 6), (6, 9)], [(6, 9), (0, 6)]),
        ([(0, 3), (3, 6), (6, 9), (9, 10)], [(0, 6), (12, 20)], [(0, 6)]),
        # A prune that is under way looks once more.
        ([(0, 3), (3, 6), (6, 9), (9, 10)], [(0, 6), (3, 6)], []),
        # What follows was joined or archived anew in other pieces.
        ([(0, 3), (3, 6), (6, 9), (9, 10)], [(0, 6), (5, 12)], []),
        # There was a gap behind it from the start.
        ([(0, 3), (3, 6), (9, 10)], [(0, 6), (9, 10)], []),
        # Somebody else was quicker.
        ([(0, 3), (3, 6), (6, 9)], [], []),
    ],
)
def test_what_was_joined_while_all_around_it_went_is_stranded(
    before: list[tuple[int, int]],
    after: list[tuple[int, int]],
    expected: list[tuple[int, int]],
) -> None:
    """Only where nothing is left of what followed it and of what it was made of."""
    made = segments((0, 6), (6, 9))
    found = stranded(made, segments(*before), segments(*after))
    assert segments(*expected) == list(found)
