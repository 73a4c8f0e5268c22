"""A cursor of one node in a session of its own, whose documents are never decoded."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from struct import Struct
from typing import Any, Final

from bson.int64 import Int64
from pymongo.client_session import ClientSession
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from agent.codec.documents import EMPTY
from agent.codec.elements import damaged, elements
from agent.codec.framing import documents_of_array
from agent.core.errors import TransientError
from agent.mongo.connect import RAW, Client
from agent.mongo.errors import INVALID_OPTIONS, TIME_IS_UP, Special, translate, translated
from agent.ports import Batch

_INT64: Final = Struct("<q")
_STRING_HEAD_BYTES: Final = 4
# Batches: large enough that round trips cost nothing, small enough for a few at a time in memory.
_BATCH_BYTES: Final = 1024 * 1024
# The first batch, where the size of documents is not known: large ones must not make it 16 MiB.
_FIRST_DOCS: Final = 100
_MOST_DOCS: Final = 100_000

CAPPED_POSITION_LOST: Final = 136


class RawCursor:
    """One cursor at a time, in one explicit session.

    A ``getMore`` from another session than that of the ``find`` fails (50738), and pymongo's
    pool mixes implicit sessions among threads. ``doc_bytes``, where it is not 0, is the average
    size of a document, for the first batch. ``most_docs`` bounds every batch, where a few small
    documents may be followed by large ones. ``unfit`` is called with a client whose
    connection takes no session. Used by one thread.
    """

    def __init__(
        self,
        client: Client,
        database: str,
        special: Special,
        *,
        doc_bytes: int = 0,
        most_docs: int = _MOST_DOCS,
        unfit: Callable[[Client], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._unfit = unfit
        self._database = client.get_database(database)
        self._session: ClientSession = client.start_session(causal_consistency=False)
        self._special = special
        self._id = 0
        self._collection = ""
        self._most_docs = most_docs
        self._batch_docs = self._docs_of(doc_bytes) if doc_bytes else _FIRST_DOCS

    @property
    def is_open(self) -> bool:
        """Whether there may be more documents."""
        return self._id != 0

    def run(self, command: Mapping[str, Any]) -> Batch:
        """Run a command that answers with a cursor, and return its first batch.

        Raises: what ``translated`` does, with the special translations of this cursor.
        """
        with translated(self._special):
            try:
                reply = self._database.command(
                    dict(command), codec_options=RAW, session=self._session
                )
            except ConfigurationError:
                self._unfit(self._client)
                raise
            cursor = reply["cursor"].raw
        return self._unpack(cursor)

    def find(self, command: Mapping[str, Any]) -> Batch:
        """Run a find command for many whole documents, and return its first batch.

        Raises: as ``run``.
        """
        return self._sized(self.run({**command, "batchSize": self._batch_docs}))

    def more(self) -> Batch:
        """Return the next batch, of about 1 MiB; the cursor must be open. Raises: as ``run``."""
        command = {
            "getMore": Int64(self._id),
            "collection": self._collection,
            "batchSize": self._batch_docs,
        }
        return self._sized(self.run(command))

    def _sized(self, batch: Batch) -> Batch:
        """Let the documents of this batch decide how many the next one has."""
        if batch.docs:
            self._batch_docs = self._docs_of(len(batch.data) // batch.docs)
        return batch

    def _docs_of(self, doc_bytes: int) -> int:
        """Return how many documents of this size make a batch."""
        return min(self._most_docs, max(1, _BATCH_BYTES // max(1, doc_bytes)))

    def close(self) -> None:
        """End the cursor on the server and give the session back. Idempotent; never raises.

        A cursor that could not be ended ends by itself after 10 minutes.
        """
        if self._id:
            command = {"killCursors": self._collection, "cursors": [Int64(self._id)]}
            self._id = 0
            # The server may be gone, and then so is the cursor.
            with suppress(PyMongoError):
                self._database.command(command, session=self._session)
        self._session.end_session()

    def _unpack(self, cursor: bytes | memoryview) -> Batch:
        data, docs = EMPTY[:0], 0
        for each in elements(cursor):
            if each.name in {b"firstBatch", b"nextBatch"}:
                data, docs = documents_of_array(memoryview(cursor)[each.value : each.end])
            elif each.name == b"id":
                (self._id,) = _INT64.unpack_from(cursor, each.value)
            elif each.name == b"ns":
                name = bytes(cursor[each.value + _STRING_HEAD_BYTES : each.end - 1])
                self._collection = name.decode().partition(".")[2]
        if self._id and not self._collection:
            raise damaged("a cursor without a namespace", 0)
        return Batch(data=data, docs=docs)


def node_behind(error: OperationFailure) -> TransientError:
    """Return the error for a node that did not reach a time within the time given."""
    return TransientError(
        "node_behind",
        "the node has not reached the time to read at",
        hint="another node may have; see the node's replication lag",
        server_code=error.code,
    )


def _time_ahead(error: OperationFailure) -> Exception:
    if "clusterTime" in str(error):  # the node has not even heard of that time
        return node_behind(error)
    return translate(error)


# For commands that wait for a cluster time, bounded by maxTimeMS.
WAITING: Final[Special] = {TIME_IS_UP: node_behind, INVALID_OPTIONS: _time_ahead}  # type: ignore[dict-item]
