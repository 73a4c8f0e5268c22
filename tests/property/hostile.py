"""What hostile documents are made of: sound ones, changed in a few places."""

from collections.abc import Callable
from typing import Any, Final

import bson
from bson import Binary, Code, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.decimal128 import Decimal128
from hypothesis import strategies as st

from agent.core.errors import AgentError, ConfigError, PermanentError

# The only errors that may leave a parser.
OURS: Final = (PermanentError, ConfigError)


def nested(levels: int) -> dict[str, Any]:
    """Return a document that is so deep."""
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found}
    return found


ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    2**31,
    2**31 - 1,
    Int64(2**63 - 1),
    Int64(-(2**63)),
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "x" * 70_000,
    "a.b",
    ".",
    "$cmd",
    "\0",
    [],
    {},
    [1],
    {"x": 1},
    nested(90),
    Timestamp(0, 0),
    Timestamp(2**32 - 1, 2**32 - 1),
    ObjectId("0" * 24),
    Binary(b""),
    Binary(b"z", 4),
    Regex("a"),
    MinKey(),
    MaxKey(),
    Code("x", {"a": 1}),
    Decimal128("NaN"),
)
odd_values = st.sampled_from(ODD)
_NAMES: Final = ("zz", "$db", "", "applyOps", "a.b", "_id", "$where", "x" * 5_000)


@st.composite
def changed(draw: st.DrawFn, sound: Any, odd: st.SearchStrategy[Any] = odd_values) -> Any:
    """Return a sound document with one to three changes: fields gone, added, of another type."""
    found = sound
    for _ in range(draw(st.integers(1, 3))):
        found = _changed_once(draw, found, odd)
    return found


def _changed_once(draw: st.DrawFn, value: Any, odd: st.SearchStrategy[Any]) -> Any:
    match value:
        case dict() if value:
            name = draw(st.sampled_from(list(value)))
            what = draw(st.sampled_from(["drop", "add", "swap", "inside", "inside"]))
            if what == "drop":
                return {each: value[each] for each in value if each != name}
            if what == "add":
                return {**value, draw(st.sampled_from(_NAMES)): draw(odd)}
            inner = draw(odd) if what == "swap" else _changed_once(draw, value[name], odd)
            return {**value, name: inner}
        case list() if value:
            at = draw(st.integers(0, len(value) - 1))
            return [*value[:at], _changed_once(draw, value[at], odd), *value[at + 1 :]]
    return draw(odd)


@st.composite
def damaged_bytes(draw: st.DrawFn, sound: bytes) -> bytes:
    """Return bytes with a few of them changed; sometimes length and end are right again."""
    found = bytearray(sound)
    for _ in range(draw(st.integers(0, 4))):
        found[draw(st.integers(0, len(found) - 1))] = draw(
            st.sampled_from([0, 1, 2, 3, 4, 0x80, 0xFF]) | st.integers(0, 255)
        )
    if draw(st.booleans()):
        found[:4] = len(found).to_bytes(4, "little")
        found[-1] = 0
    return bytes(found)


def encoded(document: Any) -> bytes:
    """Return a document as BSON; the empty one if it cannot be written."""
    try:
        return bson.encode(document)
    except (bson.errors.InvalidDocument, TypeError, OverflowError):
        return bson.encode({})


def refuses_or_reads(parse: Callable[[], object]) -> None:
    """Call a parser: it may give a value, or an error of ours with code and message in one line."""
    error = _refusal_of(parse)
    assert error is None or (error.code and error.message)
    assert error is None or "\n" not in error.message


def _refusal_of(parse: Callable[[], object]) -> AgentError | None:
    try:
        parse()
    except OURS as error:
        return error
    return None
