"""Schedules: documents that operators insert; when they are due, and what a run is called. Pure.

What is due follows from the schedule, the mark that agents keep in it, and now; so any agent may
go on where another one died. The order of the steps is: insert the command, then move the mark.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import combinations
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from agent.core.errors import PermanentError
from agent.model import cron, keys
from agent.model.commands import REQUESTS, Backup, Bson, Request
from agent.model.commands import parse as parse_command

# A command that is aimed at one other command has no place in a schedule.
SCHEDULED: Final[Mapping[str, type[Request]]] = {
    name: model for name, model in REQUESTS.items() if name != "cancel"
}
# What agents add to a schedule's document, with the BSON types of each.
MARK_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "seen_as": ("string",),
    "handled_to": ("date",),
}
# The commands that a retention may stand beside.
_MAKE_OR_REMOVE: Final[frozenset[str]] = frozenset({"backup", "prune"})
# A hundred years: longer than anybody keeps anything, shorter than a date can bear.
_MOST: Final = 36_500
# How far back a change is believed to have been made after the last look; seconds.
_LOOK_S: Final = 60
# A mark further ahead than this was set by a clock that was wrong.
_AHEAD: Final = timedelta(hours=1)
# So many runs, all at the same times, are no accident.
_ALWAYS: Final = 10


def _cron(line: str) -> str:
    cron.parse(line)
    return line


def _timezone(name: str) -> str:
    cron.zone(name)
    return name


def _command(value: object) -> Request:
    if not isinstance(value, Mapping):
        raise ValueError("must be a document")  # noqa: TRY004 - pydantic collects ValueErrors
    name = value.get("command")
    if not isinstance(name, str) or name not in SCHEDULED:
        raise ValueError(f"must be one of: {', '.join(sorted(SCHEDULED))}")
    try:
        return parse_command(value)
    except PermanentError as error:
        raise ValueError(f"is wrong: {error.message} ({error.hint})") from error


ScheduleId = Annotated[
    str, Field(min_length=1, max_length=128), Bson(("string",), r"[A-Za-z0-9_.\-]{1,128}")
]
CronLine = Annotated[str, AfterValidator(_cron), Bson(("string",), cron.PATTERN)]
ZoneName = Annotated[str, AfterValidator(_timezone), Bson(("string",), r"[A-Za-z0-9_+\-/]{1,64}")]
Command = Annotated[Request, PlainValidator(_command), Bson(("object",))]
Count = Annotated[int, Field(ge=1, le=_MOST)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Retention(_Document):
    """Which backups stay: those that any of the rules keeps."""

    keep_last: Count | None = Field(None, description="how many of the newest backups stay")
    keep_daily: Count | None = Field(
        None, description="the newest backup of each of so many days that have one stays"
    )
    keep_weekly: Count | None = Field(
        None, description="the newest backup of each of so many weeks that have one stays"
    )
    keep_monthly: Count | None = Field(
        None, description="the newest backup of each of so many months that have one stays"
    )
    keep_within_days: Count | None = Field(
        None, description="backups that are not older than so many days stay"
    )
    recovery_window_days: Count | None = Field(
        None, description="every second of so many days stays restorable"
    )

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        if not self.rules:
            names = ", ".join(type(self).model_fields)
            raise ValueError(f"would keep nothing; give at least one of: {names}")
        return self

    @property
    def rules(self) -> Mapping[str, int]:
        """The rules that were given, by their names."""
        return self.model_dump(exclude_none=True)


class Schedule(_Document):
    """A recurring command, a retention, or both."""

    schedule_id: ScheduleId = Field(
        alias="_id", description='a name of letters, digits and _.-, such as "nightly"'
    )
    cron: CronLine | None = Field(
        None, description='minute, hour, day, month, weekday, such as "0 3 * * *"; with a command'
    )
    timezone: ZoneName = Field(
        "UTC", description='where cron and days of retention are meant, such as "Europe/Vienna"'
    )
    command: Command | None = Field(
        None, description='what is inserted at each due time, such as {command: "backup"}'
    )
    retention: Retention | None = Field(
        None, description="which backups of the storage stay; absent: this schedule rules none"
    )
    storage: str | None = Field(
        None, description="label of the storage of a retention without a command; absent: main"
    )
    enabled: bool = Field(default=True, description="false: nothing is run and nothing removed")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.cron is None) != (self.command is None):
            raise ValueError("takes 'cron' and 'command' together, or neither")
        if self.command is None and self.retention is None:
            raise ValueError("does nothing; give 'cron' and 'command', or 'retention', or all")
        if self.command is not None and self.storage is not None:
            raise ValueError("takes 'storage' within 'command' where there is one")
        name = None if self.command is None else self.command.command
        if self.retention is not None and name is not None and name not in _MAKE_OR_REMOVE:
            raise ValueError("takes 'retention' with the command backup or prune, or alone")
        return self

    @property
    def where(self) -> tzinfo:
        """The time zone."""
        return cron.zone(self.timezone)

    @property
    def seen_as(self) -> str:
        """What decides when it is due: as long as this is the same, a mark is valid."""
        line = " ".join((self.cron or "").split())
        return f"{line} {self.timezone} {'on' if self.enabled else 'off'}"

    @property
    def storage_label(self) -> str | None:
        """The label that the command or the retention names, None for the main storage."""
        return self.storage if self.command is None else getattr(self.command, "storage", None)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Which part its backups are of, and so its retention; empty: of everything."""
        return (self.command.namespaces or ()) if isinstance(self.command, Backup) else ()


def parse(document: Mapping[str, object]) -> Schedule:
    """Read a document of ``schedules``, without regard to what agents added to it.

    Raises: PermanentError ``bad_schedule`` naming each wrong field and the mend.
    """
    name = document.get("_id")
    fields = {key: value for key, value in document.items() if key not in MARK_FIELDS}
    try:
        return Schedule.model_validate(fields)
    except ValidationError as error:
        faults = dict.fromkeys(_sentence(fault) for fault in error.errors())
        raise PermanentError(
            "bad_schedule",
            f"the schedule {name!r}: {'; '.join(faults)}",
            hint="correct the document in the collection schedules; until then it is not run, "
            "and no backup is removed by any retention",
            schedule=str(name),
        ) from error


_WORDS: Final[Mapping[str, str]] = {
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "model_type": "must be a document",
    "greater_than_equal": "must be at least 1; leave it out if it is not wanted",
    "less_than_equal": f"must be at most {_MOST}",
}


def _sentence(fault: ErrorDetails) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    match fault["type"]:
        case "extra_forbidden":
            return f"there is no field {place!r}"
        case "missing":
            return f"{place!r} is missing"
        case "value_error":
            return f"{place} {fault['ctx']['error']}".lstrip()
        case kind:
            return f"{place} {_WORDS.get(kind, fault['msg'])}"


# ------------------------------------------------------------------ what is due


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What agents keep in a schedule: every due time up to ``handled_to`` (UTC) is settled.

    ``seen_as`` is what decided the due times then.
    """

    seen_as: str
    handled_to: datetime


def settled(
    schedule: Schedule, mark: Mark | None, now: datetime, looked_at: datetime | None = None
) -> Mark:
    """Return the mark that a schedule should have before it is asked what is due.

    The same one, unless the schedule is new or was changed: then nothing is due that was so
    before it was like this. ``looked_at`` is when this agent last read the schedules, if it did:
    the change was made after that; of older looks, and without any, the change counts from now.
    A mark that lies in the future was set by a wrong clock, and is set anew.
    """
    if mark is not None and mark.seen_as == schedule.seen_as and mark.handled_to <= now + _AHEAD:
        return mark
    since = now
    if looked_at is not None and looked_at <= now:
        since = looked_at if now - looked_at <= timedelta(seconds=_LOOK_S) else now
    return Mark(seen_as=schedule.seen_as, handled_to=since)


def due(schedule: Schedule, mark: Mark, now: datetime) -> datetime | None:
    """Return the due time that is to be run now, if there is one: the newest not yet settled.

    What was due before it, while nobody was there to run it, is settled with it.
    """
    if schedule.cron is None or not schedule.enabled:
        return None
    return cron.parse(schedule.cron).newest(mark.handled_to, now, schedule.where)


def handled(mark: Mark, due_at: datetime) -> Mark:
    """Return the mark after the command for a due time was inserted, or found to be there."""
    return Mark(seen_as=mark.seen_as, handled_to=max(mark.handled_to, due_at))


def next_runs(schedule: Schedule, now: datetime, count: int = 1) -> tuple[datetime, ...]:
    """Return the next due times after now, at most so many; none of a disabled schedule."""
    found: list[datetime] = []
    if schedule.cron is not None and schedule.enabled:
        line = cron.parse(schedule.cron)
        after: datetime | None = now
        while len(found) < count and after is not None:
            after = line.next_after(after, schedule.where)
            found += [after] if after is not None else []
    return tuple(found)


# ------------------------------------------------------------------ what a run is called


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One due time of one schedule, in UTC."""

    schedule_id: str
    due_at: datetime

    @property
    def command_id(self) -> str:
        """The ``_id`` of its command: there can be only one, whoever inserts it."""
        return f"{self.schedule_id}@{keys.backup_id(self.due_at)}"


def run_of(command_id: object) -> Run | None:
    """Return which run a command is; None of one that somebody inserted by hand."""
    if not isinstance(command_id, str):
        return None
    schedule_id, at, time = command_id.rpartition("@")
    if not at or not schedule_id or not keys.is_backup_id(time):
        return None
    try:
        return Run(schedule_id=schedule_id, due_at=keys.backup_time(time).astimezone(UTC))
    except ValueError:
        return None


def is_superseded(command_id: object, waiting: Sequence[object]) -> bool:
    """Whether a run that nobody took yet is to give way to a later one of its schedule."""
    run = run_of(command_id)
    return run is not None and any(
        other is not None and other.schedule_id == run.schedule_id and other.due_at > run.due_at
        for other in map(run_of, waiting)
    )


def may_forget(command_id: object, mark: Mark | None) -> bool:
    """Whether a command that ended long ago may be removed from ``commands``.

    While its due time is not behind the mark, its ``_id`` is what keeps it from running again.
    ``mark`` is that of its schedule, None if there is no such schedule any more.
    """
    run = run_of(command_id)
    return run is None or mark is None or run.due_at <= mark.handled_to


# ------------------------------------------------------------------ schedules beside each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Two schedules that always write to one storage at the same minute."""

    first: str
    second: str
    at: datetime

    @property
    def message(self) -> str:
        """What an operator is told."""
        return (
            f"the schedules {self.first!r} and {self.second!r} are always due at the same minute, "
            f"next at {self.at:%Y-%m-%d %H:%M} UTC: one waits until the other is done"
        )


def clashes(schedules: Sequence[Schedule], now: datetime, main: str) -> tuple[Clash, ...]:
    """Return which schedules stand in each other's way; ``main`` is the main storage's label.

    Both are enabled, write data, and to the same storage; and each of the next ten runs of one
    is due together with a run of the other. That they meet now and then is no fault.
    """
    return tuple(
        clash
        for one, two in combinations(sorted(schedules, key=lambda each: each.schedule_id), 2)
        if _is_writing(one) and _is_writing(two)
        if (one.storage_label or main) == (two.storage_label or main)
        for clash in _clash(one, two, now)
    )


def _is_writing(schedule: Schedule) -> bool:
    return schedule.enabled and schedule.command is not None and schedule.command.writes_data


def _clash(one: Schedule, two: Schedule, now: datetime) -> Iterator[Clash]:
    for rare, other in ((one, two), (two, one)):
        runs = next_runs(rare, now, _ALWAYS)
        line = cron.parse(other.cron or "")
        if runs and all(line.between(at - timedelta(seconds=1), at, other.where) for at in runs):
            yield Clash(first=one.schedule_id, second=two.schedule_id, at=runs[0])
            return
