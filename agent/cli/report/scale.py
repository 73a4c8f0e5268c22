"""Where the lines of an axis stand, and what is written beside them: pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
# Steps that people count in.
_TIME_STEPS_S: Final = (
    _MINUTE, 5 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE,
    _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR,
    _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY,
)  # fmt: skip
_MONTH_STEPS: Final = (1, 2, 3, 6, 12, 24, 60)
_DURATION_STEPS_S: Final = (
    1, 2, 5, 10, 15, 30,
    _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE,
    _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, _DAY, 2 * _DAY, 7 * _DAY,
)  # fmt: skip
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
# Lines of a value axis, beside the one at zero.
_MOST_VALUES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A line of an axis: ``at`` is 0 at its begin and 1 at its end."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """An axis of values from zero to ``top``."""

    top: float
    ticks: tuple[Tick, ...]


def moments(begin: datetime, end: datetime, most: int) -> tuple[Tick, ...]:
    """Return at most so many lines of a time axis, at round times of UTC."""
    span_s = (end - begin).total_seconds()
    if span_s <= 0:
        return ()
    found = list(_round_times(begin, end, max(1, most)))
    return tuple(
        Tick(at=(when - begin).total_seconds() / span_s, label=text) for when, text in found
    )


def _round_times(begin: datetime, end: datetime, most: int) -> Iterator[tuple[datetime, str]]:
    span_s = (end - begin).total_seconds()
    step_s = next((each for each in _TIME_STEPS_S if span_s / each <= most), None)
    if step_s is None:
        yield from _round_months(begin, end, most)
        return
    # Steps of a week and more are counted from a Monday.
    monday = datetime(1970, 1, 5, tzinfo=UTC)
    number = -((monday - begin) // timedelta(seconds=step_s))
    when = monday + number * timedelta(seconds=step_s)
    while when <= end:
        if when >= begin:
            at_midnight = when.hour == when.minute == 0
            yield when, f"{when:%b} {when.day}" if at_midnight else f"{when:%H:%M}"
        when += timedelta(seconds=step_s)


def _round_months(begin: datetime, end: datetime, most: int) -> Iterator[tuple[datetime, str]]:
    months = (end.year - begin.year) * 12 + end.month - begin.month + 1
    step = next((each for each in _MONTH_STEPS if months / each <= most), _MONTH_STEPS[-1])
    number = begin.year * 12 + begin.month - 1
    for month in range(number - number % step, end.year * 12 + end.month, step):
        when = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if begin <= when <= end:
            yield when, f"{when:%b %Y}"


def byte_values(largest: float) -> Values:
    """Return an axis that reaches a number of bytes, in decimal units."""
    power = 0
    while largest >= 1000 ** (power + 1) and power < len(_UNITS) - 1:
        power += 1
    unit = 1000**power
    steps = (unit * each for each in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000))
    return _values(largest, steps, lambda value: f"{value / unit:g} {_UNITS[power]}")


def duration_values(largest_s: float) -> Values:
    """Return an axis that reaches a number of seconds."""
    return _values(largest_s, iter(_DURATION_STEPS_S), _duration)


def _values(largest: float, steps: Iterator[int], label: Callable[[float], str]) -> Values:
    step = next((each for each in steps if largest / each <= _MOST_VALUES), None)
    if step is None:
        step = int(largest / _MOST_VALUES) + 1
    count = max(1, -int(-largest // step))
    ticks = [Tick(at=number / count, label=label(number * step)) for number in range(count + 1)]
    return Values(top=float(count * step), ticks=tuple(ticks))


def _duration(seconds: float) -> str:
    for unit_s, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= unit_s:
            return f"{seconds / unit_s:.3g} {name}"
    return f"{seconds:g} s"
