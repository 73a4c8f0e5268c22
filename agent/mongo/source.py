"""The replica set as a source of backups, through its primary."""

from collections.abc import Sequence
from typing import Final

from bson.binary import UUID_SUBTYPE, Binary
from bson.max_key import MaxKey
from bson.timestamp import Timestamp

from agent.codec import documents, framing
from agent.core.errors import TransientError
from agent.core.flow import Stop
from agent.model.catalogue import Collection, Identity, Size
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace
from agent.mongo.connect import PLAIN, Client, Document
from agent.mongo.errors import translated
from agent.mongo.listing import list_collections
from agent.mongo.privileges import for_restore_into, is_granted, together
from agent.mongo.raw_cursor import RawCursor
from agent.ports import ClusterSource

_NOTE_WAIT_MS: Final = 10_000
# Documents sampled for each part: parts then differ in size by about a fifth.
_SAMPLES_PER_PART: Final = 30
_MOST_SAMPLES: Final = 10_000
_MAX_KEY: Final = documents.encode({"_id": MaxKey()})


class MongoClusterSource:
    """Asks the primary, through a client of the whole replica set; from any thread.

    ``stop`` ends a listing of many collections; ``note_wait_ms`` bounds the wait until a majority
    has an oplog note.
    """

    def __init__(
        self,
        client: Client,
        *,
        control_database: str,
        stop: Stop,
        note_wait_ms: int = _NOTE_WAIT_MS,
    ) -> None:
        self._client = client
        self._note_wait_ms = note_wait_ms
        self._control_database = control_database
        self._stop = stop

    def identity(self) -> Identity:
        """Return which replica set this is, and what it runs."""
        config = self._admin({"replSetGetConfig": 1})["config"]
        compatibility = self._admin({"getParameter": 1, "featureCompatibilityVersion": 1})
        return Identity(
            replset=str(config["_id"]),
            replset_id=str(config["settings"]["replicaSetId"]),
            server_version=str(self._admin({"buildInfo": 1})["version"]),
            feature_compatibility=str(compatibility["featureCompatibilityVersion"]["version"]),
        )

    def write_note(self, reason: str) -> ClusterTime:
        """Write an oplog note, wait until a majority has it, and return its cluster time.

        The answer's ``operationTime`` is the time of the note itself. An entry gets its time
        when it is written, so whatever was acknowledged before has an earlier one.

        Raises: TransientError ``note_not_committed`` if no majority had it in time.
        """
        answer = self._admin({
            "appendOplogNote": 1,
            "data": {"backstay": reason},
            "writeConcern": {"w": "majority", "wtimeout": self._note_wait_ms},
        })
        # pymongo leaves this to us: it raises for failed writes, not for a failed wait.
        problem = answer.get("writeConcernError")
        if problem:
            raise TransientError(
                "note_not_committed",
                f"no majority has the oplog note: {problem.get('errmsg', problem)}",
                hint="check that a majority of the data-bearing members is healthy",
            )
        return _cluster_time(answer["operationTime"])

    def collections(self) -> tuple[Collection, ...]:
        """List users' collections and views, with options and finished indexes, by namespace."""
        return list_collections(self._client, self._control_database, self._stop)

    def locate(self, database: str, uuid: bytes) -> Namespace | None:
        """Return the present name of a collection, or None if this database has it no more.

        A rename into another database makes a new collection with a UUID of its own.
        """
        answer = self._run(
            database,
            {
                "listCollections": 1,
                "filter": {"info.uuid": Binary(uuid, UUID_SUBTYPE)},
                "cursor": {},
            },
        )
        found = answer["cursor"]["firstBatch"]
        return Namespace(database, str(found[0]["name"])) if found else None

    def size(self, collection: Collection) -> Size:
        """Return the server's estimate of documents and uncompressed bytes; zero if it is gone.

        ``dataSize`` with ``estimate`` takes a fifth of the time of ``collStats``, and counts the
        buckets of a time series too.
        """
        if not collection.has_data:
            return Size(docs=0, bytes=0)
        namespace = collection.namespace
        answer = self._run(namespace.database, {"dataSize": str(namespace), "estimate": True})
        return Size(docs=int(answer["numObjects"]), bytes=int(answer["size"]))

    def split(self, collection: Collection, parts: int) -> tuple[bytes, ...]:
        """Return up to ``parts - 1`` ascending, distinct bounds from a random sample.

        Empty for capped collections, which have to be read in natural order. The server sorts,
        so bounds of several types, or under a collation, are in the order of the index.
        """
        if parts <= 1 or collection.traits.is_capped or not collection.has_data:
            return ()
        samples = min(_MOST_SAMPLES, parts * _SAMPLES_PER_PART)
        ids = self._sample(collection.namespace, samples)
        step = len(ids) / parts
        picked = [ids[int(number * step)] for number in range(1, parts)] if ids else []
        # A range that begins with the smallest sample would have an empty one before it.
        return tuple(each for each in dict.fromkeys(picked) if each not in {ids[0], _MAX_KEY})

    def _sample(self, namespace: Namespace, samples: int) -> list[bytes]:
        cursor = RawCursor(self._client, namespace.database, {})
        try:
            batch = cursor.run({
                "aggregate": namespace.collection,
                "pipeline": [
                    {"$sample": {"size": samples}},
                    {"$project": {"_id": 1}},
                    {"$sort": {"_id": 1}},
                ],
                "cursor": {"batchSize": samples},
            })
            found = [bytes(each) for each in framing.documents(batch.data)]
            while cursor.is_open:
                found += [bytes(each) for each in framing.documents(cursor.more().data)]
        finally:
            cursor.close()
        return found

    def oldest_prepared(self) -> ClusterTime | None:
        """Return the start of the oldest open prepared transaction, if there is any.

        Only members of sharded clusters have such transactions.
        """
        with translated():
            oldest = (
                self
                ._client["config"]["transactions"]
                .find({"state": "prepared"}, {"startOpTime": 1})
                .sort("startOpTime.ts", 1)
                .limit(1)
            )
            found = list(oldest)
        return _cluster_time(found[0]["startOpTime"]["ts"]) if found else None

    def lacks(self, databases: Sequence[str], *, has_users: bool) -> str:
        """Name what the user may not do of that which a restore into these databases needs.

        Nothing for a server that asks nobody who they are, nor where no privileges are told.
        """
        answer = self._admin({"connectionStatus": 1, "showPrivileges": True})["authInfo"]
        granted = answer.get("authenticatedUserPrivileges")
        if not answer["authenticatedUsers"] or not granted:
            return ""
        needs = for_restore_into(databases, has_users=has_users)
        return together(need for need in needs if not is_granted(need, granted))

    def _admin(self, command: Document) -> Document:
        return self._run("admin", command)

    def _run(self, database: str, command: Document) -> Document:
        with translated():
            return self._client[database].command(command, codec_options=PLAIN)


def _cluster_time(value: Timestamp) -> ClusterTime:
    return ClusterTime(value.time, value.inc)


def _proves(client: Client) -> ClusterSource:
    return MongoClusterSource(client, control_database="backstay", stop=Stop())
