"""Keys that are equal wherever the server takes two ``_id`` values for one.

5, 5.0, Int64 5 and Decimal128 5 are one ``_id``, also inside subdocuments; so are a string
and a symbol. A key may be equal for values that differ: that costs speed and nothing else.
"""

import math
from collections.abc import Hashable
from decimal import Decimal
from struct import Struct
from typing import Final

from bson.decimal128 import Decimal128

from agent.codec.elements import Bytes, elements, find
from agent.core.errors import PermanentError

# Of values whose equality is not ours to know: all of a collection share this key.
UNSAFE: Final = None

_INT32: Final = Struct("<i")
_INT64: Final = Struct("<q")
_DOUBLE: Final = Struct("<d")
# Numbers beyond this need no key of their own.
_FAR: Final = 2**62
_OBJECT_ID: Final = 0x07
_ID_AT: Final = slice(5, 9)
_ID_NAME: Final = b"_id\x00"


def key_of_id(document: bytes) -> Hashable:
    """Return the key of a document's first field ``_id``.

    Raises: PermanentError ``replay_without_id``; ``damaged_bson``.
    """
    if document[_ID_AT] == _ID_NAME:
        kind = document[4]
        # By far the most frequent, so before anything that costs more.
        if kind == _OBJECT_ID:
            return document[9:21]
        return _key(document, kind, 9)
    found = find(document, b"_id")
    if found is None:
        raise PermanentError("replay_without_id", "an oplog entry's document has no _id")
    return _key(document, found.kind, found.value)


def _key(data: Bytes, kind: int, at: int) -> Hashable:  # noqa: C901, PLR0911 - a table of BSON types
    match kind:
        case 0x07:
            return bytes(data[at : at + 12])
        case 0x02 | 0x0E:  # string, symbol
            return bytes(data[at + 4 : at + 4 + _INT32.unpack_from(data, at)[0]])
        case 0x10:
            return int(_INT32.unpack_from(data, at)[0])
        case 0x12:
            return _of_number(_INT64.unpack_from(data, at)[0])
        case 0x01:
            return _of_number(_DOUBLE.unpack_from(data, at)[0])
        case 0x13:
            return _of_number(Decimal128.from_bid(bytes(data[at : at + 16])).to_decimal())
        case 0x05:  # binary: length, subtype, bytes
            return bytes(data[at : at + 5 + _INT32.unpack_from(data, at)[0]])
        case 0x03:
            return _of_document(data, at)
        case 0x09:
            return "date", bytes(data[at : at + 8])
        case 0x08:
            return "boolean", data[at]
    return UNSAFE


def _of_number(value: float | Decimal) -> Hashable:
    # The whole part alone: the server compares doubles and decimals after a rounding.
    is_finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
    if not is_finite or not -_FAR < value < _FAR:
        return "far"
    return math.trunc(value)


def _of_document(data: Bytes, at: int) -> Hashable:
    end = at + int(_INT32.unpack_from(data, at)[0])
    return tuple(
        (each.name, _key(data, each.kind, each.value)) for each in elements(data, begin=at, end=end)
    )
