"""Chunks and segments: one zstd frame each, with content size and checksum.

The frame format is that of RFC 8878, section 3.1.1.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

import zstandard

from agent.codec.elements import Bytes
from agent.core.errors import PermanentError

# Frame header as written while the size is not known: magic number, descriptor, window.
_MAGIC_BYTES: Final = 4
_SHORT_HEADER_BYTES: Final = 6
# The two highest bits of the descriptor: a content size of 8 bytes follows the window.
_SIZE_IN_8_BYTES: Final = 0xC0
_SIZE_BYTES: Final = 8
# A block of at least four bytes stands for at most this many.
_BLOCK_MAX_BYTES: Final = 128 * 1024
_BLOCK_MIN_BYTES: Final = 4
# RFC 8878, 3.1.1.2: each block begins with its size, its type, and whether it is the last.
_BLOCK_HEADER_BYTES: Final = 3
_REPEATED: Final = 1
_CHECKSUM_BYTES: Final = 4
# A frame of nothing: header, one empty block, checksum; ours has 21 bytes.
_EMPTY_FRAME_MAX_BYTES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """A finished frame: what to store, and what it holds."""

    body: bytearray
    sha256: str
    docs: int
    bytes: int

    @property
    def stored_bytes(self) -> int:
        """Size of the frame."""
        return len(self.body)


class ChunkCompressor:
    """Compresses documents as they come into one frame after another; used by one thread.

    The size of the content is not known before the end, yet stands in the header: room for it
    is kept there and filled in by ``finish``. ``level`` is zstd's own, from 1.
    """

    def __init__(self, level: int) -> None:
        self._compressor = zstandard.ZstdCompressor(
            level=level, write_checksum=True, write_content_size=False
        )
        self._begin()

    def _begin(self) -> None:
        self._stream = self._compressor.compressobj()
        self._body = bytearray()
        self._bytes = 0
        self._docs = 0

    @property
    def docs(self) -> int:
        """Documents in the frame so far."""
        return self._docs

    @property
    def raw_bytes(self) -> int:
        """Uncompressed bytes in the frame so far."""
        return self._bytes

    @property
    def stored_bytes(self) -> int:
        """Compressed bytes so far; up to a block more (128 KiB uncompressed) is still inside."""
        return len(self._body)

    def add(self, data: Bytes, docs: int) -> None:
        """Compress whole documents. Lets other threads run meanwhile; ``data`` is not kept."""
        self._append(self._stream.compress(data))
        self._bytes += len(data)
        self._docs += docs

    def finish(self) -> Compressed:
        """End the frame and return it; the compressor is then ready for the next one."""
        self._append(self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH))
        body = self._body
        body[_SHORT_HEADER_BYTES : _SHORT_HEADER_BYTES + _SIZE_BYTES] = self._bytes.to_bytes(
            _SIZE_BYTES, "little"
        )
        done = Compressed(body=body, sha256=sha256(body), docs=self._docs, bytes=self._bytes)
        self._begin()
        return done

    def _append(self, output: bytes) -> None:
        if self._body or not output:
            self._body += output
            return
        # The first output holds the whole header: it fits into any buffer of the library.
        self._body += output[:_SHORT_HEADER_BYTES]
        self._body[_MAGIC_BYTES] |= _SIZE_IN_8_BYTES
        self._body += bytes(_SIZE_BYTES)
        self._body += memoryview(output)[_SHORT_HEADER_BYTES:]


def sha256(body: Bytes) -> str:
    """Return the SHA-256 of some bytes in lower-case hex. Lets other threads run meanwhile."""
    return hashlib.sha256(body).hexdigest()


def content_bytes(body: Bytes) -> int:
    """Return the size of the content that a frame's header promises.

    Raises: PermanentError ``damaged_object`` if it is no frame of ours.
    """
    try:
        size = zstandard.get_frame_parameters(body).content_size
    except zstandard.ZstdError as error:
        raise _damaged("it is no zstd frame", body, 0) from error
    if size == zstandard.CONTENTSIZE_UNKNOWN:
        raise _damaged("its header promises nothing", body, 0)
    _check_header(body, size)
    return size


def check_end(body: Bytes) -> None:
    """Check that a frame ends where its bytes do, by the lengths of its blocks.

    A stream gives out all content of a frame whose checksum is cut off, and never verifies it.

    Raises: PermanentError ``damaged_object``.
    """
    try:
        position = zstandard.frame_header_size(body)
        has_checksum = zstandard.get_frame_parameters(body).has_checksum
    except zstandard.ZstdError as error:
        raise _damaged("it is no zstd frame", body, 0) from error
    is_last = False
    while not is_last and position + _BLOCK_HEADER_BYTES <= len(body):
        header = int.from_bytes(body[position : position + _BLOCK_HEADER_BYTES], "little")
        is_last = bool(header & 1)
        # A repeated byte is stored once; the size then tells how often.
        stored_bytes = 1 if header >> 1 & 3 == _REPEATED else header >> 3
        position += _BLOCK_HEADER_BYTES + stored_bytes
    position += _CHECKSUM_BYTES if has_checksum else 0
    if not is_last or position != len(body):
        raise _damaged("it is cut off or goes on", body, 0)


def decompress(body: Bytes, expected_bytes: int) -> bytes:
    """Return the content of one frame, which must be complete and of the expected size.

    Takes the memory of the expected size at most, whatever the frame claims; the checksum in
    the frame is verified.

    Raises: PermanentError ``damaged_object`` with the reason.
    """
    _check_header(body, expected_bytes)
    try:
        content = _content(body, expected_bytes)
    except zstandard.ZstdError as error:
        raise _damaged(str(error), body, expected_bytes) from error
    if len(content) != expected_bytes:
        raise _damaged(f"it holds {len(content)} bytes", body, expected_bytes)
    return content


def _content(body: Bytes, expected_bytes: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor()
    if expected_bytes > 0:
        # In one go into a buffer of the size in the header, so that no window is allocated.
        return decompressor.decompress(body, allow_extra_data=False)
    # Of a size of 0 the call above believes the header, and does not look at what follows.
    if len(body) > _EMPTY_FRAME_MAX_BYTES:
        raise _damaged("something follows an empty frame", body, expected_bytes)
    stream = decompressor.decompressobj()
    content = stream.decompress(body)
    if not stream.eof or stream.unused_data:
        raise _damaged("an empty frame that is cut off or goes on", body, expected_bytes)
    return content


def _check_header(body: Bytes, expected_bytes: int) -> None:
    try:
        header = zstandard.get_frame_parameters(body)
    except zstandard.ZstdError as error:
        raise _damaged("it is no zstd frame", body, expected_bytes) from error
    if header.content_size != expected_bytes:
        size = header.content_size
        said = "nothing" if size == zstandard.CONTENTSIZE_UNKNOWN else f"{size} bytes"
        raise _damaged(f"its header promises {said}", body, expected_bytes)
    if not header.has_checksum:
        raise _damaged("it has no checksum", body, expected_bytes)
    # Before any memory is taken: the size may be a lie in manifest and header alike.
    if expected_bytes > (len(body) // _BLOCK_MIN_BYTES + 1) * _BLOCK_MAX_BYTES:
        raise _damaged("so few bytes cannot hold that many", body, expected_bytes)


def _damaged(reason: str, body: Bytes, expected_bytes: int) -> PermanentError:
    return PermanentError(
        "damaged_object",
        f"the object is damaged: {reason} ({len(body)} bytes stored, {expected_bytes} expected)",
        hint="verify the backup, and restore from another one",
        reason=reason,
        stored_bytes=len(body),
        expected_bytes=expected_bytes,
    )
