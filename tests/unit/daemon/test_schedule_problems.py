"""What is told of schedules: each problem names its schedule, and none is told of disabled ones."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.daemon.schedule_problems import of_schedules
from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.schedules import Mark, clashes
from agent.model.status import Problem, Running, StorageAccess
from agent.model.timetable import ScheduleRecord, Timetable, record_of
from agent.model.verdict import Verdict
from tests.fakes.status import an_agent
from tests.unit.cli.terminal import a_backup

NIGHTLY = {"_id": "nightly", "cron": "0 3 * * *", "command": {"command": "backup"}}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """Return a time in November 2026."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


NOW = at(22, 12)


def record(handled_to: datetime | None = None, **changes: object) -> ScheduleRecord:
    """Return a nightly backup that was run at 03:00 today, with changes."""
    found = record_of({**NIGHTLY, **changes})
    assert found.schedule is not None
    mark = Mark(seen_as=found.schedule.seen_as, handled_to=handled_to or at(22, 3))
    return found.marked(mark)


def backup(
    when: datetime, took: timedelta = timedelta(minutes=1), **changes: object
) -> BackupEntry:
    """Return a full backup in the main storage."""
    entry = replace(
        a_backup(f"{when:%Y%m%dT%H%M%SZ}"),
        consistent_at=ClusterTime(int(when.timestamp()), 1),
        started_at=when,
        finished_at=when + took,
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def problems(
    *records: ScheduleRecord,
    entries: Sequence[BackupEntry] = (),
    now: datetime = NOW,
    running: Running | None = None,
) -> list[Problem]:
    """Return what is told of schedules where the storages are called main and far."""
    schedules = [each.schedule for each in records if each.schedule is not None]
    timetable = Timetable(
        records=records, clashes=clashes(schedules, now, "main"), storages=("main", "far")
    )
    access = (StorageAccess(storage="other", identity=None, role=None),)
    agents = [an_agent("a:1", now, access=access)]
    return list(of_schedules(timetable, agents, entries, running=running, now=now))


def codes(found: Sequence[Problem]) -> list[str]:
    """Return their codes."""
    return [each.code for each in found]


GOOD = [backup(at(22, 3))]


def test_nothing_is_told_of_what_is_in_order() -> None:
    """A backup of this night."""
    assert [] == problems(record(), entries=GOOD)


def test_one_that_cannot_be_read_is_an_error() -> None:
    """It names schedule, field and mend; switched off, it is not told."""
    bad = record_of({**NIGHTLY, "timezone": "Europe/Wienna"})
    (found,) = problems(bad)
    assert ("bad_schedule", "error") == (found.code, found.level)
    assert "the schedule 'nightly': timezone" in found.message
    assert "did you mean 'Europe/Vienna'" in found.message
    assert [] == problems(record_of({**NIGHTLY, "timezone": "Nowhere", "enabled": False}))


@pytest.mark.parametrize(
    ("document", "is_told"),
    [
        ({**NIGHTLY, "command": {"command": "backup", "storage": "mian"}}, True),
        ({"_id": "nightly", "retention": {"keep_last": 1}, "storage": "mian"}, True),
        ({**NIGHTLY, "command": {"command": "backup", "storage": "mian"}, "enabled": False}, False),
        ({"_id": "nightly", "retention": {"keep_last": 1}, "storage": "far"}, False),
        # That of another agent's configuration.
        ({"_id": "nightly", "retention": {"keep_last": 1}, "storage": "other"}, False),
    ],
)
def test_a_label_that_nobody_has_is_an_error(
    document: dict[str, object],
    is_told: bool,  # noqa: FBT001
) -> None:
    """Also of a retention that stands alone."""
    found = problems(record_of(document))
    assert (["schedule_storage_unknown"] if is_told else []) == codes(found)
    if is_told:
        assert "'nightly' names the storage 'mian'" in found[0].message
        assert "configured: far, main, other" == found[0].hint


def test_a_clash_is_a_warning_whose_words_stay() -> None:
    """The next time stands in the hint: with the message, the problem would begin anew."""
    weekly = record(at(22, 3), _id="weekly", cron="0 3 * * 0")
    first = problems(record(), weekly, entries=GOOD)
    later = problems(record(), weekly, entries=[backup(at(29, 3))], now=at(29, 4))
    assert ["schedule_clash"] == codes(first) == codes(later)
    assert ("warning", first[0].message) == (first[0].level, later[0].message)
    assert "'nightly' and 'weekly'" in first[0].message
    assert first[0].hint != later[0].hint


def test_a_backup_that_did_not_come_is_told_after_an_hour() -> None:
    """That of the night before still serves: one run that failed is not much."""
    entries = [backup(at(20, 3))]
    assert [] == problems(record(), entries=entries, now=at(22, 3, 59))
    (found,) = problems(record(), entries=entries, now=at(22, 4))
    assert ("backup_overdue", "error", at(20, 3)) == (found.code, found.level, found.since)
    assert "'nightly'" in found.message
    assert [] == problems(record(), entries=[backup(at(21, 3))])


def test_without_any_backup_it_is_overdue_since_it_was_due() -> None:
    """A schedule that never made one."""
    (found,) = problems(record())
    assert ("backup_overdue", at(22, 3)) == (found.code, found.since)


@pytest.mark.parametrize(
    ("entry", "serves"),
    [
        (backup(at(22, 3), storage="far"), False),
        (backup(at(22, 3), namespaces=("shop.*",)), False),
        (backup(at(22, 3), verdicts=(Verdict(depth="objects", checked_at=NOW, is_sound=False),)),
         False),
        (backup(at(22, 3), verdicts=(Verdict(depth="objects", checked_at=NOW, is_sound=True),)),
         True),
    ],
)  # fmt: skip
def test_only_a_good_backup_of_the_same_kind_serves(
    entry: BackupEntry,
    serves: bool,  # noqa: FBT001
) -> None:
    """In the same storage, of all of the data, and sound as far as is known."""
    assert ([] if serves else ["backup_overdue"]) == codes(problems(record(), entries=[entry]))


def test_a_full_backup_serves_a_schedule_of_a_part() -> None:
    """As one of that part does, and one of another part does not."""
    part = record(command={"command": "backup", "namespaces": ["shop.*", "crm.*"]})
    for entry, expected in (
        (backup(at(22, 3)), []),
        (backup(at(22, 3), namespaces=("crm.*", "shop.*")), []),
        (backup(at(22, 3), namespaces=("shop.*",)), ["backup_overdue"]),
    ):
        assert expected == codes(problems(part, entries=[entry]))


def test_what_was_due_before_a_schedule_was_there_was_not_promised() -> None:
    """Its mark stands where it was seen first, until it was run once."""
    assert [] == problems(record(at(22, 11, 17)))
    assert [] == problems(record(at(22, 2, 17)), now=at(22, 2, 59))


@pytest.mark.parametrize("changes", [{"enabled": False}, {"command": {"command": "check"}}])
def test_what_promises_no_backup_is_never_overdue(changes: dict[str, Any]) -> None:
    """A schedule that is switched off, or one of another command."""
    assert [] == problems(record(None, **changes))


def test_while_a_run_of_it_is_under_way_it_is_not_overdue() -> None:
    """However long it takes; that of another schedule, or by hand, says nothing."""
    for command_id, expected in (
        ("nightly@20261122T030000Z", []),
        ("other@20261122T030000Z", ["backup_overdue"]),
        ("by hand", ["backup_overdue"]),
    ):
        running = Running(
            command_id=command_id, command="backup", phase="reading", percent=1, eta_s=None
        )
        assert expected == codes(problems(record(), running=running))


@pytest.mark.parametrize("took_min", [1, 50, 170, 600])
@pytest.mark.parametrize("line", ["*/10 * * * *", "0 * * * *", "0 */6 * * *"])
def test_backups_that_take_longer_than_the_interval_are_legal(line: str, took_min: int) -> None:
    """One follows on the other, and at no moment is one overdue, though none says that it runs."""
    took = timedelta(minutes=took_min)
    schedule = record(cron=line)
    assert schedule.schedule is not None
    interval = timedelta(minutes={"*/10 * * * *": 10, "0 * * * *": 60, "0 */6 * * *": 360}[line])
    begin = at(1, 0)
    made: list[BackupEntry] = []
    start = begin
    while start < at(4, 0):
        made.append(backup(start, took))
        # The last run that came due meanwhile begins when the one before has ended.
        ended = start + took
        start = max(ended, start + interval)
        if took < interval:
            start = made[-1].started_at + interval
    now = at(3, 0)
    while now < at(4, 0):
        due = begin + (now - begin) // interval * interval
        done = [each for each in made if each.finished_at <= now]
        assert [] == problems(record(due, cron=line), entries=done, now=now), now
        now += timedelta(minutes=53)
