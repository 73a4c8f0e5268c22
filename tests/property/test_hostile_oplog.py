"""Bytes in a segment can be anything: each is read as an entry or refused, and nothing else."""

from datetime import UTC, datetime
from typing import Any, Final

import bson
import pytest
from bson import Binary, Int64, Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.codec import framing, index_specs, oplog, oplog_clock
from agent.codec.lane_keys import key_of_id
from agent.codec.operations import Encoder, care_of
from agent.core.errors import PermanentError
from agent.model.names import Namespace
from agent.model.replay import AddIndexes, Bundle, Change, DropIndexes, Modify
from tests.property.hostile import changed, damaged_bytes, encoded, refuses_or_reads

UUID = Binary(b"x" * 16, 4)
SESSION = {"id": UUID, "uid": Binary(b"y" * 32)}
INDEX = {"v": 2, "key": {"a": 1}, "name": "a_1"}


def _entry(**fields: Any) -> dict[str, Any]:
    wall = datetime(2026, 11, 22, tzinfo=UTC)
    return {**fields, "ts": Timestamp(5, 1), "t": Int64(1), "v": Int64(2), "wall": wall}


def _command(command: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return _entry(op="c", ns="a.$cmd", ui=UUID, **fields, o=command)


def _of_session(command: dict[str, Any]) -> dict[str, Any]:
    return _entry(lsid=SESSION, txnNumber=Int64(3), op="c", ns="admin.$cmd", o=command)


INSERT: Final = {"op": "i", "ns": "a.b", "ui": UUID, "o": {"_id": 1, "x": [1, {"y": 2}]}}
SOUND: Final[tuple[dict[str, Any], ...]] = (
    _entry(**INSERT),
    _entry(op="u", ns="a.b", ui=UUID, o={"$v": 2, "diff": {"u": {"x": 1}}}, o2={"_id": 1}),
    _entry(lsid=SESSION, txnNumber=Int64(3), op="d", ns="a.b", ui=UUID, o={"_id": 1}),
    _entry(op="n", ns="", o={"msg": "x"}),
    _entry(op="u", ns="admin.system.version", ui=UUID, o={"$v": 2}, o2={"_id": "x"}),
    _command({"create": "c", "idIndex": INDEX, "expireAfterSeconds": 5.5, "capped": True}),
    _command({"drop": "c"}),
    _command({"dropDatabase": 1}),
    _command({"renameCollection": "a.b", "to": "a.c", "dropTarget": UUID}),
    _command({"collMod": "c", "index": {"name": "a_1", "expireAfterSeconds": 3}}),
    _command({"createIndexes": "c", **INDEX}),
    _command({"commitIndexBuild": "c", "indexes": [INDEX]}),
    _command({"dropIndexes": "c", "index": "a_1"}),
    _of_session({"applyOps": [INSERT], "count": Int64(1), "partialTxn": True}),
    _of_session({"commitTransaction": 1, "commitTimestamp": Timestamp(5, 5)}),
    _of_session({"abortTransaction": 1}),
)
documents = st.sampled_from(SOUND).flatmap(changed).map(encoded)
entries = documents | documents.flatmap(damaged_bytes)


def _follow(data: bytes) -> None:
    """Do with entries what a replay does before it asks the server."""
    for entry in oplog.entries(data):
        match entry.content:
            case Change() as change:
                care_of(change)
                key_of_id(change.selector)
                Encoder(Namespace("a", "b")).operation(change, change.kind)
            case Bundle(operations=operations):
                for each in operations:
                    oplog.operation(each)
            case AddIndexes(specs=specs):
                drop = DropIndexes(uuid=bytes(16), keys=(bson.encode({"a": 1}),))
                index_specs.dropped(index_specs.added((), specs), drop)
            case Modify(index=bytes(index)):
                index_specs.modified((bson.encode(INDEX),), index)


@settings(max_examples=300)
@given(entries)
def test_an_entry_is_read_or_refused(data: bytes) -> None:
    """Whatever a field holds, what leaves is a value or an error with a code."""
    refuses_or_reads(lambda: _follow(data))
    refuses_or_reads(lambda: oplog.position(data))
    refuses_or_reads(lambda: oplog.operation(data))
    refuses_or_reads(lambda: oplog.first_barrier(data))
    refuses_or_reads(lambda: oplog.is_quiet(data, frozenset({"a"})))
    refuses_or_reads(lambda: oplog_clock.written(data))
    refuses_or_reads(lambda: framing.id_document(data))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(_command({}), id="a command without a name"),
        pytest.param(_entry(**{**INSERT, "ui": 2**31 - 1}), id="a UUID that is a number"),
        pytest.param(_entry(**{**INSERT, "ui": Binary(b"z", 4)}), id="a UUID of one byte"),
        pytest.param(
            _of_session({"abortTransaction": 1}) | {"txnNumber": float("nan")},
            id="a transaction that is not a number",
        ),
        pytest.param(
            _command({"renameCollection": "a.b", "to": "a.c", "dropTarget": 2**31 - 1}),
            id="a dropped target that is a number",
        ),
    ],
)
def test_an_entry_that_no_server_wrote_is_refused(entry: dict[str, Any]) -> None:
    """A number in the place of a UUID takes no memory of its size either."""
    with pytest.raises(PermanentError) as caught:
        list(oplog.entries(bson.encode(entry)))

    assert "damaged_bson" == caught.value.code
