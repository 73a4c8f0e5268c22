"""The oplog of the agent's own node, raw, and only what can no longer be rolled back."""

from collections.abc import Generator
from typing import Any, Final

from pymongo.errors import OperationFailure

from agent.codec import framing, oplog
from agent.codec.documents import timestamp
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Shared
from agent.model.cluster_time import ClusterTime, Position
from agent.mongo.errors import CURSOR_KILLED, CURSOR_NOT_FOUND, PLAN_KILLED, Special
from agent.mongo.node_link import NodeLink
from agent.mongo.raw_cursor import CAPPED_POSITION_LOST, WAITING, RawCursor
from agent.ports import Batch, OplogReader, OplogTail

_OPLOG: Final = "oplog.rs"
_NATURAL: Final = {"$natural": 1}
_REACH_MS: Final = 10_000
# Small entries are often followed by large ones, which a batch sized by the small would pile up.
_MOST_ENTRIES: Final = 500


class MongoOplogReader:
    """Reads ``local.oplog.rs`` of one node through a direct client, from any thread.

    ``reach_ms`` bounds the wait until the node's majority has reached the end of a range.
    """

    def __init__(self, node: NodeLink, *, reach_ms: int = _REACH_MS) -> None:
        self._node = node
        self._reach_ms = reach_ms
        self._entry_bytes = Shared(0)

    def read(self, begin: ClusterTime, last: ClusterTime) -> Generator[Batch, None, None]:
        """Yield the entries after ``begin``, up to and with ``last``.

        Raises: PermanentError ``oplog_rolled`` if the oldest entry is later than ``begin``, also
        if it becomes so under the read; TransientError ``node_behind``.
        """
        cursor = self._cursor(_SPECIAL, most_docs=_MOST_ENTRIES)
        try:
            self._wait_for(cursor, last)
            batch = cursor.find({
                "find": _OPLOG,
                "filter": {"ts": {"$gt": timestamp(begin), "$lte": timestamp(last)}},
                "hint": _NATURAL,
                "readConcern": {"level": "majority"},
            })
            # Only now: what was there before the find may be gone when it begins, but from here
            # on the server notices if the oplog overtakes the cursor.
            self._check_oldest(begin)
            if batch.docs:
                yield batch
            while cursor.is_open:
                batch = cursor.more()
                if batch.docs:
                    yield batch
        finally:
            cursor.close()

    def after(self, position: Position) -> Generator[Batch, None, None]:
        """Yield the majority-committed entries after a place, up to now.

        The find begins with the entry of the place itself: if that is the first one to come,
        nothing is left out. A cursor opened behind the end would not fail.

        Raises: PermanentError ``oplog_rolled``, ``oplog_diverged``, only before the first batch;
        TransientError ``node_behind``, and if the cursor was lost: what came so far is right.
        """
        # What came last tells best how large the next entries are.
        cursor = self._cursor(_TAILING, doc_bytes=self._entry_bytes.get(), most_docs=_MOST_ENTRIES)
        try:
            batch = cursor.find({
                "find": _OPLOG,
                "filter": {"ts": {"$gte": timestamp(position.time)}},
                "hint": _NATURAL,
                "readConcern": {"level": "majority"},
            })
            self._check_first(batch, position)
            rest = memoryview(batch.data)[framing.first_end(batch.data) :]
            if rest:
                yield Batch(data=rest, docs=batch.docs - 1)
            while cursor.is_open:
                batch = cursor.more()
                if batch.docs:
                    self._entry_bytes.set(len(batch.data) // batch.docs)
                    yield batch
        finally:
            cursor.close()

    def position(self, time: ClusterTime) -> Position | None:
        """Return the place of the entry of a time; None if there is none.

        Raises: TransientError ``node_behind``.
        """
        found = self._at(time)
        return None if found is None else oplog.position(found)

    def has_barrier(self, time: ClusterTime) -> bool:
        """Whether the entry of a time is one that no restore can cross; False if there is none.

        Raises: TransientError ``node_behind``.
        """
        found = self._at(time)
        return found is not None and oplog.is_barrier(found)

    def oldest(self) -> Position:
        """Return the place of the oldest entry that this oplog holds."""
        found = self._one({})
        if found is None:
            raise _behind("its oplog is empty")
        return oplog.position(found)

    def _check_first(self, batch: Batch, position: Position) -> None:
        if not batch.docs:
            raise _behind(f"its majority has not reached {position.time}")
        first = oplog.position(memoryview(batch.data)[: framing.first_end(batch.data)])
        if first == position:
            return
        oldest = self.oldest()
        if first.time > position.time and oldest.time > position.time:
            raise _rolled(begin=str(position.time), oldest=str(oldest.time))
        raise PermanentError(
            "oplog_diverged",
            f"this replica set's oplog has no entry of {position.time} and term {position.term}",
            hint="its history was rolled back or replaced; a full backup makes it recoverable",
            begin=str(position.time),
        )

    def _at(self, time: ClusterTime) -> bytes | None:
        return self._one({
            "filter": {"ts": timestamp(time)},
            "readConcern": {"level": "majority", "afterClusterTime": timestamp(time)},
        })

    def _cursor(self, special: Special, **sizes: int) -> RawCursor:
        return RawCursor(self._node.client, "local", special, unfit=self._node.renew, **sizes)

    def _one(self, command: dict[str, Any]) -> bytes | None:
        """Return the first entry that a find meets, if there is one."""
        cursor = self._cursor(_SPECIAL)
        try:
            batch = cursor.run({**_ONE_ENTRY, **command, "maxTimeMS": self._reach_ms})
        finally:
            cursor.close()
        return bytes(batch.data) if batch.docs else None

    def _wait_for(self, cursor: RawCursor, last: ClusterTime) -> None:
        concern = {"level": "majority", "afterClusterTime": timestamp(last)}
        cursor.run({**_ONE_ENTRY, "readConcern": concern, "maxTimeMS": self._reach_ms})

    def _check_oldest(self, begin: ClusterTime) -> None:
        oldest = self.oldest().time
        if oldest > begin:
            raise _rolled(begin=str(begin), oldest=str(oldest))


_ONE_ENTRY: Final[dict[str, Any]] = {
    "find": _OPLOG,
    "hint": _NATURAL,
    "limit": 1,
    "singleBatch": True,
}


def _rolled(**facts: object) -> PermanentError:
    return PermanentError(
        "oplog_rolled",
        "the oplog of this node no longer holds all entries that are needed",
        hint="make the oplog larger, or read from a node with a larger one",
        **facts,
    )


def _overtaken(error: OperationFailure) -> PermanentError:
    return _rolled(server_code=error.code)


def _lost(error: OperationFailure) -> TransientError:
    return TransientError(
        "mongodb_interrupted",
        "the cursor on the oplog was lost; what follows is asked for anew",
        server_code=error.code,
    )


_SPECIAL: Final[Special] = {**WAITING, CAPPED_POSITION_LOST: _overtaken}
# Only the next find can tell whether anything was missed.
_TAILING: Final[Special] = {
    **WAITING,
    **dict.fromkeys((CAPPED_POSITION_LOST, CURSOR_NOT_FOUND, CURSOR_KILLED, PLAN_KILLED), _lost),
}


def _behind(reason: str) -> TransientError:
    return TransientError(
        "node_behind",
        f"the node cannot give the oplog: {reason}",
        hint="another node may; see the node's replication lag",
    )


def _proves(node: NodeLink) -> tuple[OplogReader, OplogTail]:
    reader = MongoOplogReader(node)
    return reader, reader
