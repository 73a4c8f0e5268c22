"""Which days can be restored, month by month: pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import groupby
from typing import Final

from agent.model.coverage import Recoverable

# More would not be looked at, and a page should stay one.
_MOST_DAYS: Final = 396
# What is not archived yet is no gap; a problem in the status tells of more than that.
USUAL_LAG: Final = timedelta(minutes=5)


class Covered(StrEnum):
    """How much of a day can be restored."""

    WHOLE = "whole"
    PART = "part"
    NONE = "none"


MEANINGS: Final = {
    Covered.WHOLE: "every second can be restored",
    Covered.PART: "some of it can be restored",
    Covered.NONE: "none of it can be restored",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of UTC."""

    day: date
    covered: Covered
    backups: int

    @property
    def title(self) -> str:
        """What is to be known of it, in words."""
        made = f"{self.backups} backup{'' if self.backups == 1 else 's'}"
        return f"{self.day:%Y-%m-%d}: {MEANINGS[self.covered]}; {made}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """The days of a month that are told of; ``blanks`` stand before the first, from Monday on."""

    title: str
    blanks: int
    days: tuple[Day, ...]

    @property
    def summary(self) -> str:
        """The month in words, for whoever cannot see it."""
        return f"{self.title}: {counted(self.days)}"


def counted(days: Sequence[Day]) -> str:
    """Say how many of some days can be restored."""
    many = {each: sum(day.covered is each for day in days) for each in Covered}
    parts = [
        f"{many[Covered.WHOLE]} of {len(days)} day{'' if len(days) == 1 else 's'} wholly",
        f"{many[Covered.PART]} in part" if many[Covered.PART] else "",
        f"{many[Covered.NONE]} not at all" if many[Covered.NONE] else "",
    ]
    return ", ".join(part for part in parts if part)


def months_of(
    ranges: Sequence[Recoverable],
    backups: Sequence[datetime],
    begin: datetime,
    now: datetime,
) -> tuple[Month, ...]:
    """Return the months from a first moment to now, the latest ones if there are too many.

    The first day counts from ``begin`` on, and the last one up to now less the archive's usual
    lag. ``ranges`` are ascending and do not overlap.
    """
    made: dict[date, int] = {}
    for each in backups:
        made[each.astimezone(UTC).date()] = made.get(each.astimezone(UTC).date(), 0) + 1
    end = _end(ranges, now)
    days = [
        Day(day=day, covered=_covered(ranges, one, two), backups=made.get(day, 0))
        for day, one, two in _days(begin, end)
    ]
    found = []
    for _, group in groupby(days, key=lambda each: (each.day.year, each.day.month)):
        inside = tuple(group)
        first = inside[0].day
        title = f"{first:%B %Y}"
        found.append(Month(title=title, blanks=first.weekday(), days=inside))
    return tuple(found)


def _end(ranges: Sequence[Recoverable], now: datetime) -> datetime:
    last = ranges[-1].last.wall if ranges else now
    return last if timedelta(0) <= now - last <= USUAL_LAG else now


def _days(begin: datetime, end: datetime) -> Iterator[tuple[date, datetime, datetime]]:
    first = max(
        begin.astimezone(UTC).date(), end.astimezone(UTC).date() - timedelta(_MOST_DAYS - 1)
    )
    for number in range((end.astimezone(UTC).date() - first).days + 1):
        day = first + timedelta(days=number)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        yield day, max(midnight, begin), min(midnight + timedelta(days=1), end)


def _covered(ranges: Sequence[Recoverable], one: datetime, two: datetime) -> Covered:
    for each in ranges:
        if each.begin.wall <= one and two <= each.last.wall:
            return Covered.WHOLE
    touched = any(each.begin.wall <= two and one <= each.last.wall for each in ranges)
    return Covered.PART if touched else Covered.NONE
