"""How one task is read, whatever happens to it meanwhile."""

from collections.abc import Sequence
from dataclasses import replace

import bson
import pytest

from agent.codec import framing, zstd
from agent.core.errors import LeaseLost, PermanentError, TransientError
from agent.core.flow import Stop
from agent.jobs.backup.assembly import assemble
from agent.jobs.backup.reading import ReadingPorts, TaskReading
from agent.model.catalogue import Collection, Size
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Copy
from agent.model.tasks import Claim, Ended, Member, Record, Stored, Task, TaskReport
from tests.fakes.catalogue import collection
from tests.fakes.clock import VirtualClock
from tests.fakes.cluster import MemoryCluster, fail_batch
from tests.fakes.store import MemoryStore, fail_at

READ_AT = ClusterTime(1000, 1)
PLAIN = collection("shop.orders")


class _Board:
    """Keeps what a task records; the claim can be lost at a given write."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_lost = False

    def record(self, records: Sequence[Record]) -> None:
        self.held()
        self.records.extend(records)

    def held(self) -> None:
        if self.is_lost:
            raise LeaseLost("task 0")


def _task(*collections: Collection) -> Task:
    members = tuple(
        Member(collection=one, range=None, size=Size(docs=0, bytes=0)) for one in collections
    )
    return Task(
        job="job",
        backup_id="20261121T201512Z",
        storage="main",
        number=0,
        read_at=READ_AT,
        members=members,
    )


def _run(
    cluster: MemoryCluster,
    store: MemoryStore,
    board: _Board,
    task: Task,
    *,
    token: int = 7,
) -> None:
    claim = Claim(task=task, holder="a:1", token=token, attempt=1, records=tuple(board.records))
    ports = ReadingPorts(
        source=cluster, reader=cluster, store=store, clock=VirtualClock(), replset="rs", level=1
    )
    TaskReading(claim, ports, record=board.record, held=board.held, stop=Stop()).run()


def _copy(task: Task, board: _Board, uuid: bytes = PLAIN.uuid) -> Copy | None:
    report = TaskReport(task=task, state="done", holders=("a:1",), records=tuple(board.records))
    copies = assemble([report], READ_AT).copies
    return next((one for one in copies if one.collection.uuid == uuid), None)


def _ids(store: MemoryStore, copy: Copy | None) -> list[int]:
    assert copy is not None
    bodies = [zstd.decompress(store.objects[one.key], one.bytes) for one in copy.chunks]
    return [bson.decode(bytes(raw))["_id"] for body in bodies for raw in framing.documents(body)]


def test_every_document_is_stored_once_in_order() -> None:
    """The chunks of a collection, joined, are its documents."""
    cluster, store, board, task = MemoryCluster(), MemoryStore(), _Board(), _task(PLAIN)
    cluster.add(PLAIN, range(10))
    _run(cluster, store, board, task)
    assert list(range(10)) == _ids(store, _copy(task, board))
    assert isinstance(board.records[-1], Ended)


def test_empty_collections_and_views_end_without_a_chunk() -> None:
    """They are in the backup all the same."""
    view = collection("shop.view", kind="view")
    cluster, store, board, task = MemoryCluster(), MemoryStore(), _Board(), _task(PLAIN, view)
    cluster.add(PLAIN, range(0))
    _run(cluster, store, board, task)
    assert {} == store.objects
    report = TaskReport(task=task, state="done", holders=(), records=tuple(board.records))
    assert [PLAIN, view] == [one.collection for one in assemble([report], READ_AT).copies]


def test_a_snapshot_too_old_goes_on_at_a_newer_time_after_the_last_document() -> None:
    """What was read stays; the rest has a later time, and replay starts at the earliest."""
    cluster, store, board, task = MemoryCluster(), MemoryStore(), _Board(), _task(PLAIN)
    cluster.fault = fail_batch(3, PermanentError("snapshot_too_old", "too old"))
    cluster.add(PLAIN, range(10))
    _run(cluster, store, board, task)
    copy = _copy(task, board)
    assert list(range(10)) == _ids(store, copy)
    assert copy is not None
    assert (READ_AT, ClusterTime(1001, 1)) == copy.read_at
    assert [READ_AT, ClusterTime(1001, 1)] == [read.at for read in cluster.reads]
    assert bson.encode({"_id": 5}) == cluster.reads[1].after


def test_a_dropped_collection_is_left_out_and_the_backup_is_later_than_the_drop() -> None:
    """It is not in the backup, whose time is one at which it was gone."""
    cluster, store, board, task = MemoryCluster(), MemoryStore(), _Board(), _task(PLAIN)
    cluster.add(PLAIN, range(10))

    def drop(batch: int) -> None:
        if batch == 2:
            cluster.drop(PLAIN)

    cluster.fault = drop
    _run(cluster, store, board, task)
    report = TaskReport(task=task, state="done", holders=(), records=tuple(board.records))
    assembled = assemble([report], READ_AT)
    assert () == assembled.copies
    assert assembled.consistent_at > READ_AT


def test_a_renamed_collection_is_read_on_at_a_newer_time() -> None:
    """Reads go by UUID; only the time must be after the rename."""
    cluster, store, board, task = MemoryCluster(), MemoryStore(), _Board(), _task(PLAIN)
    cluster.fault = fail_batch(2, PermanentError("collection_gone", "renamed"))
    cluster.add(PLAIN, range(10))
    _run(cluster, store, board, task)
    assert list(range(10)) == _ids(store, _copy(task, board))


def test_another_agent_goes_on_after_the_last_recorded_chunk() -> None:
    """What the first one stored is not read again, and nothing is there twice."""
    cluster, store, board, task = MemoryCluster(), MemoryStore(), _Board(), _task(PLAIN)
    cluster.add(PLAIN, range(10))
    cluster.fault = fail_batch(3, TransientError("mongodb_unreachable", "cut"))
    with pytest.raises(TransientError):
        _run(cluster, store, board, task, token=7)
    assert [6] == [one.chunk.docs for one in board.records if isinstance(one, Stored)]
    _run(cluster, store, board, task, token=8)
    assert list(range(10)) == _ids(store, _copy(task, board))
    assert bson.encode({"_id": 5}) == cluster.reads[1].after


@pytest.mark.parametrize("code", ["capped_position_lost", "cursor_gone", "collection_gone"])
def test_a_capped_collection_is_read_again_from_its_start_and_earlier_chunks_are_void(
    code: str,
) -> None:
    """Natural order cannot be resumed; replay starts before the read that counts."""
    capped = collection("shop.log", capped=True)
    cluster, store, board, task = MemoryCluster(), MemoryStore(), _Board(), _task(capped)
    cluster.add(capped, range(10))
    cluster.fault = fail_batch(3, PermanentError(code, "overtaken"))
    _run(cluster, store, board, task)
    copy = _copy(task, board, capped.uuid)
    assert list(range(10)) == _ids(store, copy)
    assert copy is not None
    assert copy.read_at[0] > READ_AT
    assert copy.read_at[-1] > copy.read_at[0]
    assert {None} == {read.at for read in cluster.reads}


@pytest.mark.parametrize("call", range(1, 4))
def test_a_storage_that_refuses_fails_the_task_at_any_call(call: int) -> None:
    """The error is the storage's own, and a second run completes the task."""
    parts = [collection(f"shop.c{number}") for number in range(3)]
    cluster, board, task = MemoryCluster(), _Board(), _task(*parts)
    for part in parts:
        cluster.add(part, range(10))
    store = MemoryStore(fail_at(call, PermanentError("storage_denied", "no")))
    with pytest.raises(PermanentError, match="no"):
        _run(cluster, store, board, task)
    store.fault = None
    _run(cluster, store, board, task, token=8)
    for part in parts:
        assert list(range(10)) == _ids(store, _copy(task, board, part.uuid))


def test_a_server_without_history_is_told_and_not_asked_for_ever() -> None:
    """Each newer time is refused again: nobody can read this collection."""
    cluster, store, board, task = MemoryCluster(), MemoryStore(), _Board(), _task(PLAIN)
    cluster.add(PLAIN, range(10))

    def too_old(_batch: int) -> None:
        raise PermanentError("snapshot_too_old", "too old")

    cluster.fault = too_old
    with pytest.raises(PermanentError) as caught:
        _run(cluster, store, board, task)
    assert "no_snapshot_history" == caught.value.code


def test_a_lost_claim_records_nothing() -> None:
    """An agent whose time is over leaves no trace in the task."""
    cluster, store, board, task = MemoryCluster(), MemoryStore(), _Board(), _task(PLAIN)
    cluster.add(PLAIN, range(10))
    board.is_lost = True
    with pytest.raises(LeaseLost):
        _run(cluster, store, board, task)
    assert [] == board.records


def test_an_unfinished_member_is_no_backup() -> None:
    """Assembly refuses a task that lacks the end of a member."""
    task = _task(PLAIN)
    report = TaskReport(task=replace(task), state="done", holders=(), records=())
    with pytest.raises(PermanentError, match="not read to its end"):
        assemble([report], READ_AT)
