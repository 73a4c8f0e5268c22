"""Concatenated documents survive every cut, and damage is always noticed as such."""

from contextlib import suppress
from itertools import pairwise
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import given
from hypothesis import strategies as st

from agent.codec import documents, framing
from agent.codec.elements import elements
from agent.core.errors import PermanentError

_keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.binary(max_size=20),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=4,
)
_documents = st.dictionaries(_keys, _values, max_size=3).map(bson.encode)
_lists = st.lists(_documents, max_size=8)


def _array(raw: list[bytes]) -> bytes:
    return bson.encode({str(number): RawBSONDocument(each) for number, each in enumerate(raw)})


@given(_lists)
def test_walking_finds_every_document(raw: list[bytes]) -> None:
    """Joined documents come apart as they went in."""
    data = b"".join(raw)
    assert raw == [bytes(each) for each in framing.documents(data)]
    assert len(raw) == framing.count(data)


@given(_lists, st.integers(1, 10), st.integers(1, 300))
def test_runs_are_whole_and_within_their_limits(
    raw: list[bytes], docs_limit: int, bytes_limit: int
) -> None:
    """Runs joined are the input; each keeps both limits, or is one document too large for them."""
    data = b"".join(raw)
    runs = list(framing.split(data, docs_limit=docs_limit, bytes_limit=bytes_limit))
    assert data == b"".join(bytes(run.data) for run in runs)
    for run in runs:
        assert run.docs == framing.count(run.data)
        assert 1 <= run.docs <= docs_limit
        assert len(run.data) <= bytes_limit or run.docs == 1


@given(_lists, st.integers(1, 10), st.integers(1, 300))
def test_runs_are_as_long_as_they_may_be(
    raw: list[bytes], docs_limit: int, bytes_limit: int
) -> None:
    """The next document would break a limit of the run before it."""
    runs = list(framing.split(b"".join(raw), docs_limit=docs_limit, bytes_limit=bytes_limit))
    for run, after in pairwise(runs):
        first = next(framing.documents(after.data))
        assert run.docs == docs_limit or len(run.data) + len(first) > bytes_limit


@given(_lists)
def test_a_batch_array_becomes_its_documents(raw: list[bytes]) -> None:
    """The quick way and the plain way through a reply's array agree, also on the count."""
    expected = (b"".join(raw), len(raw))
    array = _array(raw)
    assert expected == framing.documents_of_array(array)
    assert expected == framing.documents_of_array(memoryview(array))
    assert expected == framing.flatten(memoryview(array))


@pytest.mark.parametrize("docs", [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 1001, 12_345])
def test_documents_are_counted_from_the_size_of_the_keys(docs: int) -> None:
    """The count is right where the indexes get a digit more."""
    assert docs == framing.documents_of_array(_array([documents.EMPTY] * docs))[1]


@given(_documents)
def test_fields_cover_a_document_exactly(document: bytes) -> None:
    """Each field begins where the one before it ends, and the names are those that were put in."""
    found = list(elements(document))
    edges = [4, *(each.end for each in found)]
    assert edges == [*(each.begin for each in found), len(document) - 1]
    assert list(bson.decode(document)) == [each.name.decode() for each in found]
    assert found == list(elements(memoryview(document)))


@given(_values, _documents)
def test_the_id_is_taken_out_byte_for_byte(value: object, rest: bytes) -> None:
    """The id document is what encoding the value alone gives, wherever the field stands."""
    fields: dict[str, Any] = {
        name: each for name, each in bson.decode(rest).items() if name != "_id"
    }
    expected = bson.encode({"_id": value})
    others = bson.encode(fields)
    length = (len(expected) + len(others) - 5).to_bytes(4, "little")
    for first, second in ((expected, others), (others, expected)):
        assert expected == framing.id_document(length + first[4:-1] + second[4:-1] + b"\0")


@given(_lists, st.data())
def test_damage_is_a_damaged_bson_and_nothing_else(raw: list[bytes], data: st.DataObject) -> None:
    """Bytes changed at random give documents or `damaged_bson`, never another error."""
    whole = bytearray(b"".join(raw) + documents.EMPTY)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(PermanentError):
        for each in framing.documents(bytes(whole)):
            _look_at_everything(bytes(each))
    for step in (framing.documents_of_array, framing.flatten, _look_at_everything):
        try:
            step(bytes(whole))
        except PermanentError as error:
            assert "damaged_bson" == error.code  # noqa: PT017 - it may also succeed


def _look_at_everything(document: bytes) -> None:
    list(elements(document))
    list(elements(memoryview(document)))
    framing.id_document(document)
    documents.depth(document)
    documents.has_zero_timestamp(document)
    documents.cluster_time(document, "ts")
    documents.subdocument(document, "o")
    documents.field(document, "_id")


@given(st.lists(_documents, min_size=1, max_size=10), st.data())
def test_a_missing_end_is_noticed(raw: list[bytes], data: st.DataObject) -> None:
    """A cut inside of a document is damage; a cut between two only makes fewer of them."""
    whole = b"".join(raw)
    cut = data.draw(st.integers(0, len(whole)))
    if cut in framing.bounds(whole):
        assert framing.count(whole[:cut]) <= len(raw)
        return
    with pytest.raises(PermanentError) as caught:
        framing.count(whole[:cut])
    assert "damaged_bson" == caught.value.code
