"""Where the archive goes on: after what is stored, or after a gap that is told."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from agent.core.errors import PermanentError, TransientError
from agent.jobs import segments
from agent.jobs.archive.ports import ArchivePorts
from agent.model.cluster_time import ClusterTime, Position
from agent.model.coverage import Archived, Span, spans

# Segments that cannot be read, and never will be; any other failure may pass or be mended.
_LOST: Final = frozenset({"damaged_object", "object_missing", "storage_archived"})
# So many of them at the end of the archive are looked behind, from the last one back.
_MOST_LOST: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What archiving begins with: entries after ``position`` come next.

    ``behind_s``: how far that place was behind the cluster when it was found. ``others``: what is
    covered of other replica sets of the same name, by replica set id.
    """

    position: Position
    covered: tuple[Span, ...]
    others: Mapping[str, tuple[Span, ...]]
    behind_s: float
    gap: Span | None = None


def find_start(ports: ArchivePorts) -> Start:
    """Find the place that the archive goes on from, and prove that nothing is missing before it.

    The note is newer than everything archived: when the node has reached it, an entry that is
    not there will not come any more.

    Raises: TransientError, also while the cluster's clock is behind the archive; PermanentError
    of the storage or the server.
    """
    note = ports.source.write_note("the archive begins")
    here = ports.tail.position(note)
    if here is None:
        raise TransientError("node_behind", f"the node has no entry of {note} yet")
    found = segments.listed(ports.store, ports.identity.replset)
    own = found.get(ports.identity.replset_id, ())
    every = {replset_id: spans(listed) for replset_id, listed in found.items()}
    covered = every.pop(ports.identity.replset_id, ())
    if covered and note <= covered[-1].last:
        raise TransientError(
            "clock_behind_archive",
            f"the cluster's time is {note}, and the archive goes up to {covered[-1].last} already",
            hint="wait, or check the clocks of all hosts",
        )
    position = _wanted(ports, covered) or _end_in_reach(ports, own, covered)
    if position is None and covered:
        return begin_anew(ports, covered, every, here)
    position = position or here
    behind_s = _seconds(position.time, note)
    return Start(position=position, covered=covered, others=every, behind_s=behind_s)


def _wanted(ports: ArchivePorts, covered: tuple[Span, ...]) -> Position | None:
    """Return where the newest backup begins, if that is before the archive and can be had."""
    wanted = ports.wanted_from()
    if wanted is None or (covered and wanted >= covered[0].begin):
        return None
    return ports.tail.position(wanted)


def _end_in_reach(
    ports: ArchivePorts, own: tuple[Archived, ...], covered: tuple[Span, ...]
) -> Position | None:
    """Return the earliest end of what is covered that the oplog still has.

    Usually there is but one. A backup stores oplog of its own, though: while nobody archived,
    that made an island, and what lies before it would be lost if the archive went on behind it.
    A hole that ends with a barrier is none to be filled.
    """
    oldest = ports.tail.oldest()
    for span, following in zip_longest(covered, covered[1:]):
        if span.last < oldest.time:
            continue
        if following is not None and ports.tail.has_barrier(following.begin):
            continue
        within = tuple(one for one in own if span.begin < one.last <= span.last)
        last = _last_readable(ports, within)
        if last is not None and ports.tail.position(last.time) == last:
            return last
        ports.log.error(
            "the oplog does not have what was archived", last=str(last), reached=str(span.last)
        )
    return None


def begin_anew(
    ports: ArchivePorts,
    covered: tuple[Span, ...],
    others: Mapping[str, tuple[Span, ...]],
    here: Position,
) -> Start:
    """Return a start behind a gap: as early as this oplog allows, but after all that is covered.

    An oplog that has rolled begins after what is covered; one of another history does not.

    Raises: PermanentError ``oplog_elsewhere``: another node has what this one lacks.
    """
    reached = covered[-1].last if covered else ClusterTime(0, 0)
    other = ports.elsewhere(reached) if covered else None
    if other is not None:
        raise PermanentError(
            "oplog_elsewhere",
            f"this node's oplog does not go on at {reached}, and that of {other} may",
            hint="its agent should archive; give all nodes an oplog of the same size",
        )
    oldest = ports.tail.oldest()
    position = oldest if oldest.time > reached else here
    return Start(
        position=position,
        covered=covered,
        others=others,
        behind_s=_seconds(position.time, here.time),
        gap=Span(begin=reached, last=position.time) if covered else None,
    )


def _last_readable(ports: ArchivePorts, own: tuple[Archived, ...]) -> Position | None:
    """Return the place of the last entry of the last segment that can be read.

    What damaged ones behind it held is archived again, if the oplog still has it.
    """
    newest_first = sorted(own, key=lambda segment: segment.last, reverse=True)
    for segment in newest_first[:_MOST_LOST]:
        try:
            return segments.last_position(ports.store, segment)
        except PermanentError as error:
            if error.code not in _LOST:
                raise
            ports.log.error(
                "a segment cannot be read",
                key=segment.key,
                code=error.code,
                reason=error.message,
            )
    return None


def _seconds(begin: ClusterTime, last: ClusterTime) -> float:
    return float(max(0, last.seconds - begin.seconds))
