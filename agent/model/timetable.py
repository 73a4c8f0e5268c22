"""The schedules as they lie in the control database, the bad ones among them. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from agent.core.errors import PermanentError
from agent.model import cron
from agent.model.outcome import Failure, failure_of
from agent.model.schedules import MARK_FIELDS, Clash, Mark, Schedule, parse
from agent.model.status import NextRun

_MINUTE: Final = timedelta(minutes=1)
# What is due on 29 February may not have been due for eight years.
_LOOK_BACK: Final = timedelta(days=9 * 366)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """One document of ``schedules``: what it says, or ``fault``, why that cannot be run.

    ``options`` is its command as it was written. ``stored`` are the fields of the mark as they
    lie there, whatever they are: what a change of the mark is compared with.
    """

    schedule_id: object
    schedule: Schedule | None
    fault: Failure | None
    is_enabled: bool
    options: Mapping[str, object]
    mark: Mark | None
    stored: Mapping[str, object]

    def marked(self, mark: Mark) -> "ScheduleRecord":
        """Return it with another mark."""
        return replace(self, mark=mark, stored=mark_fields(mark))


def record_of(document: Mapping[str, object]) -> ScheduleRecord:
    """Read a document, whatever it is: one that makes no sense must not hide the others."""
    schedule, fault = None, None
    try:
        schedule = parse(document)
    except PermanentError as error:
        fault = failure_of(error)
    options = document.get("command")
    return ScheduleRecord(
        schedule_id=document.get("_id"),
        schedule=schedule,
        fault=fault,
        is_enabled=document.get("enabled") is not False,
        options=options if isinstance(options, Mapping) else {},
        mark=_mark_of(document),
        stored={name: document[name] for name in MARK_FIELDS if name in document},
    )


def mark_fields(mark: Mark) -> Mapping[str, object]:
    """Return a mark as it lies in a schedule's document."""
    return {"seen_as": mark.seen_as, "handled_to": mark.handled_to}


def _mark_of(document: Mapping[str, object]) -> Mark | None:
    seen_as, handled_to = (document.get(name) for name in MARK_FIELDS)
    if not isinstance(seen_as, str) or not isinstance(handled_to, datetime):
        return None
    return Mark(seen_as=seen_as, handled_to=handled_to.astimezone(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """Every schedule as it was read last, and what was found by looking at all of them.

    ``storages`` are the labels that are configured where this was read, the main one first.
    """

    records: tuple[ScheduleRecord, ...] = ()
    clashes: tuple[Clash, ...] = ()
    storages: tuple[str, ...] = field(default=("main",))

    @property
    def main(self) -> str:
        """The label of the main storage."""
        return self.storages[0]

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """Those that can be understood."""
        return tuple(each.schedule for each in self.records if each.schedule is not None)


def next_runs_of(schedules: Iterable[Schedule], now: datetime) -> tuple[NextRun, ...]:
    """Return the next run of each enabled schedule, the soonest first."""
    found = [
        NextRun(schedule=each.schedule_id, at=at, command=each.command.command)
        for each in schedules
        if each.enabled and each.cron is not None and each.command is not None
        if (at := _next(each.cron, each.timezone, _minute(now))) is not None
    ]
    return tuple(sorted(found, key=lambda each: (each.at, each.schedule)))


def last_two(schedule: Schedule, until: datetime) -> tuple[datetime, datetime] | None:
    """Return the last due time up to an instant, and the one before it, if there are both."""
    if schedule.cron is None:
        return None
    return _last_two(schedule.cron, schedule.timezone, _minute(until))


# Both are asked for every second, and change with the minute at most: due times are whole minutes.


@lru_cache(maxsize=512)
def _next(line: str, zone: str, after: datetime) -> datetime | None:
    return cron.parse(line).next_after(after, cron.zone(zone))


@lru_cache(maxsize=512)
def _last_two(line: str, zone: str, until: datetime) -> tuple[datetime, datetime] | None:
    parsed, where = cron.parse(line), cron.zone(zone)
    last = parsed.newest(until - _LOOK_BACK, until, where)
    if last is None:
        return None
    before = parsed.newest(last - _LOOK_BACK, last - _MINUTE, where)
    return None if before is None else (last, before)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
