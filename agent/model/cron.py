"""Cron lines as cron means them, in a time zone: which instants are due. Pure.

APScheduler walks the fields of a line; three things that it sees otherwise than cron are put
right here. It counts weekdays from Monday, cron from Sunday, which is 0 and 7 (its issue 286). It
wants day and weekday both, cron either of them where both are given (crontab(5)). And it walks
the zone's own clock, which skips and repeats; here it walks a clock without zone, and each time
that this shows is turned into an instant afterwards.
"""

import difflib
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from apscheduler.triggers.cron import CronTrigger

_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTHS: Final = (
    *("jan", "feb", "mar", "apr", "may", "jun"),
    *("jul", "aug", "sep", "oct", "nov", "dec"),
)
_NAMES: Final = ("minute", "hour", "day", "month", "weekday")
_HINT: Final = 'write five fields: minute, hour, day, month, weekday, such as "0 3 * * *"'

# What numbers and names each field takes, in the order of ``_NAMES``.
_VALUES: Final = (
    "[0-5]?[0-9]",
    "([01]?[0-9]|2[0-3])",
    "(0?[1-9]|[12][0-9]|3[01])",
    f"(0?[1-9]|1[0-2]|{'|'.join(_MONTHS)})",
    f"([0-7]|{'|'.join(_WEEKDAYS)})",
)
_LOOSELY: Final = (
    *_VALUES[:3],
    "(0?[1-9]|1[0-2]|[A-Za-z]{3})",
    "([0-7]|[A-Za-z]{3})",
)

_SECOND: Final = timedelta(seconds=1)
# Wide enough for every jump of a clock there was: an island that crossed the date line lost a day.
_JUMP: Final = timedelta(hours=26)
# How far is looked at once: few steps for what is due every minute, and for what is due on 29 Feb.
_LOOKS: Final = tuple(timedelta(hours=hours) for hours in (1, 24, 24 * 31, 24 * 400, 24 * 366 * 9))
# Weekdays and leap days repeat every 28 years (but for centuries): what is not due then, never is.
_SAMPLE: Final = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))
# A walk that finds nothing must end.
_END: Final = datetime(2200, 1, 1, tzinfo=UTC)


def _field(value: str) -> str:
    part = rf"(\*|{value}(-{value})?)(/[1-9][0-9]?)?"
    return f"{part}(,{part})*"


PATTERN: Final = f" *{' +'.join(_field(value) for value in _LOOSELY)} *"
"""What a line looks like, for regular expressions of Python and of MongoDB alike.

Short enough to be shown to people: it lets any three letters stand for a name.
"""


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """Return a time zone by its name in the IANA database.

    ``UTC`` is there on hosts without that database, too.

    Raises: ValueError with the mend.
    """
    if name == "UTC":
        return UTC
    names = zoneinfo.available_timezones()
    if name in names:
        return zoneinfo.ZoneInfo(name)
    alike = difflib.get_close_matches(name, names, n=1)
    mend = f"did you mean {alike[0]!r}?" if alike else 'write it as in "Europe/Vienna", or "UTC"'
    raise ValueError(f"names no time zone: {name!r}; {mend}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A line that was understood; made by ``parse``."""

    line: str
    triggers: tuple[CronTrigger, ...]
    is_hourly: bool
    """Whether the hour is ``*`` or ``*/n``: then hours that a clock shows twice count twice."""

    def between(self, after: datetime, until: datetime, where: tzinfo) -> tuple[datetime, ...]:
        """Return every due instant after one and up to another, ascending, in UTC.

        A local time that is skipped is due when the clock has jumped over it, as much later as
        the jump is wide; one that comes twice is due the first time, unless the line is hourly.
        """
        if until <= after:
            return ()
        first = after.astimezone(where).replace(tzinfo=UTC) - _unrest(after, where)
        last = until.astimezone(where).replace(tzinfo=UTC) + _unrest(until, where)
        found = {
            instant
            for trigger in self.triggers
            for wall in _walls(trigger, first, last)
            for instant in self._instants(wall, where)
        }
        return tuple(sorted(each for each in found if after < each <= until))

    def next_after(self, after: datetime, where: tzinfo) -> datetime | None:
        """Return the first due instant after one; None if there is none in nine years."""
        begin = after
        for look in _LOOKS:
            found = self.between(begin, after + look, where)
            if found:
                return found[0]
            begin = after + look
        return None

    def newest(self, after: datetime, until: datetime, where: tzinfo) -> datetime | None:
        """Return the last due instant after one and up to another, if there is any."""
        end = until
        for look in (*_LOOKS, until - after):
            begin = max(after, until - look)
            found = self.between(begin, end, where)
            if found:
                return found[-1]
            end = begin
        return None

    def _instants(self, wall: datetime, where: tzinfo) -> Iterator[datetime]:
        first = wall.replace(tzinfo=where, fold=0).astimezone(UTC)
        yield first
        if self.is_hourly:
            second = wall.replace(tzinfo=where, fold=1).astimezone(UTC)
            if second > first:  # it is earlier where the clock jumps forward
                yield second


@lru_cache(maxsize=256)
def parse(line: str) -> Cron:
    """Read a line of five fields as crontab(5) describes them; month and weekday may be names.

    Raises: ValueError naming the field and the mend.
    """
    fields = line.split()
    if len(fields) != len(_NAMES):
        raise ValueError(f"has {len(fields)} fields; {_HINT}")
    for name, value, field in zip(_NAMES, _VALUES, fields, strict=True):
        if not re.fullmatch(_field(value), field.lower()):
            raise ValueError(f"has a wrong {name}: {field!r}; {_HINT}")
    minute, hour, day, month, weekday = (field.lower() for field in fields)
    weekdays = _weekdays(weekday)
    common = {"minute": minute, "hour": hour, "month": month}
    if day.startswith("*") or weekday.startswith("*"):
        days: tuple[Mapping[str, str], ...] = ({"day": day, "day_of_week": weekdays},)
    else:
        days = ({"day": day}, {"day_of_week": weekdays})
    triggers = tuple(_trigger({**common, **each}) for each in days)
    if all(next(_walls(each, *_SAMPLE), None) is None for each in triggers):
        raise ValueError(f"is never due: no {month!r} has a day {day!r}")
    return Cron(line=line, triggers=triggers, is_hourly=hour.startswith("*"))


def _trigger(fields: Mapping[str, str]) -> CronTrigger:
    # Left to itself, APScheduler takes the lowest value where nothing is said, not every value.
    every = {"day": "*", "day_of_week": "*", **fields}
    try:
        return CronTrigger(second="0", timezone=UTC, end_date=_END, **every)
    except ValueError as error:
        raise ValueError(f"cannot be: {error}; {_HINT}") from error


def _weekdays(field: str) -> str:
    """Return names for a weekday field, which mean the same to whoever counts otherwise.

    Raises: ValueError for a range that runs backwards.
    """
    if field == "*":
        return field
    found: set[int] = set()
    for part in field.split(","):
        values, _, step = part.partition("/")
        begin, _, end = values.partition("-")
        if values == "*":
            first, last = 0, 6
        else:
            first = _weekday(begin)
            last = _weekday(end) if end else (6 if step else first)
        if last < first:
            raise ValueError(f"has a weekday range that runs backwards: {values!r}; write a list")
        found.update(day % 7 for day in range(first, last + 1, int(step or 1)))
    return ",".join(_WEEKDAYS[day] for day in sorted(found))


def _weekday(text: str) -> int:
    return int(text) if text.isdecimal() else _WEEKDAYS.index(text)


def _walls(trigger: CronTrigger, first: datetime, last: datetime) -> Iterator[datetime]:
    """Yield what a clock without zone shows when a trigger is due, both ends included."""
    found = trigger.get_next_fire_time(None, first)
    while found is not None and found <= last:
        yield found
        found = trigger.get_next_fire_time(None, found + _SECOND)


def _unrest(at: datetime, where: tzinfo) -> timedelta:
    """Return how far local times about an instant may stand in another order than instants."""
    near = (at - _JUMP, at, at + _JUMP)
    offsets = {each.astimezone(where).utcoffset() for each in near}
    return _JUMP if len(offsets) > 1 else timedelta(0)
