"""What the schedules collection keeps to: each document by itself, marks by compare-and-set."""

from datetime import UTC, datetime, timedelta

from agent.model.schedules import Mark
from agent.model.timetable import ScheduleRecord
from tests.contract.conftest import Control

NOW = datetime(2026, 11, 22, 12, 0, 5, 345000, tzinfo=UTC)
NIGHTLY = {"_id": "nightly", "cron": "0 3 * * *", "command": {"command": "backup"}}
FIRST = Mark(seen_as="0 3 * * * UTC on", handled_to=NOW)
SECOND = Mark(seen_as="0 3 * * * UTC on", handled_to=NOW + timedelta(hours=15))


def read(control: Control) -> ScheduleRecord:
    """Return the one schedule that there is."""
    (record,) = control.schedules.records()
    return record


def test_a_schedule_comes_as_it_was_written(control: Control) -> None:
    """With its command's options, and without a mark."""
    control.insert_schedule({
        **NIGHTLY,
        "command": {"command": "backup", "namespaces": ["shop.*"]},
        "retention": {"keep_last": 3},
    })
    record = read(control)
    assert record.schedule is not None
    assert (record.fault, record.mark, record.stored) == (None, None, {})
    assert (record.schedule_id, record.is_enabled) == ("nightly", True)
    assert {"command": "backup", "namespaces": ["shop.*"]} == record.options
    assert ("shop.*",) == record.schedule.namespaces


def test_one_that_makes_no_sense_hides_no_other(control: Control) -> None:
    """What a schema cannot hold back is told beside the others, which are there."""
    control.insert_schedule({**NIGHTLY, "_id": "a", "timezone": "Europe/Wienna"})
    control.insert_schedule({**NIGHTLY, "_id": "c", "cron": "0 3 30 2 *", "enabled": False})
    control.insert_schedule({**NIGHTLY, "_id": "b"})
    records = control.schedules.records()
    assert ["a", "b", "c"] == [each.schedule_id for each in records]
    assert [True, False, True] == [each.fault is not None for each in records]
    assert [True, True, False] == [each.is_enabled for each in records]
    assert records[0].fault is not None
    assert ("bad_schedule", True) == (
        records[0].fault.code,
        "did you mean 'Europe/Vienna'" in records[0].fault.message,
    )


def test_a_mark_comes_back(control: Control) -> None:
    """To the millisecond, beside what the operator wrote; making it again is as good."""
    control.insert_schedule(NIGHTLY)
    record = read(control)
    assert control.schedules.mark(record, FIRST)
    assert control.schedules.mark(record, FIRST)
    again = read(control)
    assert (FIRST, record.schedule) == (again.mark, again.schedule)
    assert again == record.marked(FIRST)


def test_a_mark_that_moved_on_stays(control: Control) -> None:
    """Of two that read the same one, the later to write finds that it is another's."""
    control.insert_schedule(NIGHTLY)
    fresh = read(control)
    assert control.schedules.mark(fresh, FIRST)
    marked = read(control)
    assert control.schedules.mark(marked, SECOND)
    assert not control.schedules.mark(fresh, FIRST)
    assert not control.schedules.mark(marked, FIRST)
    assert SECOND == read(control).mark


def test_half_a_mark_is_none_and_is_replaced(control: Control) -> None:
    """Somebody removed the rest of it."""
    control.insert_schedule({**NIGHTLY, "handled_to": NOW})
    record = read(control)
    assert record.mark is None
    assert control.schedules.mark(record, SECOND)
    assert SECOND == read(control).mark


def test_a_schedule_that_is_gone_takes_no_mark(control: Control) -> None:
    """It does not come back."""
    control.insert_schedule(NIGHTLY)
    record = read(control)
    control.drop()
    assert not control.schedules.mark(record, FIRST)
    assert [] == list(control.schedules.records())
