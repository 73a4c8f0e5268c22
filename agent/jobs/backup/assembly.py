"""From the records of all tasks to what the manifest says: pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.core.errors import PermanentError
from agent.model.catalogue import Collection
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Copy
from agent.model.tasks import Ended, Stored, TaskReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What was read: the copies by namespace, the nodes, and the latest time that counts.

    ``consistent_at`` is the latest cluster time used for any read, and not before any drop
    that ended one.
    """

    copies: tuple[Copy, ...]
    nodes: tuple[str, ...]
    consistent_at: ClusterTime


@dataclass(slots=True)
class _Parts:
    collection: Collection
    stored: list[Stored] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)


def assemble(reports: Sequence[TaskReport], read_at: ClusterTime) -> Assembled:
    """Join the records of all tasks, which are in order of task and sequence.

    Raises: PermanentError ``backup_incomplete`` if a member was not read to its end.
    """
    parts: dict[tuple[bytes, str], _Parts] = {}
    nodes: set[str] = set()
    for report in reports:
        if any(isinstance(record, Stored) for record in report.records):
            nodes.update(report.holders)
        _join(report, parts)
    kept = [part for part in parts.values() if not any(end.gone_at for end in part.ended)]
    copies = sorted((_copy(part) for part in kept), key=lambda copy: copy.collection.namespace)
    return Assembled(
        copies=tuple(copies),
        nodes=tuple(sorted(nodes)),
        consistent_at=max([read_at, *_times(parts)]),
    )


def _join(report: TaskReport, parts: dict[tuple[bytes, str], _Parts]) -> None:
    by_member: dict[int, list[Stored]] = defaultdict(list)
    ends: dict[int, Ended] = {}
    for record in report.records:
        match record:
            case Stored():
                by_member[record.member].append(record)
            case Ended():
                ends[record.member] = record
    for number, member in enumerate(report.task.members):
        end = ends.get(number)
        if end is None:
            raise PermanentError(
                "backup_incomplete",
                f"{member.collection.namespace} was not read to its end",
                task=report.task.number,
            )
        key = (member.collection.uuid, str(member.collection.namespace))
        part = parts.setdefault(key, _Parts(member.collection))
        part.ended.append(end)
        part.stored.extend(one for one in by_member[number] if one.read_at >= end.since)


def _copy(part: _Parts) -> Copy:
    if not part.collection.has_data:
        return Copy(collection=part.collection, read_at=(), chunks=())
    times = {end.since for end in part.ended} | {end.read_at for end in part.ended}
    times |= {one.read_at for one in part.stored}
    return Copy(
        collection=part.collection,
        read_at=tuple(sorted(times)),
        chunks=tuple(one.chunk for one in part.stored),
    )


def _times(parts: dict[tuple[bytes, str], _Parts]) -> list[ClusterTime]:
    ends = [end for part in parts.values() for end in part.ended if part.collection.has_data]
    return [end.read_at for end in ends] + [end.gone_at for end in ends if end.gone_at]


def needs_window(assembled: Assembled, read_at: ClusterTime, catalogue_at: ClusterTime) -> bool:
    """Whether oplog must be kept: something was not read at the one time of the others."""
    if catalogue_at < read_at or assembled.consistent_at > read_at:
        return True
    return any(copy.read_at not in {(), (read_at,)} for copy in assembled.copies)
