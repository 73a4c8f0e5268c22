"""The oplog of the agent's own node, raw, and only what can no longer be rolled back."""

from collections.abc import Generator
from typing import Any, Final

from pymongo.errors import OperationFailure

from agent.codec import documents
from agent.codec.documents import timestamp
from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.mongo.connect import Client
from agent.mongo.errors import Special
from agent.mongo.raw_cursor import CAPPED_POSITION_LOST, WAITING, RawCursor
from agent.ports import Batch, OplogReader

_OPLOG: Final = "oplog.rs"
_NATURAL: Final = {"$natural": 1}
_REACH_MS: Final = 10_000


class MongoOplogReader:
    """Reads ``local.oplog.rs`` of one node through a direct client, from any thread.

    ``reach_ms`` bounds the wait until the node's majority has reached the end of a range.
    """

    def __init__(self, client: Client, *, reach_ms: int = _REACH_MS) -> None:
        self._client = client
        self._reach_ms = reach_ms

    def read(self, begin: ClusterTime, last: ClusterTime) -> Generator[Batch, None, None]:
        """Yield the entries after ``begin``, up to and with ``last``.

        Raises: PermanentError ``oplog_rolled`` if the oldest entry is later than ``begin``, also
        if it becomes so under the read; TransientError ``node_behind``.
        """
        cursor = RawCursor(self._client, "local", _SPECIAL)
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

    def _wait_for(self, cursor: RawCursor, last: ClusterTime) -> None:
        concern = {"level": "majority", "afterClusterTime": timestamp(last)}
        cursor.run({**_ONE_ENTRY, "readConcern": concern, "maxTimeMS": self._reach_ms})

    def _check_oldest(self, begin: ClusterTime) -> None:
        cursor = RawCursor(self._client, "local", _SPECIAL)
        try:
            batch = cursor.run({**_ONE_ENTRY, "maxTimeMS": self._reach_ms})
        finally:
            cursor.close()
        oldest = documents.cluster_time(batch.data, "ts") if batch.docs else None
        if oldest is None or oldest > begin:
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


_SPECIAL: Final[Special] = {**WAITING, CAPPED_POSITION_LOST: _overtaken}


def _proves(client: Client) -> OplogReader:
    return MongoOplogReader(client)
