"""Two ids that the server takes for one have one key."""

import datetime as dt
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

from agent.codec.lane_keys import UNSAFE, key_of_id
from agent.core.errors import PermanentError


def _key(value: Any) -> object:
    return key_of_id(bson.encode({"_id": value}))


@pytest.mark.parametrize(
    "equal",
    [
        (5, 5.0, Int64(5), Decimal128("5"), Decimal128("5.000"), Decimal128("0.5E1")),
        (0, 0.0, -0.0, Decimal128("-0"), Decimal128("0E+10")),
        (0.1, Decimal128("0.1000000000000000055511151231257827")),
        (float("nan"), Decimal128("NaN"), Decimal128("sNaN"), Decimal128("-NaN")),
        (float("inf"), Decimal128("Infinity")),
        (2.0**63, Decimal128("9223372036854775808")),
        ({"a": 1}, {"a": 1.0}, {"a": Int64(1)}),
        ({"a": {"b": 2, "c": "x"}}, {"a": {"b": Decimal128("2.0"), "c": "x"}}),
    ],
)
def test_equal_ids_of_different_types_have_one_key(equal: tuple[Any, ...]) -> None:
    """Trap 58: equal numbers of different types are one _id, also inside subdocuments."""
    assert 1 == len({_key(value) for value in equal})


def test_a_symbol_is_the_string_of_its_characters() -> None:
    """The server's index keeps no difference between the two types."""
    string = bson.encode({"_id": "abc"})
    symbol = string[:4] + b"\x0e" + string[5:]
    assert key_of_id(string) == key_of_id(symbol)


def test_ids_of_usual_types_have_keys_of_their_own() -> None:
    """Otherwise one lane would do all the work."""
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    values = [1, 2, 2**40, -1, "a", "b", b"a", Binary(b"a", 2), ObjectId(), ObjectId(), now, True]
    assert len(values) == len({_key(value) for value in values})


def test_values_of_unknown_equality_share_one_key() -> None:
    """A type that nobody reasoned about must not be spread."""
    assert [UNSAFE, UNSAFE] == [_key(None), _key(bson.Regex("a"))]


def test_the_first_id_counts_wherever_it_stands() -> None:
    """A document may have _id later than first, and more than once."""
    late = bson.encode({"a": 1, "_id": 7})
    assert _key(7) == key_of_id(late)


def test_a_document_without_id_is_refused() -> None:
    """It could not be found again."""
    with pytest.raises(PermanentError) as error:
        key_of_id(bson.encode({"a": 1}))
    assert "replay_without_id" == error.value.code
