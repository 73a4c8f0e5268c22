"""What can be restored, drawn as one line of blocks: pure.

A cell is full only if every moment in it can be restored, so the line never claims more than is
there, and a gap shows however thin it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Recoverable


@dataclass(frozen=True, slots=True, kw_only=True)
class Glyphs:
    """The signs of a line: of cells, and of the backups below them."""

    full: str
    part: str
    none: str
    backup: str
    limited: str
    damaged: str


BLOCKS = Glyphs(full="█", part="▒", none="·", backup="▲", limited="△", damaged="✗")
ASCII = Glyphs(full="#", part="+", none=".", backup="^", limited="o", damaged="x")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Two lines of equal width: ``cells`` from ``begin`` to ``end``, and ``marks`` below them."""

    begin: datetime
    end: datetime
    cells: str
    marks: str


def glyphs_for(encoding: str) -> Glyphs:
    """Return the signs that an encoding can write."""
    try:
        "".join(getattr(BLOCKS, name) for name in Glyphs.__slots__).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BLOCKS


def timeline(
    entries: Sequence[BackupEntry],
    ranges: Sequence[Recoverable],
    now: datetime,
    *,
    width: int,
    glyphs: Glyphs = BLOCKS,
) -> Timeline | None:
    """Draw from the oldest backup or range to now; None if there is nothing to draw.

    ``ranges``: ascending, none overlapping. If what lies between the newest time that can be
    restored and now is thinner than a cell, the line ends at that time: it is the lag of the
    archive, no gap.
    """
    begins = [each.consistent_at for each in entries] + [each.begin for each in ranges]
    if not begins or width < 1:
        return None
    begin = min(begins)
    end = _end(ranges, begin, now, width)
    edges = [begin, *_edges(begin, end, width)]
    cells = "".join(_cell(ranges, one, two, glyphs) for one, two in pairwise(edges))
    return Timeline(
        begin=begin.wall,
        end=end.wall,
        cells=cells,
        marks=_marks(entries, edges, glyphs).rstrip(),
    )


def _end(
    ranges: Sequence[Recoverable], begin: ClusterTime, now: datetime, width: int
) -> ClusterTime:
    last = max((each.last for each in ranges), default=begin)
    until = max(int(now.timestamp()), begin.seconds + 1)
    if last.seconds > begin.seconds and (until - last.seconds) * width < until - begin.seconds:
        return last
    return ClusterTime(until, 0)


def _edges(begin: ClusterTime, end: ClusterTime, width: int) -> list[ClusterTime]:
    """Return where each cell ends; the last one exactly at the end.

    Rounded to whole seconds, as nothing is drawn finer; where there are fewer seconds than cells,
    some cells are as empty as the time in them.
    """
    span = end.seconds - begin.seconds
    whole = [ClusterTime(begin.seconds + span * n // width, 0) for n in range(1, width)]
    inside = accumulate(whole, max, initial=begin)
    return [*list(inside)[1:], end]


def _cell(ranges: Sequence[Recoverable], one: ClusterTime, two: ClusterTime, glyphs: Glyphs) -> str:
    if any(each.begin <= one and two <= each.last for each in ranges):
        return glyphs.full
    touched = any(each.begin <= two and one <= each.last for each in ranges)
    return glyphs.part if touched else glyphs.none


def _marks(entries: Sequence[BackupEntry], edges: Sequence[ClusterTime], glyphs: Glyphs) -> str:
    """Mark the cell of each backup; of several in a cell the one to worry about most."""
    width = len(edges) - 1
    found = [" "] * width
    order = (" ", glyphs.limited, glyphs.backup, glyphs.damaged)
    for entry in entries:
        at = _cell_of(entry.consistent_at, edges)
        sign = glyphs.limited if entry.namespaces else glyphs.backup
        sign = glyphs.damaged if entry.is_damaged else sign
        found[at] = max(found[at], sign, key=order.index)
    return "".join(found)


def _cell_of(time: ClusterTime, edges: Sequence[ClusterTime]) -> int:
    for number, edge in enumerate(edges[1:]):
        if time < edge:
            return number
    return len(edges) - 2


def axis(line: Timeline, now: datetime) -> str:
    """Write where a line begins and ends, as far apart as it is wide."""
    is_long = line.end - line.begin >= timedelta(days=2)
    form = "%Y-%m-%d" if is_long else "%Y-%m-%d %H:%M"
    left = line.begin.strftime(form)
    near = now - line.end < max(timedelta(minutes=1), (now - line.begin) / 100)
    right = "now (UTC)" if near else f"{line.end.strftime(form)} (UTC)"
    room = max(1, len(line.cells) - len(left) - len(right))
    return f"{left}{' ' * room}{right}"
