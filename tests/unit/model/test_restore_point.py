"""Which backup a point in time means."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.restore_point import Point, choose

EARLY = Point(backup_id="20260101T000000Z", consistent_at=ClusterTime(1_767_225_600, 5))
LATE = Point(backup_id="20260102T000000Z", consistent_at=ClusterTime(1_767_312_000, 1))
BOTH = (LATE, EARLY)


def test_latest_is_the_newest_consistent_time() -> None:
    """The order of the listing does not matter."""
    assert LATE == choose(BOTH, "latest")


@pytest.mark.parametrize("late_ms", [0, 1, 999])
def test_date_means_its_second(late_ms: int) -> None:
    """A date in the second of a backup's time is that backup."""
    date = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=late_ms)
    assert EARLY == choose(BOTH, date)


def test_date_without_a_zone_is_utc() -> None:
    """Drivers may hand out dates without a zone."""
    assert EARLY == choose(BOTH, datetime(2026, 1, 1))  # noqa: DTZ001 - this is what is tested


def test_timestamp_must_be_exact() -> None:
    """A timestamp is a point in the oplog, not a second."""
    assert EARLY == choose(BOTH, ClusterTime(1_767_225_600, 5))
    with pytest.raises(PermanentError):
        choose(BOTH, ClusterTime(1_767_225_600, 6))


@pytest.mark.parametrize(
    ("to", "nearest"),
    [
        (datetime(2026, 1, 1, 12, tzinfo=UTC), (EARLY, LATE)),
        (datetime(2025, 1, 1, tzinfo=UTC), (EARLY,)),
        (datetime(2027, 1, 1, tzinfo=UTC), (LATE,)),
        (ClusterTime(1_767_225_600, 6), (EARLY, LATE)),
    ],
)
def test_other_times_name_the_nearest(
    to: datetime | ClusterTime, nearest: tuple[Point, ...]
) -> None:
    """A time that no backup stands for is refused with the times around it."""
    with pytest.raises(PermanentError) as caught:
        choose(BOTH, to)
    assert caught.value.code == "not_recoverable"
    assert caught.value.facts["nearest"] == tuple(str(each.consistent_at) for each in nearest)


def test_storage_without_a_backup_says_so() -> None:
    """With nothing there, no nearest time can be named."""
    with pytest.raises(PermanentError) as caught:
        choose((), "latest")
    assert caught.value.code == "no_backup"
