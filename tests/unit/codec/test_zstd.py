"""Frames that lie, and what the compressor tells while it works."""

import os
import threading
import tracemalloc

import pytest
import zstandard

from agent.codec import zstd
from agent.core.errors import PermanentError


def _refusal(body: bytes | bytearray, expected_bytes: int) -> str:
    with pytest.raises(PermanentError) as caught:
        zstd.decompress(body, expected_bytes)
    assert "damaged_object" == caught.value.code
    assert len(body) == caught.value.facts["stored_bytes"]
    assert expected_bytes == caught.value.facts["expected_bytes"]
    return str(caught.value.facts["reason"])


def _claiming(body: bytearray, size: int) -> bytearray:
    changed = bytearray(body)
    changed[6:14] = size.to_bytes(8, "little")
    return changed


def test_stored_bytes_grow_while_documents_come() -> None:
    """Whoever cuts chunks by stored size sees it grow before the end."""
    compressor = zstd.ChunkCompressor(1)
    seen = []
    for _ in range(8):
        compressor.add(os.urandom(1 << 20), 1)
        seen.append(compressor.stored_bytes)
    assert seen == sorted(set(seen))
    assert compressor.finish().stored_bytes - seen[-1] < (1 << 20)


def test_an_empty_frame_is_valid() -> None:
    """A chunk without documents is a frame all the same."""
    done = zstd.ChunkCompressor(1).finish()
    assert 0 == done.bytes == done.docs
    assert b"" == zstd.decompress(done.body, 0)


def test_a_frame_of_another_size_is_refused() -> None:
    """The size in the manifest decides."""
    compressor = zstd.ChunkCompressor(1)
    compressor.add(b"a" * 1000, 1)
    done = compressor.finish()
    assert "promises 1000 bytes" in _refusal(done.body, 999)
    _refusal(_claiming(done.body, 999), 999)
    _refusal(_claiming(done.body, 1001), 1001)


def test_a_frame_that_lies_takes_no_memory() -> None:
    """A claim of a terabyte, in frame and manifest alike, is refused before memory is taken."""
    done = zstd.ChunkCompressor(1).finish()
    tracemalloc.start()
    try:
        assert "cannot hold that many" in _refusal(_claiming(done.body, 1 << 40), 1 << 40)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_bomb_takes_the_expected_memory_only() -> None:
    """A frame that holds more than it says ends at the size that was expected."""
    compressor = zstd.ChunkCompressor(1)
    for _ in range(512):
        compressor.add(bytes(1 << 20), 1)
    bomb = _claiming(compressor.finish().body, 1 << 20)
    tracemalloc.start()
    try:
        _refusal(bomb, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_frame_without_checksum_or_size_is_refused() -> None:
    """Only frames as we write them are taken, so that damage can be told."""
    data = b"a" * 1000
    plain = zstandard.ZstdCompressor(write_checksum=False).compress(data)
    assert "no checksum" in _refusal(plain, 1000)
    unsized = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False)
    assert "promises nothing" in _refusal(unsized.compress(data), 1000)


def test_other_threads_run_while_it_compresses() -> None:
    """Compressing lets go of the interpreter: a counter in another thread moves on."""
    data = os.urandom(1 << 20) * 64
    done = threading.Event()
    turns = 0

    def turn() -> None:
        nonlocal turns
        while not done.wait(0.0005):
            turns += 1

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        compressor = zstd.ChunkCompressor(9)
        before = turns
        compressor.add(data, 1)
        during = turns - before
        compressor.finish()
    finally:
        done.set()
        thread.join()
    assert during > 10
