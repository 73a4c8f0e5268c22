"""What the archived oplog covers: pure, and computed from a listing of segments alone.

A segment holds every entry after its ``begin``, up to and with its ``last``; so two of them leave
nothing out between them if one begins no later than the other ends.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """A segment as a listing shows it."""

    key: str
    begin: ClusterTime
    last: ClusterTime
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Span:
    """A range of cluster time: after ``begin``, up to and with ``last``."""

    begin: ClusterTime
    last: ClusterTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Recoverable:
    """A range of times that can be restored, ends included."""

    begin: ClusterTime
    last: ClusterTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A backup as what a replay can start from.

    The data stands for ``consistent_at``; a replay that is to go further reads the oplog after
    ``oplog_from``, which may be earlier: of several read times, or of a prepared transaction.
    """

    backup_id: str
    replset_id: str
    consistent_at: ClusterTime
    oplog_from: ClusterTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What one backup can be brought to: from its own time up to and with ``last``."""

    base: Base
    last: ClusterTime


def spans(segments: Iterable[Archived]) -> tuple[Span, ...]:
    """Return the union of what segments cover: ascending, none touching another."""
    return union(Span(begin=each.begin, last=each.last) for each in segments)


def union(covered: Iterable[Span]) -> tuple[Span, ...]:
    """Return what some spans cover together: ascending, none touching another."""
    found: list[Span] = []
    for each in sorted(covered):
        if found and each.begin <= found[-1].last:
            found[-1] = Span(begin=found[-1].begin, last=max(found[-1].last, each.last))
        else:
            found.append(each)
    return tuple(found)


def extended(covered: Sequence[Span], span: Span) -> tuple[Span, ...]:
    """Return spans with one more, wherever it lies."""
    return union((*covered, span))


def gaps(covered: Sequence[Span]) -> tuple[Span, ...]:
    """Return what lies between spans: entries after ``begin``, up to ``last``, are lost."""
    return tuple(Span(begin=one.last, last=two.begin) for one, two in pairwise(covered))


def chain(
    segments: Iterable[Archived], begin: ClusterTime, last: ClusterTime
) -> tuple[Archived, ...]:
    """Return the fewest segments that hold every entry after ``begin``, up to and with ``last``.

    In order; neighbours may overlap. None at all if ``last`` is not after ``begin``.

    Raises: PermanentError ``oplog_gap`` whose fact ``reached`` is how far the chain goes.
    """
    ordered = sorted(segments, key=lambda each: each.begin)
    found: list[Archived] = []
    reached, position = begin, 0
    while reached < last:
        best: Archived | None = None
        while position < len(ordered) and ordered[position].begin <= reached:
            if best is None or ordered[position].last > best.last:
                best = ordered[position]
            position += 1
        if best is None or best.last <= reached:
            raise PermanentError(
                "oplog_gap",
                f"the archive holds nothing after {reached}, up to {last}",
                hint=f"restore to {reached} or a time before it, or from a later backup",
                reached=str(reached),
            )
        found.append(best)
        reached = best.last
    return tuple(found)


def reach(base: Base, covered: Sequence[Span]) -> Reach:
    """Return how far a backup can be brought by what is covered; at least to its own time."""
    for span in covered:
        if span.begin <= base.oplog_from and base.consistent_at <= span.last:
            return Reach(base=base, last=span.last)
    return Reach(base=base, last=base.consistent_at)


def recoverable(reaches: Iterable[Reach]) -> tuple[Recoverable, ...]:
    """Return every time that can be restored: ascending ranges, none overlapping."""
    found: list[Recoverable] = []
    for each in sorted(reaches, key=lambda each: (each.base.consistent_at, each.last)):
        begin = each.base.consistent_at
        if found and begin <= found[-1].last:
            found[-1] = Recoverable(begin=found[-1].begin, last=max(found[-1].last, each.last))
        else:
            found.append(Recoverable(begin=begin, last=each.last))
    return tuple(found)
