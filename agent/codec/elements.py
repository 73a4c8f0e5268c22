"""The fields of one BSON document, found without decoding any value.

Field types and their lengths are those of https://bsonspec.org/spec.html, deprecated ones too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final

from agent.core.errors import PermanentError

Bytes = bytes | bytearray | memoryview

# The shortest document: a length of four bytes and the NUL that ends it.
SHORTEST_BYTES: Final = 5

DOCUMENT: Final = 0x03
ARRAY: Final = 0x04
REGEX: Final = 0x0B
TIMESTAMP: Final = 0x11

_LENGTH: Final = Struct("<i")
_FIXED_BYTES: Final = {
    0x01: 8,  # double
    0x06: 0,  # undefined
    0x07: 12,  # ObjectId
    0x08: 1,  # boolean
    0x09: 8,  # date
    0x0A: 0,  # null
    0x10: 4,  # int32
    0x11: 8,  # timestamp
    0x12: 8,  # int64
    0x13: 16,  # decimal128
    0x7F: 0,  # MaxKey
    0xFF: 0,  # MinKey
}
# What a value takes beyond the length that it begins with.
_BEYOND_LENGTH: Final = {
    0x02: 4,  # string
    0x03: 0,  # document
    0x04: 0,  # array
    0x05: 5,  # binary: the length and the subtype are not counted in the length
    0x0C: 16,  # DBPointer: a string and 12 bytes
    0x0D: 4,  # JavaScript
    0x0E: 4,  # symbol
    0x0F: 0,  # JavaScript with scope
}
_SMALLEST_LENGTH: Final = {0x02: 1, 0x03: 5, 0x04: 5, 0x05: 0, 0x0C: 1, 0x0D: 1, 0x0E: 1, 0x0F: 14}


@dataclass(frozen=True, slots=True)
class Element:
    """Where one field lies in its document: ``begin`` is its type byte, ``value`` its value."""

    kind: int
    name: bytes
    begin: int
    value: int
    end: int


def elements(document: Bytes, *, begin: int = 0, end: int | None = None) -> Iterator[Element]:
    """Yield the top-level fields of the document that lies in ``document[begin:end]``.

    Values are measured and not looked into.

    Raises: PermanentError ``damaged_bson``.
    """
    last = _end_of(document, begin, len(document) if end is None else end) - 1
    position = begin + 4
    while position < last:
        kind = document[position]
        close = _nul(document, position + 1, last)
        value = close + 1
        after = _after_value(document, kind, value, last)
        yield Element(kind, bytes(document[position + 1 : close]), position, value, after)
        position = after


def find(document: Bytes, name: bytes) -> Element | None:
    """Return the first top-level field of a name, if there is one.

    Raises: PermanentError ``damaged_bson``.
    """
    return next((each for each in elements(document) if each.name == name), None)


def damaged(reason: str, position: int) -> PermanentError:
    """Return the error for bytes that are no BSON document."""
    return PermanentError(
        "damaged_bson",
        f"not a BSON document at byte {position}: {reason}",
        hint="the bytes were changed or cut off; use another copy",
        position=position,
        reason=reason,
    )


def _end_of(document: Bytes, begin: int, limit: int) -> int:
    if limit - begin < SHORTEST_BYTES:
        raise damaged(f"{limit - begin} bytes are too few", begin)
    (length,) = _LENGTH.unpack_from(document, begin)
    if length != limit - begin:
        raise damaged(f"its length says {length}, there are {limit - begin} bytes", begin)
    if document[limit - 1] != 0:
        raise damaged("no NUL at the end", begin)
    return limit


def _nul(document: Bytes, position: int, last: int) -> int:
    """Return where the NUL of a string lies that begins at ``position``."""
    if isinstance(document, memoryview):
        # Names are short: a slice of this size nearly always holds the NUL.
        found = bytes(document[position : min(position + 64, last)]).find(0)
        if found >= 0:
            return position + found
        found = bytes(document[position:last]).find(0)
        found = found if found < 0 else position + found
    else:
        found = document.find(0, position, last)
    if found < 0:
        raise damaged("a name without an end", position)
    return found


def _after_value(document: Bytes, kind: int, value: int, last: int) -> int:
    fixed = _FIXED_BYTES.get(kind)
    if fixed is not None:
        after = value + fixed
    elif kind == REGEX:
        after = _nul(document, _nul(document, value, last) + 1, last) + 1
    elif kind in _BEYOND_LENGTH:
        if value + 4 > last:
            raise damaged("a value is cut off", value)
        (length,) = _LENGTH.unpack_from(document, value)
        if length < _SMALLEST_LENGTH[kind]:
            raise damaged(f"a value with the length {length}", value)
        after = int(value + length + _BEYOND_LENGTH[kind])
    else:
        raise damaged(f"the unknown type {kind:#04x}", value)
    if after > last:
        raise damaged("a value is longer than its document", value)
    return after
