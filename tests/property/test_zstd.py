"""Frames hold what was put in, and damage to them never goes unnoticed."""

import hashlib
import shutil
import subprocess

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.codec import zstd
from agent.core.errors import PermanentError

_pieces = st.lists(
    st.one_of(
        st.binary(max_size=200),
        st.builds(
            lambda piece, times: piece * times, st.binary(max_size=40), st.integers(1, 20_000)
        ),
    ),
    max_size=8,
)


def _compressed(pieces: list[bytes], level: int = 1) -> zstd.Compressed:
    compressor = zstd.ChunkCompressor(level)
    for piece in pieces:
        compressor.add(piece, 1)
    return compressor.finish()


@given(_pieces, st.sampled_from([1, 3, 9]))
def test_a_frame_is_what_its_header_says(pieces: list[bytes], level: int) -> None:
    """Content size and checksum stand in the header of a single frame, and it opens."""
    whole = b"".join(pieces)
    done = _compressed(pieces, level)
    header = zstandard.get_frame_parameters(done.body)
    assert len(whole) == header.content_size == done.bytes
    assert header.has_checksum
    assert len(pieces) == done.docs
    assert len(done.body) == done.stored_bytes
    assert hashlib.sha256(done.body).hexdigest() == done.sha256
    assert whole == zstandard.ZstdDecompressor().decompress(done.body, allow_extra_data=False)
    assert whole == zstd.decompress(bytes(done.body), len(whole))


@given(_pieces, _pieces)
def test_a_compressor_begins_anew(first: list[bytes], second: list[bytes]) -> None:
    """Nothing of a frame reaches the one after it."""
    compressor = zstd.ChunkCompressor(1)
    for pieces in (first, second):
        for piece in pieces:
            compressor.add(memoryview(piece), 2)
        assert 2 * len(pieces) == compressor.docs
        assert sum(map(len, pieces)) == compressor.raw_bytes
        done = compressor.finish()
        assert 0 == compressor.docs == compressor.raw_bytes == compressor.stored_bytes
        assert b"".join(pieces) == zstd.decompress(done.body, done.bytes)


@given(_pieces, st.data())
def test_a_changed_byte_is_noticed(pieces: list[bytes], data: st.DataObject) -> None:
    """Any other bytes give the same content or `damaged_object`, never something else."""
    done = _compressed(pieces)
    body = bytearray(done.body)
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] ^= data.draw(st.integers(1, 255))
    try:
        found = zstd.decompress(body, done.bytes)
    except PermanentError as error:
        assert "damaged_object" == error.code  # noqa: PT017 - the same content is right as well
    else:
        assert b"".join(pieces) == found


@given(_pieces, st.data())
def test_a_cut_frame_is_noticed(pieces: list[bytes], data: st.DataObject) -> None:
    """Any missing end is noticed, also if only bytes of the checksum are missing."""
    done = _compressed(pieces)
    cut = data.draw(st.integers(0, len(done.body) - 1) | st.integers(1, 4).map(lambda n: -n))
    with pytest.raises(PermanentError) as caught:
        zstd.decompress(done.body[:cut], done.bytes)
    assert "damaged_object" == caught.value.code


@given(_pieces, st.binary(min_size=1, max_size=50))
def test_something_behind_the_frame_is_noticed(pieces: list[bytes], more: bytes) -> None:
    """One object is one frame and nothing else."""
    done = _compressed(pieces)
    with pytest.raises(PermanentError) as caught:
        zstd.decompress(bytes(done.body) + more, done.bytes)
    assert "damaged_object" == caught.value.code


@given(st.binary(max_size=300), st.integers(0, 2**40))
def test_any_bytes_are_a_frame_or_damaged(body: bytes, expected_bytes: int) -> None:
    """What never was a frame gives `damaged_object`."""
    with pytest.raises(PermanentError) as caught:
        zstd.decompress(body, expected_bytes)
    assert "damaged_object" == caught.value.code


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd tool is not installed")
@settings(max_examples=10, deadline=None)
@given(_pieces)
def test_the_zstd_tool_reads_it(pieces: list[bytes]) -> None:
    """The public tool decompresses a chunk, and so anyone can."""
    done = _compressed(pieces)
    found = subprocess.run(["zstd", "-dcq"], input=done.body, capture_output=True, check=True)
    assert b"".join(pieces) == found.stdout
