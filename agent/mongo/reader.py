"""The agent's own node: exact reads of collections, and how far it is behind."""

from collections.abc import Generator, Iterator
from typing import Any, Final

from bson.binary import UUID_SUBTYPE, Binary
from bson.max_key import MaxKey
from bson.min_key import MinKey
from pymongo.errors import OperationFailure, PyMongoError

from agent.codec import documents, framing
from agent.codec.documents import raw, timestamp
from agent.core.clock import Clock
from agent.core.errors import PermanentError
from agent.core.flow import Shared
from agent.model.cluster_time import ClusterTime
from agent.model.nodes import NodeFacts
from agent.mongo.connect import PLAIN, Document
from agent.mongo.documents import cluster_time
from agent.mongo.errors import Special, translated
from agent.mongo.node_link import NodeLink
from agent.mongo.raw_cursor import CAPPED_POSITION_LOST, WAITING, RawCursor
from agent.ports import Batch, NodeReader, Read

# A node this far behind should let another one read.
_REACH_MS: Final = 10_000
_BY_ID: Final = {"_id": 1}
_MIN_KEY: Final = documents.encode({"_id": MinKey()})
_MAX_KEY: Final = documents.encode({"_id": MaxKey()})
# Since 5.3 clustered collections know hint, min and max; before, buckets were the only ones.
_FIRST_WITH_CLUSTERED_HINT: Final = (5, 3)
# Elsewhere a node gives no data.
_READABLE: Final = frozenset({"PRIMARY", "SECONDARY"})


class MongoNodeReader:
    """Reads one node through a direct client. May be used by several threads at once.

    ``priority`` is the configured one of this node. The client's socket timeout bounds each wait
    for a batch; ``reach_ms`` the wait until the node has reached a time.
    """

    def __init__(
        self,
        node: NodeLink,
        name: str,
        *,
        priority: float,
        clock: Clock,
        reach_ms: int = _REACH_MS,
    ) -> None:
        self._node = node
        self._name = name
        self._priority = priority
        self._clock = clock
        self._reach_ms = reach_ms
        self._reached = Shared(ClusterTime(0, 0))
        self._version = Shared[tuple[int, ...]](())

    def facts(self) -> NodeFacts:
        """Return the node's state and lag; the lag is None while no primary is known.

        Raises: TransientError, PermanentError (privilege ``replSetGetStatus``).
        """
        with translated():
            status = self._node.client.admin.command("replSetGetStatus", codec_options=PLAIN)
        members = status["members"]
        own: Document = next((each for each in members if each.get("self")), {})
        primary = next((each for each in members if each["stateStr"] == "PRIMARY"), None)
        lag_s = None
        if primary is not None and "optimeDate" in own:
            lag_s = max(0.0, (primary["optimeDate"] - own["optimeDate"]).total_seconds())
        return NodeFacts(
            name=self._name,
            state=str(own.get("stateStr", "UNKNOWN")),
            lag_s=lag_s,
            priority=self._priority,
            updated_at=self._clock.now(),
            oplog_from=self._oplog_from() if own.get("stateStr") in _READABLE else None,
        )

    def _oplog_from(self) -> ClusterTime | None:
        """Return the time of the oldest entry; None if the node does not tell just now."""
        oplog = self._node.client["local"]["oplog.rs"]
        try:
            found = oplog.find_one({}, {"ts": True}, sort=[("$natural", 1)])
        except PyMongoError:
            return None
        return None if found is None else cluster_time(found["ts"])

    def read(self, request: Read) -> Generator[Batch, None, None]:
        """Yield documents in ``_id`` order, or in natural order if ``at`` is None.

        Raises: as the port says; PermanentError ``capped_position_lost`` if a capped collection
        overtook a read in natural order: begin again.
        """
        cursor = RawCursor(
            self._node.client,
            request.collection.namespace.database,
            _SPECIAL,
            doc_bytes=request.doc_bytes,
            unfit=self._node.renew,
        )
        try:
            if request.at is None:
                yield from _drain(cursor, self._natural(cursor, request))
            else:
                self._wait_for(request.at, cursor, {**_find(request), **_snapshot(request.at)})
                yield from self._in_order(cursor, request, request.at)
        finally:
            cursor.close()

    def _wait_for(self, time: ClusterTime, cursor: RawCursor, find: dict[str, Any]) -> None:
        """Wait until this node has reached a time, by a find that cannot begin before.

        A command of its own, since maxTimeMS on a find is the budget of its cursor for all
        batches together, and a long read may well take hours.
        """
        if time <= self._reached.get():
            return
        once = {"projection": {"_id": 1}, "limit": 1, "singleBatch": True}
        cursor.run({**find, **once, "maxTimeMS": self._reach_ms})
        self._reached.update(lambda known: max(known, time))

    def _in_order(self, cursor: RawCursor, request: Read, at: ClusterTime) -> Iterator[Batch]:
        lower, upper = _bounds(request)
        command = {**_find(request), **_snapshot(at)}
        if lower == _MAX_KEY:
            # ``min: MaxKey`` is refused (51175), and nothing but it can follow.
            if request.after is None:
                yield from _drain(cursor, {**command, "filter": {"_id": MaxKey()}})
            return
        if upper is not None and upper in {lower, _MIN_KEY}:
            return  # nothing lies there, and the server refuses such a range
        ordered = command | self._ordered(request, lower, upper)
        skip = request.after is not None and self._begins_with(cursor, ordered, request.after)
        yield from _drain(cursor, ordered, skip=skip)
        if lower is not None and upper is None and not request.collection.traits.is_clustered:
            # On an index, ``min`` without ``max`` ends before MaxKey.
            yield from _drain(cursor, {**command, "filter": {"_id": MaxKey()}})

    def _ordered(self, request: Read, lower: bytes | None, upper: bytes | None) -> dict[str, Any]:
        """Return the part of a find that gives a range in ``_id`` order."""
        if request.collection.traits.is_clustered and not self._has_clustered_hint():
            # Natural order is that of _id; a bucket's is always an ObjectId, so filters are exact.
            limits = {
                name: raw(bound)["_id"]
                for name, bound in (("$gte", lower), ("$lt", upper))
                if bound is not None
            }
            return {"filter": {"_id": limits}} if limits else {}
        ordered: dict[str, Any] = {"hint": _BY_ID}
        if lower is not None:
            ordered["min"] = raw(lower)
        if upper is not None:
            ordered["max"] = raw(upper)
        return ordered

    def _has_clustered_hint(self) -> bool:
        if not self._version.get():
            with translated():
                version = self._node.client.server_info()["versionArray"]
            self._version.set(tuple(version))
        return self._version.get() >= _FIRST_WITH_CLUSTERED_HINT

    def _begins_with(self, cursor: RawCursor, ordered: dict[str, Any], after: bytes) -> bool:
        """Whether the first document of a read has the ``_id`` that was read last.

        The server is asked, because it alone knows which ids are one: 1 and 1.0, also inside of
        documents, and with a collation "a" and "A".
        """
        literal = documents.renamed(after, "$literal")
        same = {"same": {"$eq": ["$_id", raw(literal)]}, "_id": 0}
        batch = cursor.run({**ordered, "projection": same, "limit": 1, "singleBatch": True})
        return batch.docs == 1 and documents.field(batch.data, "same") is True

    def _natural(self, cursor: RawCursor, request: Read) -> dict[str, Any]:
        if request.after is not None or request.range is not None:
            raise PermanentError(
                "not_in_id_order", f"{request.collection.namespace} has to be read from its start"
            )
        concern: dict[str, Any] = {"level": "majority"}
        if request.since is not None:
            # This node need not be of the majority that has what was written up to that time.
            concern["afterClusterTime"] = timestamp(request.since)
        command = {**_find(request), "hint": {"$natural": 1}, "readConcern": concern}
        if request.since is not None:
            self._wait_for(request.since, cursor, command)
        return command


def _drain(cursor: RawCursor, command: dict[str, Any], *, skip: bool = False) -> Iterator[Batch]:
    """Yield all batches of a find that are not empty, without its first document if ``skip``."""
    batch = cursor.find(command)
    if skip and batch.docs:
        first = framing.first_end(batch.data)
        batch = Batch(data=memoryview(batch.data)[first:], docs=batch.docs - 1)
    if batch.docs:
        yield batch
    while cursor.is_open:
        batch = cursor.more()
        if batch.docs:
            yield batch


def _find(request: Read) -> dict[str, Any]:
    # By UUID: after a rename or a drop, a name is silently empty, or another collection.
    return {
        "find": Binary(request.collection.uuid, UUID_SUBTYPE),
        "noCursorTimeout": False,
    }


def _snapshot(at: ClusterTime) -> dict[str, Any]:
    return {"readConcern": {"level": "snapshot", "atClusterTime": timestamp(at)}}


def _bounds(request: Read) -> tuple[bytes | None, bytes | None]:
    lower = request.range.lower if request.range else None
    upper = request.range.upper if request.range else None
    return (lower if request.after is None else request.after), upper


def _position_lost(error: OperationFailure) -> PermanentError:
    return PermanentError(
        "capped_position_lost",
        "new documents overtook the read of a capped collection",
        hint="it is read again from its start",
        server_code=error.code,
    )


_SPECIAL: Final[Special] = {**WAITING, CAPPED_POSITION_LOST: _position_lost}


def _proves(node: NodeLink, clock: Clock) -> NodeReader:
    return MongoNodeReader(node, "host:27017", priority=1, clock=clock)
