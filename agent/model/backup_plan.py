"""How a backup is cut into tasks: pure, from the catalogue and its sizes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from agent.model.catalogue import Collection, Size
from agent.model.cluster_time import ClusterTime
from agent.model.tasks import Member, Range, Task

_MIB: Final = 1024 * 1024
# Below this a collection shares a task with others: a task costs a few writes to claim.
SMALL_BYTES: Final = 32 * _MIB
# Members of one task are recorded in one document; options and indexes take about 2 KiB each.
MOST_MEMBERS: Final = 100
# A range should take a worker seconds, not minutes: little is done twice when an agent dies.
SMALLEST_RANGE_BYTES: Final = 32 * _MIB
LARGEST_RANGE_BYTES: Final = 1024 * _MIB
# Enough ranges to keep several nodes' workers busy until the end.
WANTED_RANGES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOrigin:
    """What all tasks of a backup have in common."""

    job: object
    backup_id: str
    storage: str
    read_at: ClusterTime


def range_count(collection: Collection, size: Size) -> int:
    """Return into how many ranges a collection is worth cutting; 1 is none."""
    if collection.traits.is_capped or size.bytes <= 2 * SMALLEST_RANGE_BYTES:
        return 1
    range_bytes = min(LARGEST_RANGE_BYTES, max(SMALLEST_RANGE_BYTES, size.bytes // WANTED_RANGES))
    return min(size.docs, -(-size.bytes // range_bytes)) or 1


def plan_tasks(
    origin: TaskOrigin,
    collections: Sequence[Collection],
    sizes: Mapping[bytes, Size],
    bounds: Mapping[bytes, Sequence[bytes]],
) -> tuple[Task, ...]:
    """Return the tasks, the largest first.

    ``sizes`` and ``bounds`` are by UUID; ``bounds`` holds the ascending inner bounds of the
    collections that are cut. Capped collections come first whatever their size: their read is
    never at the backup's own time, so the sooner it ends, the less oplog must be kept.
    """
    groups = [*_ranges(collections, sizes, bounds), *_together(collections, sizes, bounds)]
    groups.sort(key=lambda group: (_is_capped(group), _bytes_of(group)), reverse=True)
    return tuple(
        Task(
            job=origin.job,
            backup_id=origin.backup_id,
            storage=origin.storage,
            number=number,
            read_at=origin.read_at,
            members=group,
        )
        for number, group in enumerate(groups)
    )


def _ranges(
    collections: Sequence[Collection],
    sizes: Mapping[bytes, Size],
    bounds: Mapping[bytes, Sequence[bytes]],
) -> Iterator[tuple[Member, ...]]:
    for collection in collections:
        inner = bounds.get(collection.uuid)
        if not inner:
            continue
        whole = sizes[collection.uuid]
        share = Size(docs=whole.docs // (len(inner) + 1), bytes=whole.bytes // (len(inner) + 1))
        edges = [None, *inner, None]
        for lower, upper in pairwise(edges):
            cut = Range(lower=lower, upper=upper)
            yield (Member(collection=collection, range=cut, size=share),)


def _together(
    collections: Sequence[Collection],
    sizes: Mapping[bytes, Size],
    bounds: Mapping[bytes, Sequence[bytes]],
) -> Iterator[tuple[Member, ...]]:
    whole = [
        Member(collection=one, range=None, size=sizes.get(one.uuid, Size(docs=0, bytes=0)))
        for one in collections
        if not bounds.get(one.uuid)
    ]
    group: list[Member] = []
    # Capped collections stand together, apart from the others, because they are read first.
    for member in sorted(whole, key=lambda one: one.collection.traits.is_capped, reverse=True):
        if group and not _fits(group, member):
            yield tuple(group)
            group = []
        group.append(member)
    if group:
        yield tuple(group)


def _fits(group: Sequence[Member], member: Member) -> bool:
    return (
        len(group) < MOST_MEMBERS
        and _bytes_of(group) + member.size.bytes <= SMALL_BYTES
        and _is_capped(group) == member.collection.traits.is_capped
    )


def _bytes_of(group: Sequence[Member]) -> int:
    return sum(member.size.bytes for member in group)


def _is_capped(group: Sequence[Member]) -> bool:
    return group[0].collection.traits.is_capped
