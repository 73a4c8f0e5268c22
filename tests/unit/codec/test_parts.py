"""Stored frames in parts: whole documents, all of them, in bounded memory."""

import bson
import pytest
import zstandard

from agent.codec.parts import document_parts
from agent.core.errors import PermanentError

DOCUMENTS = [bson.encode({"_id": n, "a": "x" * (n % 50)}) for n in range(1000)]
WHOLE = b"".join(DOCUMENTS)
FRAME = zstandard.ZstdCompressor(write_checksum=True).compress(WHOLE)


@pytest.mark.parametrize("part_bytes", [1, 7, 64, 4096, 1_000_000])
def test_parts_join_to_the_whole(part_bytes: int) -> None:
    """No document is cut or lost, however small the parts are."""
    parts = list(document_parts(FRAME, len(WHOLE), part_bytes))
    assert b"".join(parts) == WHOLE
    assert DOCUMENTS == [each for part in parts for each in _documents(part)]


def _documents(part: bytes) -> list[bytes]:
    found, position = [], 0
    while position < len(part):
        end = position + int.from_bytes(part[position : position + 4], "little")
        found.append(part[position:end])
        position = end
    return found


@pytest.mark.parametrize(
    ("body", "expected_bytes"),
    [
        (FRAME, len(WHOLE) - 1),
        (FRAME, len(WHOLE) + 1),
        (FRAME[:-10], len(WHOLE)),
        (FRAME[:-1], len(WHOLE)),
        (FRAME[:-4], len(WHOLE)),
        (FRAME + b"\0", len(WHOLE)),
        (b"no frame at all", len(WHOLE)),
        (zstandard.ZstdCompressor().compress(WHOLE[:-3]), len(WHOLE) - 3),
        (zstandard.ZstdCompressor().compress(b"\x01\0\0\0\0\0\0\0"), 8),
    ],
)
def test_damaged_frame_is_an_error(body: bytes, expected_bytes: int) -> None:
    """Too few bytes, too many, a broken frame or checksum, a cut document, a length of nothing."""
    with pytest.raises(PermanentError) as caught:
        list(document_parts(body, expected_bytes, 4096))
    assert caught.value.code == "damaged_object"


def test_document_larger_than_a_part_is_one_part() -> None:
    """The largest document is 16 MiB, twice a part."""
    large = bson.encode({"_id": 1, "a": b"x" * 100_000})
    frame = zstandard.ZstdCompressor().compress(large + DOCUMENTS[0])
    parts = list(document_parts(frame, len(large) + len(DOCUMENTS[0]), 1000))
    assert b"".join(parts) == large + DOCUMENTS[0]
    assert parts[0].startswith(large)
