"""Which segments of the archive are joined, and which may go: pure, from a listing alone.

Nothing is remembered between two looks at the listing. What was joined is known again by what it
is: large, or alone in its hour.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived, Base, Span, reach, spans

# Seconds; what is younger may be wanted by a restore to "latest" that was planned just now.
YOUNG_S: Final = 3600
_HOUR_S: Final = 3600
# Stored bytes of a joined segment, as its parts have them: oplogs are compressed to a quarter, so
# this is about 64 MiB of entries. What a segment really holds does not show in a listing.
MOST_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Consecutive segments that become one; neighbours may overlap."""

    parts: tuple[Archived, ...]

    @property
    def begin(self) -> ClusterTime:
        """The joined segment holds what comes after this."""
        return self.parts[0].begin

    @property
    def last(self) -> ClusterTime:
        """The time of the joined segment's last entry."""
        return self.parts[-1].last


def joins(
    segments: Iterable[Archived], now: datetime, *, most_bytes: int = MOST_BYTES
) -> tuple[Join, ...]:
    """Return what is to be joined: within clock hours of cluster time, never across a gap.

    An hour's turn comes when it has been over for an hour and the archive has gone on beyond it,
    so that everything of it is there. What is half as large as a joined segment may become stays
    as it is. So does a segment that nothing can be joined to.
    """
    outermost = maximal(segments)
    if not outermost:
        return ()
    over = (int(now.timestamp()) - YOUNG_S) // _HOUR_S
    end = min(over, _hour(outermost[-1]))
    found: list[Join] = []
    pile = _Pile(most_bytes)
    for each in outermost:
        if _hour(each) >= end:
            break
        if not pile.takes(each):
            found += pile.joined()
            pile = _Pile(most_bytes)
        # A large one begins a pile that takes nothing, and so stays alone.
        pile.add(each)
    return tuple(found + pile.joined())


class _Pile:
    """Segments that will be one, as far as they are known."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._parts: list[Archived] = []
        self._bytes = 0

    def takes(self, each: Archived) -> bool:
        """Whether a segment follows, in the same hour, and there is room for it."""
        if not self._parts:
            return True
        last = self._parts[-1]
        return (
            each.begin <= last.last
            and _hour(each) == _hour(last)
            and self._bytes + each.stored_bytes <= self._most_bytes
            and not self._is_large(each)
            and not self._is_large(last)
        )

    def add(self, each: Archived) -> None:
        self._parts.append(each)
        self._bytes += each.stored_bytes

    def joined(self) -> list[Join]:
        return [Join(parts=tuple(self._parts))] if len(self._parts) > 1 else []

    def _is_large(self, each: Archived) -> bool:
        return each.stored_bytes * 2 >= self._most_bytes


def maximal(segments: Iterable[Archived]) -> tuple[Archived, ...]:
    """Return the segments that lie within no other: both their ends ascend."""
    found: list[Archived] = []
    for each in sorted(segments, key=_outermost_first):
        if each.begin < each.last and (not found or each.last > found[-1].last):
            found.append(each)
    return tuple(found)


def superseded(
    segments: Sequence[Archived], now: datetime
) -> Mapping[Archived, tuple[Archived, ...]]:
    """Return each segment that holds smaller ones, with those; young ones are left out."""
    young = int(now.timestamp()) - YOUNG_S
    outermost = [each for each in maximal(segments) if each.last.seconds < young]
    found: dict[Archived, list[Archived]] = defaultdict(list)
    for each in segments:
        # Both ends of the outermost ascend: the first that ends late enough begins earliest.
        position = bisect_left(outermost, each.last, key=lambda holder: holder.last)
        if position == len(outermost) or outermost[position] == each:
            continue
        if outermost[position].begin <= each.begin:
            found[outermost[position]].append(each)
    return {holder: tuple(held) for holder, held in found.items()}


def stranded(
    made: Collection[Archived], before: Sequence[Archived], after: Sequence[Archived]
) -> tuple[Archived, ...]:
    """Return which of the segments that a pass made stand alone, because what follows is gone.

    ``before`` and ``after`` are listings: of before the pass read anything, and of after it wrote
    all. Compaction itself never takes away what follows without covering it. A prune does, from
    the old end on, parts first; so all that such a segment holds was to go, and it would stand
    before a hole that is none. Where nothing followed from the start there is a gap, and it stays.
    """
    left = list(after)
    found: list[Archived] = []
    for each in sorted(made, key=lambda one: one.last, reverse=True):
        was_followed = any(_follows(other, each) for other in before)
        has_parts = any(_is_within(other, each) for other in left if other != each)
        is_followed = any(_follows(other, each) for other in left)
        if each in left and was_followed and not has_parts and not is_followed:
            found.append(each)
            left.remove(each)
    return tuple(found)


def is_covered(segment: Archived, others: Iterable[Archived]) -> bool:
    """Whether other segments hold everything that one holds."""
    return any(span.begin <= segment.begin and segment.last <= span.last for span in spans(others))


def removable(
    own: Collection[Archived], segments: Sequence[Archived], bases: Sequence[Base]
) -> tuple[Archived, ...]:
    """Return which segments of a backup's own window may go with it.

    ``segments`` is everything of one replica set, ``bases`` are the other backups. One stays if
    it goes on from what was archived before, and so may be what the archive goes on from, or if
    without it another backup would not reach so far. One stays, too, that holds smaller ones of the
    archive: those may be removed at any time, because it is there.
    """
    if not own:
        return ()
    window = Span(begin=min(each.begin for each in own), last=max(each.last for each in own))
    left = list(segments)
    before = spans(left)
    reaches = [reach(base, before) for base in bases]
    found: list[Archived] = []
    for each in sorted(own, key=lambda each: each.begin):
        others = [other for other in left if other != each]
        if _holds_others(each, own, segments):
            continue
        if not is_covered(each, _near(each, others)):
            after = spans(others)
            if _goes_on(window, before) or [reach(base, after) for base in bases] != reaches:
                continue
        found.append(each)
        left = others
    return tuple(found)


def _hour(each: Archived) -> int:
    return each.last.seconds // _HOUR_S


def _outermost_first(each: Archived) -> tuple[ClusterTime, int, int]:
    return each.begin, -each.last.seconds, -each.last.increment


def _holds_others(each: Archived, own: Collection[Archived], segments: Sequence[Archived]) -> bool:
    return any(
        each.begin <= other.begin and other.last <= each.last and other not in own
        for other in segments
    )


def _goes_on(window: Span, covered: Sequence[Span]) -> bool:
    return any(span.begin < window.begin and window.last <= span.last for span in covered)


def _follows(other: Archived, each: Archived) -> bool:
    return other.begin <= each.last < other.last


def _is_within(other: Archived, each: Archived) -> bool:
    return each.begin <= other.begin and other.last <= each.last


def _near(each: Archived, others: Iterable[Archived]) -> list[Archived]:
    return [other for other in others if other.begin <= each.last and other.last >= each.begin]
