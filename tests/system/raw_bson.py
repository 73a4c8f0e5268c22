"""BSON by hand: types, names and orders that no driver writes any more."""

import struct
from collections.abc import Iterable
from typing import Any

import bson
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex
from bson.timestamp import Timestamp

LARGEST_BYTES = 16 * 1024 * 1024
"""The largest document that the server stores."""

_OBJECT_ID = ObjectId("0123456789abcdef01234567")


def element(kind: int, name: str | bytes, payload: bytes) -> bytes:
    """Return one element of a document."""
    key = name.encode() if isinstance(name, str) else name
    return bytes([kind]) + key + b"\0" + payload


def plain(name: str, value: object) -> bytes:
    """Return one element as the driver writes it."""
    return bson.encode({name: value})[4:-1]


def document(*elements: bytes) -> bytes:
    """Return a document of elements, in this order, doubled names and all."""
    body = b"".join(elements)
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def raw(*elements: bytes) -> RawBSONDocument:
    """Return a document that the driver sends as it is."""
    return RawBSONDocument(document(*elements))


def text(value: str | bytes) -> bytes:
    """Return the payload of a string."""
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<i", len(data) + 1) + data + b"\0"


def _odd_values() -> dict[str, Any]:
    """Values whose bytes are easily lost when they are decoded and encoded again."""
    return {
        "minus_zero": -0.0,
        "nan": float("nan"),
        "infinity": float("inf"),
        "minus_infinity": float("-inf"),
        "smallest_double": 5e-324,
        "decimal_one": Decimal128("1"),
        "decimal_one_with_zeros": Decimal128("1.000"),
        "decimal_minus_zero": Decimal128("-0E+3"),
        "decimal_nan": Decimal128("NaN"),
        "decimal_signalling_nan": Decimal128("sNaN"),
        "decimal_infinity": Decimal128("-Infinity"),
        "decimal_largest": Decimal128("9.999999999999999999999999999999999E+6144"),
        "decimal_smallest": Decimal128("1E-6176"),
        "int32": 2**31 - 1,
        "int64": Int64(1),
        "int64_smallest": Int64(-(2**63)),
        "date_before_years": DatetimeMS(-(2**63)),
        "date_after_years": DatetimeMS(2**63 - 1),
        "date": DatetimeMS(0),
        "timestamp": Timestamp(1, 2),
        "timestamp_largest": Timestamp(2**32 - 1, 2**32 - 1),
        "empty_text": "",
        "text_with_zero": "a\0b",
        "text": "Grüße, 世界 🌍",
        "empty_document": {},
        "empty_array": [],
        "nested": {"a": [{"b": [[1, 1.0, Int64(1)]]}], "": {"": ""}},
        "timestamp_zero_inside": {"t": Timestamp(0, 0)},
        "true": True,
        "false": False,
        "null": None,
        "object_id": _OBJECT_ID,
        "regex": Regex("^a.*[b/]$", "imsx"),
        "code": Code("function() { return 1 }"),
        "min_key": MinKey(),
        "max_key": MaxKey(),
    }


def _raw_values() -> dict[str, tuple[int, bytes]]:
    """Values as kind and payload, that the driver refuses or rewrites."""
    old_bytes = b"of subtype 2"
    scope = document(plain("x", 1))
    code = text("return x")
    return {
        "undefined": (0x06, b""),
        "db_pointer": (0x0C, text("shop.orders") + _OBJECT_ID.binary),
        "symbol": (0x0E, text("a symbol")),
        "code_with_scope": (0x0F, struct.pack("<i", 4 + len(code) + len(scope)) + code + scope),
        "old_binary": (
            0x05,
            struct.pack("<iBi", len(old_bytes) + 4, 2, len(old_bytes)) + old_bytes,
        ),
        "nan_with_payload": (0x01, bytes.fromhex("efbeadde0000f87f")),
        "negative_nan": (0x01, bytes.fromhex("000000000000f8ff")),
        "signalling_nan": (0x01, bytes.fromhex("010000000000f07f")),
        "decimal_nan_with_payload": (0x13, b"\1" + bytes(14) + b"\x7c"),
        "malformed_utf8": (0x02, text(b"\xff\xfe broken \xc3")),
        "malformed_symbol": (0x0E, text(b"\xc3\x28")),
        "array_with_odd_names": (0x04, document(plain("7", "a"), plain("x", "b"))),
        "doubled_inside": (0x03, document(plain("a", 1), plain("a", 2))),
    }


def _binaries() -> Iterable[tuple[str, bytes]]:
    for subtype in (0, 1, 3, 4, 5, 6, 7, 0x80, 0xFF):
        # Subtypes 3 and 4 are UUIDs and must have 16 bytes.
        data = bytes(range(16)) if subtype in {3, 4} else b"payload"
        yield f"binary_{subtype}", plain("v", Binary(data, subtype))
    yield "empty_binary", plain("v", Binary(b"", 0))


def of_every_type() -> list[RawBSONDocument]:
    """Return a document for each type and odd value, named by its `_id`."""
    found = [raw(plain("_id", name), plain("v", value)) for name, value in _odd_values().items()]
    found += [
        raw(plain("_id", name), element(kind, "v", payload))
        for name, (kind, payload) in _raw_values().items()
    ]
    found += [raw(plain("_id", name), value) for name, value in _binaries()]
    everything = [plain(name, value) for name, value in _odd_values().items()]
    everything += [element(kind, name, data) for name, (kind, data) in _raw_values().items()]
    found.append(raw(plain("_id", "everything"), *everything))
    return found


def of_odd_names() -> list[RawBSONDocument]:
    """Return documents whose field names are doubled, empty, dotted, with `$` or malformed."""
    return [
        raw(plain("_id", "doubled"), plain("a", 1), plain("a", 1.0), plain("b", 0), plain("a", "")),
        raw(plain("_id", "dotted"), plain("a.b", 1), plain(".", 2), plain("a..b.", 3)),
        raw(plain("_id", "dollar"), plain("$set", {"x": 1}), plain("$", 2), plain("a$b", 3)),
        raw(plain("_id", "dollar inside"), plain("a", {"$inc": 1, "$ref": "x", "$.": 2})),
        raw(plain("_id", "empty"), plain("", 1), plain("b", {"": {"": 2}})),
        raw(plain("_id", "unicode"), plain("ключ", 1), plain("🔑", 2), plain("a b", 3)),
        raw(plain("_id", "malformed"), element(0x10, b"\xff\xfe", b"\1\0\0\0")),
        raw(plain("_id", "numbers"), plain("10", 1), plain("9", 2), plain("0", 3)),
        raw(plain("_id", "long"), plain("n" * 10_000, 1)),
    ]


def with_id_of_every_type() -> list[RawBSONDocument]:
    """Return documents for one collection, with an `_id` of each type that an insert takes."""
    ids: list[Any] = [
        MinKey(), MaxKey(), None, True, False, 7, Int64(2**40), 1.5, float("nan"), float("inf"),
        float("-inf"), -0.0, Decimal128("2.5"), Decimal128("1E+6000"), "", "text",
        "Grüße", {}, {"a": 1}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": {"b": [1, 2]}},
        {"a": MinKey()}, Binary(b"", 0), Binary(b"bytes", 0), Binary(bytes(16), 4),
        Binary(b"bytes", 0x80), _OBJECT_ID, DatetimeMS(0), DatetimeMS(-1), Timestamp(0, 0),
        Timestamp(5, 6), Code("f()"),
    ]  # fmt: skip
    found = [raw(plain("_id", value), plain("n", n)) for n, value in enumerate(ids)]
    deprecated = _raw_values()
    found += [
        raw(element(*_with_name("_id", deprecated[name])), plain("kind", name))
        for name in ("db_pointer", "symbol", "code_with_scope", "old_binary")
    ]
    return found


def with_refused_id() -> list[RawBSONDocument]:
    """Return documents that a server keeps, but takes by no insert: only by `applyOps`."""
    return [
        raw(plain("_id", [1, 2]), plain("a", 1)),
        raw(plain("_id", []), plain("a", 2)),
        raw(plain("_id", Regex("^a", "i")), plain("a", 3)),
        raw(plain("_id", 1), plain("a", 4), plain("_id", 2)),
    ]


def with_empty_timestamp() -> list[RawBSONDocument]:
    """Return documents with a `Timestamp(0, 0)` at the top, which an insert would rewrite."""
    zero = Timestamp(0, 0)
    return [
        raw(plain("_id", 1), plain("t", zero)),
        raw(plain("_id", 2), plain("t", zero), plain("u", zero), plain("a", {"t": zero})),
        raw(plain("_id", zero), plain("t", zero)),
    ]


def of_size(identity: object, size_bytes: int) -> RawBSONDocument:
    """Return a document of exactly this many bytes."""
    head = plain("_id", identity)
    around = len(document(head, element(0x05, "v", struct.pack("<iB", 0, 0))))
    filling = b"\xa5" * (size_bytes - around)
    return raw(head, element(0x05, "v", struct.pack("<iB", len(filling), 0) + filling))


def _with_name(name: str, value: tuple[int, bytes]) -> tuple[int, str, bytes]:
    kind, payload = value
    return kind, name, payload
