"""Finds the one cluster time and the catalogue that goes with it, and cuts the work."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from agent.core.flow import Pipe, Stop, WorkerGroup
from agent.model.backup_plan import range_count
from agent.model.catalogue import Collection, Size
from agent.model.cluster_time import ClusterTime
from agent.ports import ClusterSource

# Some clusters never stop creating collections; after these tries the oplog settles it.
CATALOGUE_TRIES: Final = 3
_MEASURERS: Final = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """Where a backup starts.

    ``read_at``: everything is read at this cluster time if it can be. ``catalogue_at``: the
    listed options and indexes stand for this time; DDL after it is in the oplog.
    ``oplog_from``: replay, if any is needed, starts after this time; no transaction that was
    prepared before ``read_at`` and open then started earlier.
    """

    read_at: ClusterTime
    catalogue_at: ClusterTime
    oplog_from: ClusterTime
    collections: tuple[Collection, ...]


def begin(source: ClusterSource, stop: Stop) -> Beginning:
    """List the catalogue before and after a note, until both agree: no DDL ran in between."""
    first_note = source.write_note("a backup begins")
    oplog_from = _before_prepared(source, first_note)
    before = source.collections()
    listed_at = first_note
    for _ in range(CATALOGUE_TRIES):
        stop.check()
        read_at = source.write_note("a backup reads here")
        after = source.collections()
        if after == before:
            return Beginning(
                read_at=read_at,
                catalogue_at=read_at,
                oplog_from=oplog_from,
                collections=after,
            )
        before, listed_at = after, read_at
    read_at = source.write_note("a backup reads here")
    return Beginning(
        read_at=read_at, catalogue_at=listed_at, oplog_from=oplog_from, collections=before
    )


def _before_prepared(source: ClusterSource, note: ClusterTime) -> ClusterTime:
    # Prepared after the note: it starts after the note. Prepared before, and still open when
    # the reads begin: it is open now.
    prepared = source.oldest_prepared()
    if prepared is None or prepared > note:
        return note
    return ClusterTime(prepared.seconds - 1, 0)


def measure(
    source: ClusterSource, collections: Sequence[Collection], stop: Stop
) -> Mapping[bytes, Size]:
    """Return the estimated sizes by UUID."""
    wanted = [one for one in collections if one.has_data]
    sizes = _each(wanted, source.size, stop)
    return {one.uuid: size for one, size in zip(wanted, sizes, strict=True)}


def cut(
    source: ClusterSource,
    collections: Sequence[Collection],
    sizes: Mapping[bytes, Size],
    stop: Stop,
) -> Mapping[bytes, Sequence[bytes]]:
    """Return the inner bounds, by UUID, of the collections that are worth cutting."""
    wanted = [
        (one, parts)
        for one in collections
        if one.has_data and (parts := range_count(one, sizes[one.uuid])) > 1
    ]
    bounds: dict[bytes, Sequence[bytes]] = {}
    for collection, parts in wanted:
        stop.check()
        bounds[collection.uuid] = source.split(collection, parts)
    return bounds


def _each(collections: Sequence[Collection], ask: Callable[[Collection], T], stop: Stop) -> list[T]:
    """Ask for each of many collections from a few threads; answers in the same order."""
    answers: dict[int, T] = {}
    with WorkerGroup("measure", stop) as group:
        pipe: Pipe[tuple[int, Collection]] = Pipe(_MEASURERS * 4, group.stop)

        def work() -> None:
            for number, collection in pipe:
                answers[number] = ask(collection)

        for worker in range(min(_MEASURERS, len(collections))):
            group.start(work, str(worker))
        for pair in enumerate(collections):
            pipe.put(pair)
        if collections:
            pipe.close()
    return [answers[number] for number in range(len(collections))]
