"""Documents that no fuzzing draws: every type, damage of a known kind, ids in odd places."""

import struct

import bson
import pytest
from bson import Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from agent.codec import documents, framing
from agent.codec.elements import elements, find
from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime


def _document(fields: bytes) -> bytes:
    return struct.pack("<i", len(fields) + 5) + fields + b"\0"


_OBJECT_ID = ObjectId("655d00000000000000000001")
_UNDEFINED = b"\x06u\0"
_POINTER = b"\x0cp\0" + struct.pack("<i", 4) + b"a.b\0" + _OBJECT_ID.binary
_SYMBOL = b"\x0es\0" + struct.pack("<i", 4) + b"sym\0"
_OLD_BINARY = b"\x05b\0" + struct.pack("<i", 7) + b"\x02" + struct.pack("<i", 3) + b"abc"
_EVERY_TYPE = bson.encode({
    "double": -0.0,
    "text": "x",
    "document": {"a": 1},
    "array": [1, "a"],
    "binary": b"abc",
    "oid": _OBJECT_ID,
    "true": True,
    "date": DatetimeMS(-(2**62)),
    "null": None,
    "regex": Regex("^a", "i"),
    "code": Code("f()"),
    "scoped": Code("f()", {"x": {"y": 1}}),
    "int": 7,
    "time": Timestamp(1, 2),
    "long": Int64(7),
    "decimal": Decimal128("1.0"),
    "min": MinKey(),
    "max": MaxKey(),
    "ref": DBRef("c", 1),
})


def test_every_type_has_its_length() -> None:
    """All types of the specification are measured, the deprecated ones too."""
    fields = _EVERY_TYPE[4:-1] + _UNDEFINED + _POINTER + _SYMBOL + _OLD_BINARY
    document = _document(fields)
    found = list(elements(document))
    assert [4, *(each.end for each in found)] == [
        *(each.begin for each in found),
        len(document) - 1,
    ]
    assert [b"u", b"p", b"s", b"b"] == [each.name for each in found][-4:]
    assert found == list(elements(memoryview(document)))


def test_long_names_are_found_in_a_view() -> None:
    """A name longer than the piece that is searched first ends where it should."""
    name = "n" * 1000
    document = bson.encode({name: 1, "after": 2})
    assert [name.encode(), b"after"] == [each.name for each in elements(memoryview(document))]


@pytest.mark.parametrize(
    "damage",
    [
        b"\x04\0\0\0",
        b"\x04\0\0\0\0",
        b"\xff\xff\xff\xff\0",
        b"\x05\0\0\0\x01",
        b"\x06\0\0\0\0",
        b"\x05\0\0\0\0\0",
        b"\x00",
    ],
)
def test_damage_names_its_position(damage: bytes) -> None:
    """The error says at which byte the first damaged document begins."""
    with pytest.raises(PermanentError) as caught:
        framing.count(documents.EMPTY + damage)
    assert "damaged_bson" == caught.value.code
    assert 5 <= int(str(caught.value.facts["position"])) <= 10


@pytest.mark.parametrize(
    "fields",
    [
        b"\x42a\0",  # an unknown type
        b"\x10a\0\0\0",  # an int32 of two bytes
        b"\x10aaaaaa",  # a name without an end
        b"\x02a\0\0\0\0\0",  # a string of length 0
        b"\x02a\0\xff\xff\xff\x7fx\0",  # a string longer than the document
        b"\x03a\0\x04\0\0\0",  # a document shorter than any
        b"\x0ba\0abc\0def",  # a regular expression without an end
    ],
)
def test_a_damaged_field_is_refused(fields: bytes) -> None:
    """What does not end within its document is damage."""
    with pytest.raises(PermanentError) as caught:
        list(elements(_document(fields)))
    assert "damaged_bson" == caught.value.code


def test_an_array_of_other_values_is_refused() -> None:
    """A reply's batch holds documents only."""
    array = bson.encode({"0": 1})
    for step in (framing.documents_of_array, framing.flatten):
        with pytest.raises(PermanentError) as caught:
            step(array)
        assert "damaged_bson" == caught.value.code


def test_keys_that_are_no_indexes_are_not_counted() -> None:
    """An array whose keys have another size than its indexes is refused and not miscounted."""
    array = bson.encode({"long name": {}})
    with pytest.raises(PermanentError) as caught:
        framing.documents_of_array(array)
    assert "damaged_bson" == caught.value.code


def test_the_first_of_two_ids_counts() -> None:
    """A doubled `_id` is known by the first, as in the server's index."""
    document = _document(b"\x10_id\0\x01\0\0\0" + b"\x10_id\0\x02\0\0\0")
    assert bson.encode({"_id": 1}) == framing.id_document(document)


def test_a_document_without_an_id_has_none() -> None:
    """No `_id` is invented."""
    assert framing.id_document(bson.encode({"a": {"_id": 1}})) is None


def test_whether_the_id_comes_first() -> None:
    """Only a field of exactly this name in the first place counts."""
    assert framing.has_id_first(bson.encode({"_id": 1, "a": 1}))
    assert not framing.has_id_first(_document(b"\x0aa\0" + b"\x0a_id\0"))
    assert not framing.has_id_first(bson.encode({"_idx": 1}))
    assert not framing.has_id_first(documents.EMPTY)


def test_the_last_document_is_found() -> None:
    """The last one is a view into the bytes; of none there is no last."""
    data = bson.encode({"a": 1}) + bson.encode({"b": 2})
    assert bson.encode({"b": 2}) == framing.last(data)
    with pytest.raises(PermanentError):
        framing.last(b"")


def test_only_a_top_level_zero_timestamp_needs_care() -> None:
    """Trap 56: the server rewrites it at the top level only, and zeros elsewhere are harmless."""
    assert documents.has_zero_timestamp(bson.encode({"a": 1, "t": Timestamp(0, 0)}))
    assert not documents.has_zero_timestamp(bson.encode({"a": {"t": Timestamp(0, 0)}}))
    assert not documents.has_zero_timestamp(bson.encode({"a": b"\0" * 50, "n": 0.0}))
    assert not documents.has_zero_timestamp(bson.encode({"t": Timestamp(0, 1)}))


def test_depth_counts_documents_arrays_and_scopes() -> None:
    """A flat document has depth 1; each level below it adds one."""
    nested: dict[str, object] = {}
    for _ in range(300):
        nested = {"a": nested}
    array: list[object] = []
    assert 1 == documents.depth(bson.encode({"a": 1}))
    assert 3 == documents.depth(bson.encode({"a": [array]}))
    assert 3 == documents.depth(bson.encode({"a": Code("f", {"x": {}})}))
    assert 3 == documents.depth(_EVERY_TYPE)
    assert 301 == documents.depth(memoryview(bson.encode(nested)))


def test_single_fields_are_read() -> None:
    """Fields come out one by one, without decoding the others."""
    document = bson.encode({"ts": Timestamp(7, 9), "n": Int64(5), "o": {"a": 1}, "t": "x"})
    assert ClusterTime(7, 9) == documents.cluster_time(document, "ts")
    assert documents.cluster_time(document, "n") is None
    assert 5 == documents.field(document, "n")
    assert documents.field(document, "nothing") is None
    assert bson.encode({"a": 1}) == documents.subdocument(document, "o")
    assert documents.subdocument(document, "t") is None
    found = find(document, b"t")
    assert found is not None
    assert b"\x02\0\0\0x\0" == document[found.value : found.end]


def test_cluster_times_are_written_as_timestamps() -> None:
    """A ClusterTime may stand among the values of a document that is made."""
    largest = ClusterTime(2**32 - 1, 2**32 - 1)
    document = documents.encode({"ts": largest, "a": 1})
    assert largest == documents.cluster_time(document, "ts")
    assert {"ts": Timestamp(2**32 - 1, 2**32 - 1), "a": 1} == documents.decode(document)


def test_what_cannot_be_written_is_refused() -> None:
    """A value without a BSON type is a bad document."""
    with pytest.raises(PermanentError) as caught:
        documents.encode({"a": object()})
    assert "bad_document" == caught.value.code
    with pytest.raises(PermanentError) as caught:
        documents.encode({"a": 2**70})
    assert "bad_document" == caught.value.code


def test_a_batch_is_checked_against_its_count() -> None:
    """One document more or fewer than promised is damage."""
    data = bson.encode({"a": 1}) * 3
    documents.check(data, 3)
    for docs in (2, 4):
        with pytest.raises(PermanentError):
            documents.check(data, docs)
