"""The replica set as what a restore loads into."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson.raw_bson import RawBSONDocument
from pymongo.errors import OperationFailure

from agent.core.errors import PermanentError
from agent.model.catalogue import Collection
from agent.model.names import BUCKETS_PREFIX, STORED_JAVASCRIPT, TEMPORARY_PREFIX, Namespace
from agent.mongo.connect import RAW, Client
from agent.mongo.errors import (
    DUPLICATE_KEY,
    NAMESPACE_EXISTS,
    NAMESPACE_NOT_FOUND,
    UNAUTHORIZED,
    server_code,
    translated,
)
from agent.mongo.insert import MAJORITY, Loader, check_write_concern
from agent.ports import RestoreTarget

_TEMPORARY: Final = (
    f"^({BUCKETS_PREFIX.replace('.', '[.]')})?{TEMPORARY_PREFIX.replace('.', '[.]')}"
)
# An expiry would delete documents while they are being loaded, with no index needed for it.
_EXPIRY: Final = "expireAfterSeconds"
# What any command takes beside its own options, as in the server's idl/generic_argument.idl, and
# what makes another collection, or one that ends with its primary: no server lists any of it.
_NO_OPTIONS: Final = frozenset({
    "apiDeprecationErrors",
    "apiStrict",
    "apiVersion",
    "autocommit",
    "clientOperationKey",
    "comment",
    "coordinator",
    "create",
    "databaseVersion",
    "help",
    "lsid",
    "maxTimeMS",
    "maxTimeMSOpOnly",
    "mayBypassWriteBlocking",
    "readConcern",
    "shardVersion",
    "startTransaction",
    "stmtId",
    "temp",
    "txnNumber",
    "txnRetryCounter",
    "writeConcern",
})


class MongoTarget:
    """Loads through a client of the whole set; its socket timeout must allow for index builds."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def free_bytes(self) -> int | None:
        """Return the room on the primary's disk; None if the server does not tell it.

        That is so with some storage engines, and for users without ``clusterMonitor``. Source:
        MongoDB manual, dbStats: ``fsTotalSize`` and ``fsUsedSize`` of the file system.
        """
        with translated():
            try:
                answer = self._client.admin.command("dbStats")
            except OperationFailure as error:
                if server_code(error) != UNAUTHORIZED:
                    raise
                return None
        if "fsTotalSize" not in answer or "fsUsedSize" not in answer:
            return None
        return max(0, int(answer["fsTotalSize"]) - int(answer["fsUsedSize"]))

    def temporaries(self) -> tuple[Namespace, ...]:
        """List the temporary collections of all restores, by name."""
        found = []
        with translated():
            for database in self._client.list_database_names():
                if database in {"local", "config"}:
                    continue
                names = self._client[database].list_collection_names(
                    filter={"name": {"$regex": _TEMPORARY}}
                )
                found += [Namespace(database, name) for name in names]
        return tuple(sorted(found))

    def create(self, place: Namespace, collection: Collection) -> bytes:
        """Create a temporary collection with the source's options, and return its UUID."""
        options = options_of(RawBSONDocument(collection.options, RAW))
        options.pop(_EXPIRY, None)
        command = {"create": place.collection, **options, "writeConcern": MAJORITY}
        with translated():
            try:
                answer = self._client[place.database].command(command)
            except OperationFailure as error:
                if error.code != NAMESPACE_EXISTS:
                    raise
                self.drop(place)
                answer = self._client[place.database].command(command)
        check_write_concern(answer)
        uuid = self.uuid(place)
        if uuid is None:
            raise PermanentError("collection_gone", f"{place} was dropped as soon as it was made")
        return uuid

    def load(self, place: Namespace, data: bytes, *, in_order: bool, again: bool) -> None:
        """Insert whole documents byte for byte."""
        Loader(self._client, place, in_order=in_order, again=again).load(data)

    def build_indexes(self, place: Namespace, indexes: Sequence[bytes]) -> None:
        """Build indexes in one command, and wait for the end."""
        command = {
            "createIndexes": place.collection,
            "indexes": [RawBSONDocument(index, RAW) for index in indexes],
            # The default waits for every voting node, and so for ever for one that is down.
            "commitQuorum": "majority",
            "writeConcern": MAJORITY,
        }
        with translated({DUPLICATE_KEY: _duplicate_key}):
            answer = self._client[place.database].command(command)
        check_write_concern(answer)

    def count(self, place: Namespace) -> int:
        """Count the documents of a collection by reading all of them."""
        with translated():
            found = self._client[place.database][place.collection].aggregate([{"$count": "docs"}])
            return sum(int(each["docs"]) for each in found)

    def uuid(self, namespace: Namespace) -> bytes | None:
        """Return a collection's UUID; empty for a view; None if there is neither."""
        entry = entry_of(self._client, namespace)
        return None if entry is None else bytes(entry["info"].get("uuid", b""))

    def drop(self, namespace: Namespace) -> None:
        """Drop a collection, view or time series; no error if there is none."""
        command: dict[str, Any] = {"drop": namespace.collection}
        if namespace.collection == STORED_JAVASCRIPT:
            # Servers never drop it; empty means the same.
            command = {"delete": namespace.collection, "deletes": [{"q": {}, "limit": 0}]}
        command["writeConcern"] = MAJORITY
        with translated():
            try:
                answer = self._client[namespace.database].command(command)
            except OperationFailure as error:
                if server_code(error) != NAMESPACE_NOT_FOUND:
                    raise
                return
        check_write_concern(answer)


def options_of(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the command that makes a collection or view may take of a stored definition."""
    return {
        name: value
        for name, value in stored.items()
        if name not in _NO_OPTIONS and not name.startswith("$")
    }


def entry_of(client: Client, namespace: Namespace) -> Mapping[str, Any] | None:
    """Return what the catalogue of the server says of one name, if there is such a one."""
    command = {"listCollections": 1, "filter": {"name": namespace.collection}}
    with translated():
        found = client[namespace.database].command(command)["cursor"]["firstBatch"]
    return found[0] if found else None


def _duplicate_key(error: OperationFailure) -> PermanentError:
    return PermanentError(
        "duplicate_key",
        f"a unique index cannot be built: {str(error).split(', full error', maxsplit=1)[0]}",
        hint="the documents of the backup break this index; restore without the collection",
    )


def _proof(client: Client) -> RestoreTarget:
    return MongoTarget(client)
