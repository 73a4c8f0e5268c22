"""The oplog that a backup keeps."""

from collections.abc import Callable, Mapping

import bson
import pytest
from bson.binary import Binary

from agent.codec.zstd import ChunkCompressor, sha256
from agent.core import log
from agent.core.errors import LeaseLost, PermanentError
from agent.jobs.backup.window import WindowPlace, WindowRecorder
from agent.model.cluster_time import ClusterTime
from agent.model.leases import COORDINATOR
from tests.fakes.cluster import MemoryOplog
from tests.fakes.store import MemoryStore

BEGIN, LAST = ClusterTime(1, 1), ClusterTime(500, 1)


def recorder(
    store: MemoryStore,
    level: int,
    entries: Mapping[int, Mapping[str, object]] | None = None,
    held: Callable[[], None] = lambda: None,
) -> WindowRecorder:
    """Return a recorder that has nothing yet."""
    place = WindowPlace(
        store=store, replset="rs", replset_id="5f", level=level, held=held, log=log.get()
    )
    return WindowRecorder(place, MemoryOplog(BEGIN, entries), BEGIN, ())


def test_a_segment_that_another_coordinator_compressed_otherwise_counts() -> None:
    """It was stored and not written down: what the manifest tells is what is stored."""
    store = MemoryStore()
    recorder(store, 1).advance(LAST)
    ((key, body),) = store.objects.items()

    second = recorder(store, 19)
    second.advance(LAST)

    (segment,) = second.window().segments
    assert {key: body} == store.objects
    assert (key, len(body), sha256(body)) == (segment.key, segment.stored_bytes, segment.sha256)
    other = MemoryStore()
    recorder(other, 19).advance(LAST)
    assert body != other.objects[key], "both levels make the same bytes"


def test_a_segment_of_other_entries_is_refused() -> None:
    """What is there is never taken for the oplog: another cluster stored it."""
    store = MemoryStore()
    recorder(store, 1).advance(LAST)
    ((key, _),) = store.objects.items()
    piece = ChunkCompressor(1)
    piece.add(bson.encode({"ts": bson.Timestamp(LAST.seconds, LAST.increment), "op": "i"}), 1)
    other = store.objects[key] = bytes(piece.finish().body)

    with pytest.raises(PermanentError) as caught:
        recorder(store, 1).advance(LAST)
    assert "archive_conflict" == caught.value.code
    assert {key: other} == store.objects


@pytest.mark.parametrize("size_bytes", [1, 499 * 27])
def test_a_damaged_segment_is_replaced(size_bytes: int) -> None:
    """What cannot be read as entries, of whatever size, gives way to the entries themselves."""
    store = MemoryStore()
    recorder(store, 1).advance(LAST)
    whole = dict(store.objects)
    piece = ChunkCompressor(1)
    piece.add(bytes(size_bytes), 1)
    store.objects.update(dict.fromkeys(whole, bytes(piece.finish().body)))

    recorder(store, 1).advance(LAST)
    assert whole == store.objects


def test_a_damaged_segment_is_left_to_who_holds_the_lease() -> None:
    """Whoever has it by now may have replaced the segment; it is not deleted by somebody else."""
    store = MemoryStore()
    recorder(store, 1).advance(LAST)
    damaged = dict.fromkeys(store.objects, b"damaged")
    store.objects.update(damaged)

    def is_lost() -> None:
        raise LeaseLost(COORDINATOR)

    with pytest.raises(LeaseLost):
        recorder(store, 1, held=is_lost).advance(LAST)
    assert damaged == store.objects


def test_a_backup_across_a_change_of_the_compatibility_version_fails() -> None:
    """Trap 47: no restore of it could replay that entry; the message has its time."""
    store = MemoryStore()
    change = {
        "op": "u",
        "ns": "admin.system.version",
        "ui": Binary(bytes(16), 4),
        "o": {"$v": 2, "diff": {"u": {"version": "5.0"}}},
        "o2": {"_id": "featureCompatibilityVersion"},
    }
    with pytest.raises(PermanentError) as caught:
        recorder(store, 1, {300: change}).advance(LAST)
    assert "compatibility_changed" == caught.value.code
    assert str(ClusterTime(300, 1)) in caught.value.message
    assert {} == store.objects
    recorder(store, 1, {300: change | {"o2": {"_id": "authSchema"}}}).advance(LAST)
    assert 1 == len(store.objects)
