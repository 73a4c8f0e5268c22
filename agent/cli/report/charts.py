"""Charts as shapes in pixels, for a page that only prints them: pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from agent.cli import words
from agent.cli.report.days import USUAL_LAG
from agent.cli.report.scale import Values, moments
from agent.model.backups import BackupEntry
from agent.model.coverage import Recoverable

# Room that a label of the time axis needs, and a bar with the space beside it, in pixels.
_LABEL_PX: Final = 72
_SLOT_PX: Final = 9
_WIDEST_BAR_PX: Final = 26
_LEFT_PX: Final = 62
_RIGHT_PX: Final = 8
_BAND_TOP: Final = 6
_BAND_HEIGHT: Final = 30
_TICKS_TOP: Final = 42
_COVERAGE_HEIGHT: Final = 80
_BARS_TOP: Final = 10
_BARS_HEIGHT: Final = 150
_AXIS_PX: Final = 26
# A gap is seen however short it is.
_THINNEST_GAP_PX: Final = 3.0
# Half of the widest label of the time axis: nearer to the edge of the chart there is none.
_END_PX: Final = 29


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle, and what it says when it is pointed at."""

    x: float
    y: float
    width: float
    height: float
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A text at a place of an axis; ``anchor`` as SVG has it."""

    x: float
    y: float
    text: str
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A backup on the line of time."""

    x: float
    is_damaged: bool
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageChart:
    """What can be restored, and the backups below it."""

    width: int
    height: int
    track: Box
    whole: tuple[Box, ...]
    gaps: tuple[Box, ...]
    marks: tuple[Mark, ...]
    marks_top: int
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Bars over time, ``behind`` the larger ones that those in front are a part of."""

    width: int
    height: int
    behind: tuple[Box, ...]
    front: tuple[Box, ...]
    lines: tuple[Label, ...]
    labels: tuple[Label, ...]
    left: int
    right: int
    base: int
    is_grouped: bool


def coverage_chart(
    entries: Sequence[BackupEntry],
    ranges: Sequence[Recoverable],
    begin: datetime,
    now: datetime,
    width: int,
) -> CoverageChart:
    """Draw time from ``begin`` to now; a range thinner than a pixel is left to a mark."""
    span_s = max(1.0, (now - begin).total_seconds())

    def x(when: datetime) -> float:
        part = (when - begin).total_seconds() / span_s
        return round(1 + min(1.0, max(0.0, part)) * (width - 2), 1)

    whole = [
        _band(x(each.begin.wall), x(each.last.wall), f"{_when(each)}: any second can be restored")
        for each in ranges
    ]
    return CoverageChart(
        width=width,
        height=_COVERAGE_HEIGHT,
        track=_band(1, width - 1, ""),
        whole=tuple(box for box in whole if box.width >= 1),
        gaps=tuple(_gaps(ranges, x, now)),
        marks=tuple(_marks(entries, x)),
        marks_top=_TICKS_TOP,
        labels=_time_labels(begin, now, (1, width - 1), _COVERAGE_HEIGHT - 8, width),
    )


def _when(each: Recoverable) -> str:
    return f"{words.moment(each.begin.wall)} to {words.moment(each.last.wall)}"


def _band(one: float, two: float, title: str) -> Box:
    return Box(x=one, y=_BAND_TOP, width=round(two - one, 1), height=_BAND_HEIGHT, title=title)


def _gaps(
    ranges: Sequence[Recoverable], x: Callable[[datetime], float], now: datetime
) -> Iterator[Box]:
    """Draw what lies between ranges, wide enough to be seen; those that meet are one."""
    pairs = [(one.last.wall, two.begin.wall) for one, two in pairwise(ranges)]
    if ranges and now - ranges[-1].last.wall > USUAL_LAG:
        pairs.append((ranges[-1].last.wall, now))
    found: list[tuple[float, float, list[tuple[datetime, datetime]]]] = []
    for one, two in pairs:
        spare = max(0.0, _THINNEST_GAP_PX - (x(two) - x(one))) / 2
        left, right = x(one) - spare, x(two) + spare
        if found and left <= found[-1][1]:
            found[-1] = (found[-1][0], right, [*found[-1][2], (one, two)])
        else:
            found.append((left, right, [(one, two)]))
    for left, right, inside in found:
        many = f", {len(inside)} gaps" if len(inside) > 1 else ""
        begun, ended = words.moment(inside[0][0]), words.moment(inside[-1][1])
        yield _band(left, right, f"{begun} to {ended}: cannot be restored{many}")


def _marks(entries: Sequence[BackupEntry], x: Callable[[datetime], float]) -> list[Mark]:
    """Return a mark for each pixel that has a backup; a damaged one is never hidden by others."""
    found: dict[int, list[BackupEntry]] = {}
    for entry in entries:
        found.setdefault(round(x(entry.consistent_at.wall)), []).append(entry)
    marks = []
    for at, inside in sorted(found.items()):
        damaged = [entry for entry in inside if entry.is_damaged]
        first = damaged[0] if damaged else inside[0]
        more = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
        title = f"backup {first.backup_id}{' is damaged' if damaged else ''}{more}"
        marks.append(Mark(x=float(at), is_damaged=bool(damaged), title=title))
    return sorted(marks, key=lambda mark: mark.is_damaged)


def _time_labels(
    begin: datetime, end: datetime, edges: tuple[float, float], y: int, width: int
) -> tuple[Label, ...]:
    left, right = edges
    found = []
    for tick in moments(begin, end, int((right - left) // _LABEL_PX)):
        at = round(left + tick.at * (right - left), 1)
        if _END_PX <= at <= width - _END_PX:
            found.append(Label(x=at, y=y, text=tick.label, anchor="middle"))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A value at a time, and the whole that it is a part of, if there is one."""

    when: datetime
    value: float
    whole: float
    title: str


def bar_chart(
    bars: Sequence[Bar],
    axis: Callable[[float], Values],
    begin: datetime,
    now: datetime,
    width: int,
) -> BarChart:
    """Draw a bar for each value; where they would not fit, the largest of each stretch of time."""
    left, right = _LEFT_PX, width - _RIGHT_PX
    slots = int((right - left) // _SLOT_PX)
    is_grouped = len(bars) > slots
    span_s = max(1.0, (now - begin).total_seconds())
    half = _bar_px(len(bars), right - left) / 2

    def x(when: datetime) -> float:
        part = min(1.0, max(0.0, (when - begin).total_seconds() / span_s))
        return left + half + part * (right - left - 2 * half)

    def slot(when: datetime) -> int:
        return min(slots - 1, int((x(when) - left) // _SLOT_PX))

    def middle(when: datetime) -> float:
        return left + (slot(when) + 0.5) * _SLOT_PX if is_grouped else x(when)

    if is_grouped:
        bars = _largest(bars, lambda bar: slot(bar.when))
    values = axis(max((max(bar.value, bar.whole) for bar in bars), default=0))
    base = _BARS_TOP + _BARS_HEIGHT

    def box(bar: Bar, value: float) -> Box:
        height = round(value / values.top * _BARS_HEIGHT, 1)
        at = round(middle(bar.when) - half, 1)
        return Box(x=at, y=base - height, width=round(2 * half, 1), height=height, title=bar.title)

    lines = [
        Label(x=left - 8, y=round(base - tick.at * _BARS_HEIGHT, 1), text=tick.label, anchor="end")
        for tick in values.ticks
    ]
    return BarChart(
        width=width,
        height=base + _AXIS_PX,
        behind=tuple(box(bar, bar.whole) for bar in bars if bar.whole > 0),
        front=tuple(box(bar, bar.value) for bar in bars),
        lines=tuple(lines),
        labels=_time_labels(begin, now, (left + half, right - half), base + _AXIS_PX - 7, width),
        left=left,
        right=right,
        base=base,
        is_grouped=is_grouped,
    )


def _bar_px(count: int, room: float) -> float:
    return min(float(_WIDEST_BAR_PX), max(_SLOT_PX - 2.0, room / max(1, count) * 0.6))


def _largest(bars: Sequence[Bar], slot: Callable[[Bar], int]) -> list[Bar]:
    found: dict[int, Bar] = {}
    for bar in bars:
        old = found.get(slot(bar))
        if old is None or bar.value >= old.value:
            found[slot(bar)] = bar
    return list(found.values())
