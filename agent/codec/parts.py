"""A stored frame as parts of whole documents, so that it never stands in memory at full size."""

from collections.abc import Iterator
from struct import Struct
from typing import Final

import zstandard

from agent.codec.elements import SHORTEST_BYTES, Bytes
from agent.codec.zstd import check_end
from agent.core.errors import PermanentError

_LENGTH: Final = Struct("<i")
_WINDOW_MAX_BYTES: Final = 128 * 1024 * 1024
# A server takes 16 MiB, and 16 KiB more of its own; what claims more is waited for in vain.
_DOCUMENT_MAX_BYTES: Final = 32 * 1024 * 1024


def document_parts(body: Bytes, expected_bytes: int, part_bytes: int) -> Iterator[bytes]:
    """Yield the documents of one frame, in order, in parts of about ``part_bytes``.

    A document is never cut: a larger one makes its part larger. The caller has verified the
    digest of ``body``; size and checksum of the content are verified at the end.

    Raises: PermanentError ``damaged_object``.
    """
    check_end(body)
    decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX_BYTES)
    total_bytes = 0
    rest = b""
    try:
        with decompressor.stream_reader(body) as reader:
            while piece := reader.read(part_bytes):
                total_bytes += len(piece)
                if total_bytes > expected_bytes:
                    break
                if rest:
                    piece = rest + piece
                end = _whole(piece)
                whole, rest = piece[:end], piece[end:]
                del piece
                if whole:
                    yield whole
    except zstandard.ZstdError as error:
        raise _damaged(str(error)) from error
    if rest or total_bytes != expected_bytes:
        raise _damaged(f"{expected_bytes} bytes were expected, {total_bytes} or more are there")


def _whole(data: bytes) -> int:
    """Return where the last whole document ends."""
    unpack = _LENGTH.unpack_from
    position, size = 0, len(data)
    while position + SHORTEST_BYTES <= size:
        (length,) = unpack(data, position)
        if not SHORTEST_BYTES <= length <= _DOCUMENT_MAX_BYTES:
            raise _damaged(f"a document with the length {length}")
        if position + length > size:
            break
        position += length
    return position


def _damaged(reason: str) -> PermanentError:
    return PermanentError(
        "damaged_object",
        f"the object is damaged: {reason}",
        hint="restore from another backup",
        reason=reason,
    )
