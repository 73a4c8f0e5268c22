"""Single raw documents, for rooms that may not know bson: reading a field, making a document.

Values are those of pymongo's bson package; types that it would lose on the way back
(undefined, DBPointer, symbol, doubled fields) must stay bytes and never pass through here.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from agent.codec.elements import (
    DOCUMENT,
    TIMESTAMP,
    Bytes,
    damaged,
    elements,
    find,
)
from agent.codec.framing import bounds
from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime

EMPTY: Final = b"\x05\x00\x00\x00\x00"

_OPTIONS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
    unicode_decode_error_handler="replace",
)
_ZERO: Final = bytes(8)
_CONTAINERS: Final = frozenset({0x03, 0x04, 0x0F})


def encode(document: Mapping[str, Any]) -> bytes:
    """Return a document's bytes; a value may be a ``ClusterTime``.

    Raises: PermanentError ``bad_document``.
    """
    plain = {
        name: timestamp(value) if isinstance(value, ClusterTime) else value
        for name, value in document.items()
    }
    try:
        return bson.encode(plain, codec_options=_OPTIONS)
    except (BSONError, OverflowError) as error:
        raise PermanentError("bad_document", f"not a BSON document: {error}") from error


def decode(document: Bytes) -> dict[str, Any]:
    """Return a document's fields as Python values; malformed text is replaced, not refused.

    Raises: PermanentError ``damaged_bson``.
    """
    try:
        return bson.decode(document, codec_options=_OPTIONS)
    except (BSONError, OverflowError) as error:
        raise damaged(str(error), 0) from error


def field(document: Bytes, name: str) -> object | None:
    """Return the Python value of the first top-level field of a name; None if there is none.

    Decodes that field alone. Raises: PermanentError ``damaged_bson``.
    """
    found = find(document, name.encode())
    if found is None:
        return None
    raw = bytes(document[found.begin : found.end])
    alone = (len(raw) + 5).to_bytes(4, "little") + raw + b"\x00"
    value: object = decode(alone)[name]
    return value


def subdocument(document: Bytes, name: str) -> bytes | None:
    """Return the bytes of the first top-level field of a name, if that is a document.

    Raises: PermanentError ``damaged_bson``.
    """
    found = find(document, name.encode())
    if found is None or found.kind != DOCUMENT:
        return None
    return bytes(document[found.value : found.end])


def cluster_time(document: Bytes, name: str) -> ClusterTime | None:
    """Return the first top-level field of a name, if that is a timestamp.

    Raises: PermanentError ``damaged_bson``.
    """
    found = find(document, name.encode())
    if found is None or found.kind != TIMESTAMP:
        return None
    value = int.from_bytes(bytes(document[found.value : found.end]), "little")
    return ClusterTime(value >> 32, value & 0xFFFF_FFFF)


def renamed(document: Bytes, name: str) -> bytes:
    """Return a document of one field with another name and the same value, byte for byte.

    Raises: PermanentError ``damaged_bson``.
    """
    found = list(elements(document))
    if len(found) != 1:
        raise damaged(f"{len(found)} fields, 1 expected", 0)
    value = bytes(document[found[0].value : found[0].end])
    field_bytes = bytes([found[0].kind]) + name.encode() + b"\x00" + value + b"\x00"
    return (len(field_bytes) + 4).to_bytes(4, "little") + field_bytes


def timestamp(time: ClusterTime) -> Timestamp:
    """Return a cluster time as a BSON timestamp."""
    return Timestamp(time.seconds, time.increment)


def raw(document: Bytes) -> RawBSONDocument:
    """Return a document as one that pymongo sends byte for byte.

    Raises: PermanentError ``damaged_bson``.
    """
    try:
        return RawBSONDocument(bytes(document))
    except BSONError as error:
        raise damaged(str(error), 0) from error


def has_zero_timestamp(document: Bytes) -> bool:
    """Whether a top-level field is ``Timestamp(0, 0)``, which a plain insert would rewrite.

    Looks for eight zero bytes first, so that most documents cost no walk.

    Raises: PermanentError ``damaged_bson``.
    """
    whole = document if isinstance(document, bytes) else bytes(document)
    if _ZERO not in whole:
        return False
    return any(
        each.kind == TIMESTAMP and whole[each.value : each.end] == _ZERO for each in elements(whole)
    )


def depth(document: Bytes) -> int:
    """Return how deep a document is nested: 1 if it holds no document and no array.

    Raises: PermanentError ``damaged_bson``.
    """
    deepest = 0
    # A list and not a recursion: the bytes may be hostile.
    waiting = [(0, len(document), 1)]
    while waiting:
        begin, end, level = waiting.pop()
        deepest = max(deepest, level)
        for each in elements(document, begin=begin, end=end):
            if each.kind not in _CONTAINERS:
                continue
            inner = each.value
            if each.kind == 0x0F:  # noqa: PLR2004 - code with scope: lengths, code, then the scope
                inner += 8 + int.from_bytes(bytes(document[inner + 4 : inner + 8]), "little")
            waiting.append((inner, each.end, level + 1))
    return deepest


def md5_of(parts: Iterable[Bytes]) -> str:
    """Return the MD5 of concatenated documents: what the server's ``dbHash`` shows for them."""
    whole = hashlib.md5(usedforsecurity=False)
    for part in parts:
        whole.update(part)
    return whole.hexdigest()


def check(data: Bytes, docs: int) -> None:
    """Check that bytes are exactly so many whole documents.

    Raises: PermanentError ``damaged_bson``.
    """
    found = len(bounds(data)) - 1
    if found != docs:
        raise damaged(f"{found} documents, {docs} expected", len(data))
