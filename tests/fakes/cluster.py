"""A replica set in memory, seen as the reading of a backup sees it."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime

import bson

from agent.core.errors import PermanentError
from agent.model.catalogue import Collection, Identity, Size
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace
from agent.model.nodes import NodeFacts
from agent.ports import Batch, ClusterSource, NodeReader, OplogReader, Read
from tests.fakes.catalogue import collection

# Told the number of the batch over all reads, from 1; may raise in its place.
Fault = Callable[[int], None]


def fail_batch(number: int, error: Exception) -> Fault:
    """Fail the n-th batch and no other."""

    def fault(batch: int) -> None:
        if batch == number:
            raise error

    return fault


class MemoryCluster:
    """Collections with whole-number ``_id``s, read in batches of ``batch_docs``.

    It is source and reader at once; every note is one second later than the one before.
    """

    def __init__(self, *, batch_docs: int = 3, fault: Fault | None = None) -> None:
        self.documents: dict[bytes, list[int]] = {}
        self.names: dict[bytes, Namespace] = {}
        self.listed: dict[bytes, Collection] = {}
        self.never_agrees = False
        self.reads: list[Read] = []
        self.fault = fault
        self._batch_docs = batch_docs
        self._batches = 0
        self._made = 0
        self._now = ClusterTime(1000, 1)

    def add(self, added: Collection, ids: Iterator[int] | range) -> None:
        """Put a collection with documents ``{_id: n}``."""
        self.documents[added.uuid] = list(ids)
        self.names[added.uuid] = added.namespace
        self.listed[added.uuid] = added

    def drop(self, dropped: Collection) -> None:
        """Drop a collection."""
        del self.documents[dropped.uuid], self.names[dropped.uuid]
        del self.listed[dropped.uuid]

    # -- ClusterSource

    def identity(self) -> Identity:
        """Return some identity."""
        return Identity(
            replset="rs", replset_id="65" * 12, server_version="6.0.5", feature_compatibility="6.0"
        )

    def write_note(self, reason: str) -> ClusterTime:
        """Let one second pass."""
        assert reason
        self._now = ClusterTime(self._now.seconds + 1, 1)
        return self._now

    def collections(self) -> tuple[Collection, ...]:
        """List what was added; ``never_agrees`` makes a new collection before every listing."""
        if self.never_agrees:
            self._made += 1
            self.add(collection(f"shop.made{self._made}"), range(1))
        return tuple(sorted(self.listed.values(), key=lambda one: one.namespace))

    def locate(self, database: str, uuid: bytes) -> Namespace | None:
        """Return the present name."""
        found = self.names.get(uuid)
        return found if found is not None and found.database == database else None

    def size(self, collection: Collection) -> Size:
        """Return the true size."""
        docs = len(self.documents.get(collection.uuid, ()))
        return Size(docs=docs, bytes=docs * 14)

    def split(self, collection: Collection, parts: int) -> tuple[bytes, ...]:
        """Cut nothing."""
        assert collection.uuid
        assert parts > 1
        return ()

    def oldest_prepared(self) -> ClusterTime | None:
        """Return none."""
        return None

    def lacks(self, databases: Sequence[str], *, has_users: bool) -> str:
        """Allow everything."""
        assert databases or not has_users
        return ""

    # -- NodeReader

    def facts(self) -> NodeFacts:
        """Return a good secondary."""
        return NodeFacts(
            name="a:1",
            state="SECONDARY",
            lag_s=0.0,
            priority=1,
            updated_at=datetime(2026, 11, 21, tzinfo=UTC),
        )

    def read(self, request: Read) -> Generator[Batch, None, None]:
        """Yield what is left after ``request.after``."""
        self.reads.append(request)
        after = -1 if request.after is None else bson.decode(request.after)["_id"]
        ids = [one for one in self.documents.get(request.collection.uuid, ()) if one > after]
        for begin in range(0, len(ids), self._batch_docs):
            self._batches += 1
            if self.fault is not None:
                self.fault(self._batches)
            if request.collection.uuid not in self.documents:
                raise PermanentError("collection_gone", "it was dropped")
            part = ids[begin : begin + self._batch_docs]
            yield Batch(data=b"".join(bson.encode({"_id": one}) for one in part), docs=len(part))
        if request.collection.uuid not in self.documents:
            raise PermanentError("collection_gone", "it was dropped")


class MemoryOplog:
    """An oplog with one entry a second: a no-op, unless ``entries`` has another for the second."""

    def __init__(
        self, first: ClusterTime, entries: Mapping[int, Mapping[str, object]] | None = None
    ) -> None:
        self.first = first
        self.entries = entries or {}
        self.reads: list[tuple[ClusterTime, ClusterTime]] = []

    def read(self, begin: ClusterTime, last: ClusterTime) -> Iterator[Batch]:
        """Yield one entry for each second."""
        self.reads.append((begin, last))
        if begin < self.first:
            raise PermanentError("oplog_rolled", "the oplog begins later")
        for seconds in range(begin.seconds + 1, last.seconds + 1):
            said = self.entries.get(seconds, {"op": "n"})
            entry = bson.encode({"ts": bson.Timestamp(seconds, 1), **said})
            yield Batch(data=entry, docs=1)


_SOURCE: type[ClusterSource] = MemoryCluster
_READER: type[NodeReader] = MemoryCluster
_OPLOG: type[OplogReader] = MemoryOplog
