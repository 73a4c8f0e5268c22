"""The catalogue of the replica set: every collection with its options and finished indexes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from bson.binary import UUID_SUBTYPE, Binary

from agent.codec import documents, framing
from agent.codec.documents import EMPTY
from agent.codec.elements import find
from agent.core.errors import PermanentError
from agent.core.flow import Pipe, Stop, WorkerGroup
from agent.model.catalogue import Collection, Kind, Traits
from agent.model.names import Namespace, is_backed_up
from agent.mongo.connect import PLAIN, Client
from agent.mongo.errors import translated
from agent.mongo.raw_cursor import RawCursor

_KINDS: Final[dict[object, Kind]] = {
    "collection": "collection",
    "view": "view",
    "timeseries": "timeseries",
}
# One command for each collection: the server and we take turns in working, so two do not wait.
_WORKERS_COUNT: Final = 3
# Below this, threads cost more than they save.
_FEW_COUNT: Final = 50
_IN_HAND_COUNT: Final = 100


def list_collections(client: Client, control_database: str, stop: Stop) -> tuple[Collection, ...]:
    """Return what ``ClusterSource.collections`` returns.

    A collection that is dropped meanwhile is left out.

    Raises: TransientError, PermanentError, Stopped.
    """
    listed = sorted(
        (
            each
            for database in _databases(client)
            for each in _of_database(client, database, control_database)
        ),
        key=lambda each: each.namespace,
    )
    if len(listed) <= _FEW_COUNT:
        found = [_with_indexes(client, each) for each in listed]
    else:
        found = _together(client, listed, stop)
    return tuple(each for each in found if each is not None)


def _databases(client: Client) -> list[str]:
    with translated():
        answer = client.admin.command({"listDatabases": 1, "nameOnly": True}, codec_options=PLAIN)
    return [str(each["name"]) for each in answer["databases"]]


def _of_database(client: Client, database: str, control_database: str) -> Iterator[Collection]:
    """Yield what a database has of users' data, without indexes and temporary collections."""
    for document in _documents(client, database, {"listCollections": 1, "cursor": {}}):
        namespace = Namespace(database, str(documents.field(document, "name")))
        options = documents.subdocument(document, "options") or EMPTY
        if not is_backed_up(namespace, control_database) or documents.field(options, "temp"):
            continue
        info = documents.subdocument(document, "info") or EMPTY
        yield Collection(
            namespace=namespace,
            kind=_kind(documents.field(document, "type"), namespace),
            uuid=_uuid(info),
            options=options,
            indexes=(),
            traits=_traits(options),
        )


def _together(client: Client, listed: Sequence[Collection], stop: Stop) -> list[Collection | None]:
    """Ask for the indexes of many collections from a few threads; the order is kept."""
    found: list[Collection | None] = [None] * len(listed)
    with WorkerGroup("listing", stop) as group:
        waiting: Pipe[int] = Pipe(_IN_HAND_COUNT, group.stop)

        def work() -> None:
            for position in waiting:
                found[position] = _with_indexes(client, listed[position])

        for number in range(_WORKERS_COUNT):
            group.start(work, str(number))
        for position in range(len(listed)):
            waiting.put(position)
        waiting.close()
    return found


def _with_indexes(client: Client, collection: Collection) -> Collection | None:
    """Return the collection with its finished indexes, or None if it was dropped meanwhile."""
    if not collection.has_data:
        return collection
    # By UUID, so that the indexes are not those of another collection of the same name. Without
    # includeBuildUUIDs an index that is being built would look like a finished one.
    command = {
        "listIndexes": Binary(collection.uuid, UUID_SUBTYPE),
        "includeBuildUUIDs": True,
        "cursor": {},
    }
    try:
        listed = list(_documents(client, collection.namespace.database, command))
    except PermanentError as error:
        if error.code == "collection_gone":
            return None
        raise
    return replace(
        collection,
        indexes=tuple(index for index in listed if find(index, b"buildUUID") is None),
    )


def _documents(client: Client, database: str, command: dict[str, Any]) -> Iterator[bytes]:
    cursor = RawCursor(client, database, {})
    try:
        batch = cursor.run(command)
        while True:
            for each in framing.documents(batch.data):
                yield bytes(each)
            if not cursor.is_open:
                return
            batch = cursor.more()
    finally:
        cursor.close()


def _kind(found: object, namespace: Namespace) -> Kind:
    kind = _KINDS.get(found)
    if kind is None:  # it must not be read as if it were something else
        raise PermanentError(
            "unknown_kind",
            f"{namespace} is of the unknown kind {found!r}",
            hint="this server is newer than the agent; use a newer agent",
        )
    return kind


def _uuid(info: bytes) -> bytes:
    value = documents.field(info, "uuid")
    return bytes(value) if isinstance(value, bytes) else b""


def _traits(options: bytes) -> Traits:
    ttl_s = documents.field(options, "expireAfterSeconds")
    return Traits(
        is_capped=bool(documents.field(options, "capped")),
        is_clustered=bool(documents.field(options, "clusteredIndex")),
        has_collation=find(options, b"collation") is not None,
        view_on=str(documents.field(options, "viewOn") or ""),
        ttl_s=int(ttl_s) if isinstance(ttl_s, int | float) else None,
    )
