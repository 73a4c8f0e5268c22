"""What an operator should know of the schedules at a glance: pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from agent.model.backups import BackupEntry, newest
from agent.model.commands import Backup
from agent.model.schedules import Schedule, run_of
from agent.model.status import AgentStatus, Problem, Running
from agent.model.timetable import ScheduleRecord, Timetable, last_two

# A run has so long from its due time on, and longer if its backups take longer.
_PATIENCE: Final = timedelta(hours=1)
# How many of the newest backups tell how long one takes.
_RECENT_COUNT: Final = 5


def of_schedules(
    timetable: Timetable,
    agents: Sequence[AgentStatus],
    entries: Sequence[BackupEntry],
    *,
    running: Running | None,
    now: datetime,
) -> Iterator[Problem]:
    """Yield what is wrong with schedules that are not disabled."""
    labels = {*timetable.storages, *_labels(agents)}
    for record in timetable.records:
        if not record.is_enabled:
            continue
        if record.fault is not None:
            yield Problem(
                code="bad_schedule",
                level="error",
                message=record.fault.message,
                hint=record.fault.hint,
                since=now,
            )
        if record.schedule is None:
            continue
        label = record.schedule.storage_label or timetable.main
        if label not in labels:
            yield _unknown_storage(record.schedule, label, labels, now)
        elif not _is_of(running, record.schedule):
            yield from _overdue(record, label, entries, now)
    yield from _of_clashes(timetable, now)


def _labels(agents: Sequence[AgentStatus]) -> Iterator[str]:
    for agent in agents:
        yield agent.storage.label
        yield from (each.storage for each in agent.access)


def _unknown_storage(schedule: Schedule, label: str, labels: set[str], now: datetime) -> Problem:
    return Problem(
        code="schedule_storage_unknown",
        level="error",
        message=f"the schedule {schedule.schedule_id!r} names the storage {label!r},"
        " which no agent has",
        hint=f"configured: {', '.join(sorted(labels))}",
        since=now,
    )


def _is_of(running: Running | None, schedule: Schedule) -> bool:
    """Whether a run of a schedule is under way."""
    run = None if running is None else run_of(running.command_id)
    return run is not None and run.schedule_id == schedule.schedule_id


def _of_clashes(timetable: Timetable, now: datetime) -> Iterator[Problem]:
    for clash in timetable.clashes:
        yield Problem(
            code="schedule_clash",
            level="warning",
            message=f"the schedules {clash.first!r} and {clash.second!r} are always due at the"
            " same minute, and write to one storage",
            hint=f"give one of them another minute: next at {clash.at:%Y-%m-%d %H:%M} UTC one"
            " waits until the other is done",
            since=now,
        )


# ------------------------------------------------------------------ what was promised


def _overdue(
    record: ScheduleRecord, label: str, entries: Sequence[BackupEntry], now: datetime
) -> Iterator[Problem]:
    schedule, mark = record.schedule, record.mark
    if schedule is None or mark is None or not isinstance(schedule.command, Backup):
        return
    good = [each for each in entries if _serves(each, schedule, label)]
    # What was due before the schedule was there, or was like this, it never promised.
    if not _was_run(schedule, mark.handled_to):
        return
    due_at = last_two(schedule, min(now - _patience(good), mark.handled_to))
    last = newest(good)
    if due_at is None or (last is not None and last.consistent_at.wall >= due_at[1]):
        return
    name = schedule.schedule_id
    yield Problem(
        code="backup_overdue",
        level="error",
        message=f"no good backup in the storage {label!r} is as new as the schedule {name!r}"
        " promises",
        hint=f"the last of its commands say why: db.commands.find({{_id: /^{name}@/}}), state"
        " and error",
        since=due_at[0] if last is None else last.consistent_at.wall,
    )


def _serves(entry: BackupEntry, schedule: Schedule, label: str) -> bool:
    """Whether a backup is sound and has what a schedule's backups have: a full one has all."""
    is_enough = not entry.namespaces or set(entry.namespaces) == set(schedule.namespaces)
    return entry.storage == label and is_enough and not entry.is_damaged


def _was_run(schedule: Schedule, handled_to: datetime) -> bool:
    """Whether a mark stands at a due time; else it stands where the schedule was seen first."""
    last = last_two(schedule, handled_to)
    return last is not None and last[0] == handled_to


def _patience(good: Sequence[BackupEntry]) -> timedelta:
    """Return how late a backup may come: an interval may well be shorter than a backup takes.

    Where each takes so long that runs are always late, two of them end within twice its time.
    """
    recent = sorted(good, key=lambda each: each.consistent_at)[-_RECENT_COUNT:]
    longest = max((each.finished_at - each.started_at for each in recent), default=timedelta(0))
    return max(_PATIENCE, 2 * longest)
