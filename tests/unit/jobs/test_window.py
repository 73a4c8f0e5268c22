"""The oplog that a backup keeps."""

import pytest

from agent.codec.zstd import ChunkCompressor, content_bytes, sha256
from agent.core.errors import PermanentError
from agent.jobs.backup.window import WindowPlace, WindowRecorder
from agent.model.cluster_time import ClusterTime
from tests.fakes.cluster import MemoryOplog
from tests.fakes.store import MemoryStore

BEGIN, LAST = ClusterTime(1, 1), ClusterTime(500, 1)
_BYTES = 499 * 27
"""What the entries of the fake have in all."""


def recorder(store: MemoryStore, level: int) -> WindowRecorder:
    """Return a recorder that has nothing yet."""
    place = WindowPlace(replset="rs", replset_id="5f", level=level)
    return WindowRecorder(place, MemoryOplog(BEGIN), store, BEGIN, ())


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


@pytest.mark.parametrize("size_bytes", [1, _BYTES])
def test_a_segment_of_other_content_is_refused(size_bytes: int) -> None:
    """Of another size or of the same one, what is there is never taken for the oplog."""
    store, like = MemoryStore(), MemoryStore()
    recorder(like, 1).advance(LAST)
    ((key, body),) = like.objects.items()
    assert _BYTES == content_bytes(body)
    piece = ChunkCompressor(1)
    piece.add(bytes(size_bytes), 1)
    store.objects[key] = bytes(piece.finish().body)

    with pytest.raises(PermanentError) as caught:
        recorder(store, 1).advance(LAST)
    assert "object_exists" == caught.value.code
