"""Which backup, brought to which time, a request means."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import PermanentError
from agent.model import coverage
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived, Base, Reach, Span
from agent.model.restore_point import (
    PointInTime,
    at_time,
    in_second,
    latest,
    not_recoverable,
)

DAY = 1_767_225_600
NOW = datetime(2026, 1, 3, tzinfo=UTC)


def reach(begin: int, last: int, *, name: str = "", replset_id: str = "a") -> Reach:
    """Return a backup of a second of the day, and how far it can be brought."""
    time = ClusterTime(DAY + begin, 1)
    base = Base(
        backup_id=name or f"b{begin}", replset_id=replset_id, consistent_at=time, oplog_from=time
    )
    return Reach(base=base, last=ClusterTime(DAY + last, 1))


def at(second: int, increment: int = 1) -> ClusterTime:
    """Return a time of the day."""
    return ClusterTime(DAY + second, increment)


def refusal(
    to: PointInTime, *reaches: Reach, covered: tuple[Span, ...] = (), now: datetime = NOW
) -> PermanentError:
    """Return why a time cannot be restored."""
    return not_recoverable(reaches, {"a": covered}, to, now)


def test_the_newest_backup_that_reaches_a_time_is_taken() -> None:
    """Less is replayed then; both ends of a reach count."""
    early, late = reach(0, 100), reach(50, 100)
    for second, expected in ((0, early), (49, early), (50, late), (100, late)):
        aim = at_time((late, early), at(second))
        assert aim is not None
        assert (expected, at(second)) == (aim.reach, aim.target)
    assert at_time((late, early), at(100, 2)) is None
    assert at_time((late, early), at(0, 0)) is None


def test_a_newer_backup_without_oplog_does_not_hide_an_older_one() -> None:
    """The archive may have been off when the newer one was made."""
    aim = at_time((reach(0, 100), reach(50, 50)), at(60))
    assert aim is not None
    assert "b0" == aim.reach.base.backup_id


def test_latest_is_the_latest_time_of_all() -> None:
    """By the newest backup that gets there."""
    aim = latest((reach(0, 100), reach(50, 50), reach(20, 100)))
    assert aim is not None
    assert ("b20", at(100)) == (aim.reach.base.backup_id, aim.target)
    assert latest(()) is None


@pytest.mark.parametrize("late_ms", [0, 1, 999])
def test_date_may_mean_its_second(late_ms: int) -> None:
    """Without an archive, a date in the second of a backup's time is that backup."""
    date = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=late_ms)
    aim = in_second((reach(0, 0), reach(50, 50)), date)
    assert aim is not None
    assert ("b0", at(0)) == (aim.reach.base.backup_id, aim.target)
    assert in_second((reach(0, 0),), date + timedelta(seconds=1)) is None


def test_date_without_a_zone_is_utc() -> None:
    """Drivers may hand out dates without a zone."""
    assert in_second((reach(0, 0),), datetime(2026, 1, 1)) is not None  # noqa: DTZ001 - that is tested


def test_other_times_name_the_ranges_on_both_sides() -> None:
    """With dates and timestamps, as an operator reads them and as ``to`` takes them."""
    error = refusal(at(40), reach(0, 20), reach(10, 30), reach(60, 60), reach(90, 99))
    assert "not_recoverable" == error.code
    assert ((str(at(0)), str(at(30))), (str(at(60)), str(at(60)))) == error.facts["nearest"]
    assert f"2026-01-01T00:00:30+00:00 (Timestamp({DAY + 30}, 1))" in error.message


def test_a_time_in_a_gap_says_so() -> None:
    """And from when to when."""
    covered = (Span(begin=at(0), last=at(30)), Span(begin=at(60), last=at(99)))
    for to in (at(40), datetime(2026, 1, 1, 0, 0, 40, tzinfo=UTC)):
        error = refusal(to, reach(0, 30), reach(70, 99), covered=covered)
        assert "a gap from 2026-01-01T00:00:30" in error.message
        assert "to 2026-01-01T00:01:00" in error.message


def test_a_time_that_is_not_archived_yet_names_the_latest() -> None:
    """Whoever asks too early knows what there is."""
    error = refusal(at(31), reach(0, 30), covered=(Span(begin=at(0), last=at(30)),))
    assert "not archived yet" in error.message
    assert f"Timestamp({DAY + 30}, 1)" in error.hint


def test_a_time_in_the_future_says_so() -> None:
    """By the clock of this host."""
    error = refusal(datetime(2026, 1, 4, tzinfo=UTC), reach(0, 30))
    assert "in the future" in error.message


def test_a_time_before_all_backups_names_the_first_range() -> None:
    """Also where the archive reaches back further than any backup."""
    error = refusal(at(5), reach(10, 30), covered=(Span(begin=at(0), last=at(30)),))
    assert ((str(at(10)), str(at(30))),) == error.facts["nearest"]


@pytest.mark.parametrize("to", [at(1), "latest"])
def test_storage_without_a_backup_says_so(to: PointInTime) -> None:
    """With nothing there, no nearest time can be named."""
    assert "no_backup" == refusal(to).code


seconds = st.integers(0, 60)
bases = st.lists(st.tuples(seconds, st.integers(0, 5)), max_size=6)
pieces = st.lists(st.tuples(seconds, st.integers(1, 20)), max_size=12)


@given(bases, pieces, st.integers(0, 90))
def test_what_is_recoverable_can_be_chosen_and_nothing_else(
    backups: list[tuple[int, int]], segments: list[tuple[int, int]], second: int
) -> None:
    """The ranges that are shown, the choice and the chain of segments agree about every time."""
    archived = [
        Archived(key=f"{number}", begin=at(begin), last=at(begin + length), stored_bytes=1)
        for number, (begin, length) in enumerate(segments)
    ]
    covered = coverage.spans(archived)
    reaches = [
        coverage.reach(
            Base(
                backup_id=f"{number:03}",
                replset_id="a",
                consistent_at=at(begin),
                oplog_from=at(max(0, begin - before)),
            ),
            covered,
        )
        for number, (begin, before) in enumerate(backups)
    ]
    ranges = coverage.recoverable(reaches)
    aim = at_time(reaches, at(second))
    assert any(each.begin <= at(second) <= each.last for each in ranges) == (aim is not None)
    if aim is None:
        error = not_recoverable(reaches, {"a": covered}, at(second), NOW)
        assert error.code in {"no_backup", "not_recoverable"}
        return
    base = aim.reach.base
    assert base.consistent_at <= at(second)
    if at(second) > base.consistent_at:
        found = coverage.chain(archived, base.oplog_from, at(second))
        assert found[0].begin <= base.oplog_from
        assert found[-1].last >= at(second)
    better = [
        each
        for each in reaches
        if each.base.consistent_at > base.consistent_at
        and each.base.consistent_at <= at(second) <= each.last
    ]
    assert [] == better
