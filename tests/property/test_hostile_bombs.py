"""Few stored bytes that claim or become many: an error of ours, soon, in little memory."""

import tracemalloc
from collections.abc import Callable
from typing import Final

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.codec.parts import document_parts
from agent.codec.zstd import content_bytes, decompress
from agent.core.errors import PermanentError
from agent.jobs import segments
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived
from tests.property.hostile import refuses_or_reads

GIB: Final = 1024 * 1024 * 1024
PART_BYTES: Final = 2 * 1024 * 1024
# Parts, the window of a frame, and what the largest document may still wait for.
ENOUGH_BYTES: Final = 200 * 1024 * 1024
_REPEATED_BLOCK: Final = 128 * 1024
SEGMENT: Final = Archived(key="x", begin=ClusterTime(1, 1), last=ClusterTime(2, 1), stored_bytes=1)


def bomb(content_size: int, first: bytes = b"", *, checksum: bool = True) -> bytes:
    """Return a frame of one byte again and again, as RFC 8878 lays it out, with a given start."""
    flags = 0b11_0_0_0_0_00 | (0b100 if checksum else 0)
    frame = zstandard.MAGIC_NUMBER.to_bytes(4, "little") + bytes([flags, 0x58])
    frame += content_size.to_bytes(8, "little")
    if first:
        frame += (len(first) << 3).to_bytes(3, "little") + first
    left = content_size - len(first)
    blocks = [_REPEATED_BLOCK] * (left // _REPEATED_BLOCK) + [left % _REPEATED_BLOCK]
    for size in blocks[:-1]:
        frame += (size << 3 | 0b010).to_bytes(3, "little") + b"\0"
    frame += (blocks[-1] << 3 | 0b011).to_bytes(3, "little") + b"\0"
    return frame + (bytes(4) if checksum else b"")


def _drained(body: bytes, expected_bytes: int) -> None:
    for _ in document_parts(body, expected_bytes, PART_BYTES):
        pass


def _refusal(call: Callable[[], object]) -> PermanentError:
    """Return the error that a call raises; it takes little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(PermanentError) as caught:
            call()
        assert tracemalloc.get_traced_memory()[1] < ENOUGH_BYTES
    finally:
        tracemalloc.stop()
    return caught.value


@pytest.mark.parametrize("length", [2**31 - 1, 1024 * 1024 * 1024, 33 * 1024 * 1024])
def test_a_document_that_claims_more_than_a_server_takes_is_not_waited_for(length: int) -> None:
    """The length is the first thing that is read of it."""
    body = bomb(4 * GIB, length.to_bytes(4, "little"))

    assert len(body) < 256 * 1024
    assert "damaged_object" == _refusal(lambda: _drained(body, 4 * GIB)).code


def test_a_frame_that_becomes_zeros_is_no_document() -> None:
    """No document has a length of 0."""
    assert "damaged_object" == _refusal(lambda: _drained(bomb(4 * GIB), 4 * GIB)).code


def test_a_segment_that_becomes_gigabytes_is_damaged() -> None:
    """The size that its own header promises is no better than the content."""
    body = bomb(2 * GIB, (2**31 - 1).to_bytes(4, "little"))

    error = _refusal(lambda: list(segments.parts(body, SEGMENT)))

    assert "damaged_object" == error.code
    assert "x" in error.message


@given(st.sampled_from([0, 1, 2**31, 2**40, 2**63, 2**64 - 2, 2**64 - 1]))
@settings(max_examples=20)
def test_a_size_in_a_header_takes_no_memory(size: int) -> None:
    """Neither in one piece nor in parts."""
    frame = bytearray(bomb(1000, (1000).to_bytes(4, "little")))
    frame[6:14] = size.to_bytes(8, "little")
    body = bytes(frame)

    for call in (
        lambda: decompress(body, size),
        lambda: _drained(body, min(size, 2**62)),
        lambda: _drained(body, content_bytes(body)),
    ):
        assert "damaged_object" == _refusal(call).code


@given(st.binary(max_size=60), st.integers(0, 2**31), st.sampled_from([1, 100, PART_BYTES]))
def test_any_bytes_are_parts_or_damaged(data: bytes, length: int, part_bytes: int) -> None:
    """What leaves is whole documents, or an error of ours."""
    content = length.to_bytes(4, "little") + data
    body = zstandard.ZstdCompressor(write_checksum=True).compress(content)
    refuses_or_reads(lambda: _require_whole(body, content, part_bytes))


def _require_whole(body: bytes, content: bytes, part_bytes: int) -> None:
    assert content == b"".join(document_parts(body, len(content), part_bytes))
