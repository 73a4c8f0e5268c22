"""Reads one task's members, whatever happens to them meanwhile, and stores them as chunks."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from agent.codec import framing
from agent.codec.zstd import ChunkCompressor
from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.errors import AgentError, PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk
from agent.model.tasks import Claim, Ended, Member, Record, Stored
from agent.ports import ClusterSource, NodeReader, ObjectStore, Read

_MIB: Final = 1024 * 1024
# A chunk is sent by one PUT from memory; four workers hold one each.
CHUNK_STORED_BYTES: Final = 8 * _MIB
# Well compressed chunks end here, so that a restore's memory stays bounded too.
CHUNK_RAW_BYTES: Final = 32 * _MIB
# Small collections are recorded together: one write a second instead of one each.
RECORD_EVERY_S: Final = 1.0
RECORD_EVERY_COUNT: Final = 50
# Newer snapshots in a row at which not one document could be read.
MOST_BARREN: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingPorts:
    """What reading a task needs."""

    source: ClusterSource
    reader: NodeReader
    store: ObjectStore
    clock: Clock
    replset: str
    level: int


@dataclass(slots=True)
class _Cursor:
    """Where the reading of one member stands."""

    number: int
    member: Member
    at: ClusterTime
    since: ClusterTime
    after: bytes | None
    sequence: int
    is_read: bool = False
    gone_at: ClusterTime | None = None
    barren: int = 0
    renewed_after: bytes | None = None
    last_batch: bytes | memoryview = field(default=b"")


class TaskReading:
    """One claim's work. ``record`` writes what was stored; ``held`` raises LeaseLost in time.

    ``stored`` lists the keys of everything that was, or may have been, uploaded.
    """

    def __init__(
        self,
        claim: Claim,
        ports: ReadingPorts,
        *,
        record: Callable[[Sequence[Record]], None],
        held: Callable[[], None],
        stop: Stop,
    ) -> None:
        self._claim = claim
        self._ports = ports
        self._record = record
        self._held = held
        self._stop = stop
        self._pending: list[Record] = []
        self.stored: list[str] = []
        self._recorded_at = ports.clock.monotonic()

    def run(self) -> None:
        """Read every member to its end, from where the records of the claim say.

        Raises: LeaseLost, Stopped, TransientError (the task may be given to another node),
        PermanentError (nobody can do it).
        """
        try:
            for number, member in enumerate(self._claim.task.members):
                self._stop.check()
                done = [one for one in self._claim.records if one.member == number]
                if not any(isinstance(one, Ended) for one in done):
                    self._read_member(self._cursor(number, member, done))
        except (TransientError, Stopped):
            # What lies in the storage already need not be read again by the next agent.
            self._flush_records()
            raise
        self._flush_records()

    def _cursor(self, number: int, member: Member, done: Sequence[Record]) -> _Cursor:
        stored = [one for one in done if isinstance(one, Stored)]
        task = self._claim.task
        cursor = _Cursor(
            number, member, at=task.read_at, since=task.read_at, after=None, sequence=len(stored)
        )
        if stored and not member.collection.traits.is_capped:
            cursor.at = stored[-1].read_at
            cursor.since = stored[0].read_at
            cursor.after = stored[-1].last_id
        return cursor

    def _read_member(self, cursor: _Cursor) -> None:
        if cursor.member.collection.has_data:
            if cursor.member.collection.traits.is_capped:
                self._begin_natural(cursor)
            while not (cursor.is_read or cursor.gone_at):
                self._stop.check()
                self._read_on(cursor)
        if cursor.member.collection.traits.is_capped and not cursor.gone_at:
            cursor.at = self._ports.source.write_note("a capped collection was read")
        self._add(
            Ended(
                member=cursor.number,
                since=cursor.since,
                read_at=cursor.at,
                gone_at=cursor.gone_at,
            )
        )

    def _begin_natural(self, cursor: _Cursor) -> None:
        # Everything stored of an earlier try is void: natural order cannot be resumed.
        cursor.at = self._ports.source.write_note("a capped collection is read")
        cursor.since = cursor.at

    def _read_on(self, cursor: _Cursor) -> None:
        try:
            self._drain(cursor)
        except PermanentError as error:
            match error.code:
                case "snapshot_too_old":
                    self._renew_snapshot(cursor)
                case "cursor_gone" | "capped_position_lost":
                    if cursor.member.collection.traits.is_capped:
                        self._begin_natural(cursor)
                case "collection_gone":
                    self._follow(cursor)
                case _:
                    raise

    def _renew_snapshot(self, cursor: _Cursor) -> None:
        """Take a newer time; give up if the server keeps no history to read anything at all."""
        cursor.barren = cursor.barren + 1 if cursor.after == cursor.renewed_after else 1
        cursor.renewed_after = cursor.after
        if cursor.barren > MOST_BARREN:
            raise PermanentError(
                "no_snapshot_history",
                f"{cursor.member.collection.namespace} cannot be read at any snapshot time",
                hint="raise minSnapshotHistoryWindowInSeconds (300 by default)",
            )
        cursor.at = self._ports.source.write_note("a snapshot became too old")

    def _follow(self, cursor: _Cursor) -> None:
        collection = cursor.member.collection
        place = self._ports.source.locate(collection.namespace.database, collection.uuid)
        noted_at = self._ports.source.write_note("a collection was dropped or renamed")
        if place is None:
            cursor.gone_at = noted_at
        elif collection.traits.is_capped:
            self._begin_natural(cursor)
        else:
            cursor.at = noted_at

    def _drain(self, cursor: _Cursor) -> None:
        """Read on until the end; what arrived before an error is stored all the same."""
        capped = cursor.member.collection.traits.is_capped
        request = Read(
            collection=cursor.member.collection,
            at=None if capped else cursor.at,
            range=cursor.member.range,
            after=cursor.after,
            since=cursor.since if capped else None,
            doc_bytes=cursor.member.size.doc_bytes,
        )
        chunk = ChunkCompressor(self._ports.level)
        failure: AgentError | None = None
        with closing(self._ports.reader.read(request)) as batches:
            while failure is None and not cursor.is_read:
                self._held()
                self._stop.check()
                try:
                    batch = next(batches, None)
                except (PermanentError, TransientError) as error:
                    failure = error
                    continue
                if batch is None:
                    cursor.is_read = True
                    continue
                chunk.add(batch.data, batch.docs)
                cursor.last_batch = batch.data
                if chunk.stored_bytes >= CHUNK_STORED_BYTES or chunk.raw_bytes >= CHUNK_RAW_BYTES:
                    self._store(cursor, chunk)
        if chunk.docs:
            self._store(cursor, chunk)
        if failure is not None:
            raise failure

    def _store(self, cursor: _Cursor, chunk: ChunkCompressor) -> None:
        collection = cursor.member.collection
        name = keys.ChunkName(
            task=self._claim.task.number, token=self._claim.token, sequence=cursor.sequence
        )
        key = keys.chunk(
            self._ports.replset, self._claim.task.backup_id, collection.namespace, name
        )
        done = chunk.finish()
        self._held()
        self.stored.append(key)
        passing(Point.CHUNK_BEFORE_PUT)
        self._ports.store.put(key, done.body)
        passing(Point.CHUNK_STORED)
        if not collection.traits.is_capped:
            cursor.after = _last_id(cursor)
        stored = Chunk(
            key=key,
            docs=done.docs,
            bytes=done.bytes,
            stored_bytes=done.stored_bytes,
            sha256=done.sha256,
        )
        cursor.sequence += 1
        self._add(
            Stored(
                member=cursor.number, read_at=cursor.at, chunk=stored, last_id=cursor.after or b""
            )
        )

    def _add(self, record: Record) -> None:
        self._pending.append(record)
        is_large = isinstance(record, Stored) and record.chunk.bytes >= _MIB
        waited_s = self._ports.clock.monotonic() - self._recorded_at
        if is_large or len(self._pending) >= RECORD_EVERY_COUNT or waited_s >= RECORD_EVERY_S:
            self._flush_records()

    def _flush_records(self) -> None:
        if self._pending:
            self._held()
            self._record(tuple(self._pending))
            self._pending.clear()
        self._recorded_at = self._ports.clock.monotonic()


def _last_id(cursor: _Cursor) -> bytes:
    found = framing.id_document(framing.last(cursor.last_batch))
    if found is None:
        raise PermanentError(
            "document_without_id",
            f"{cursor.member.collection.namespace} holds a document without _id",
            hint="give the document an _id, or leave the collection out by namespaces",
        )
    return found
