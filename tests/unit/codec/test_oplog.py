"""Oplog entries are read for what they say, and nothing is guessed."""

import datetime as dt
from dataclasses import replace
from typing import Any

import bson
import pytest
from bson.binary import Binary
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from agent.codec import oplog
from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace
from agent.model.replay import (
    AddIndexes,
    Bundle,
    Change,
    Content,
    Create,
    Drop,
    DropDatabase,
    DropIndexes,
    Empty,
    Modify,
    Nothing,
    Rename,
    Settle,
    Strange,
)

_UUID = bytes(range(16))
_SESSION: dict[str, Any] = {"id": Binary(b"s" * 16, 4), "uid": b"u" * 32}
_END: dict[str, Any] = {
    "ts": Timestamp(100, 7),
    "t": Int64(1),
    "v": Int64(2),
    "wall": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
}


def _raw(**fields: Any) -> bytes:
    return bson.encode({"op": "n", "ns": "shop.a", **fields, **_END})


def _change(op: str, **fields: Any) -> bytes:
    return _raw(op=op, ui=Binary(_UUID, 4), **fields)


def _command(o: dict[str, Any], **fields: Any) -> bytes:
    return _raw(op="c", ns="shop.$cmd", ui=Binary(_UUID, 4), o=o, **fields)


def _content(raw: bytes) -> Content:
    (entry,) = oplog.entries(raw)
    assert ClusterTime(100, 7) == entry.time
    return entry.content


_CHANGES = [
    _change("i", o={"_id": 1, "a": 2}, o2={"_id": 1}),
    _change("i", o={"_id": 1, "a": 2}),
    _change("u", o={"$v": 2, "diff": {"u": {"a": 1}}}, o2={"_id": 1}),
    _change("u", o={"_id": 1, "a": 3}, o2={"_id": 1}, b=True),
    _change("u", o={"_id": 1, "a": 3}, o2={"_id": 1, "shard": 2}, needsRetryImage="preImage"),
    _change("d", o={"_id": 1}),
    _change("d", o={"_id": 1}, b=True),
    _change("d", o={"_id": 1}, stmtId=4),
    _change("i", fromMigrate=True, o={"_id": 1}, o2={"_id": 1}),
    bson.encode({
        "lsid": _SESSION,
        "txnNumber": Int64(3),
        "op": "i",
        "ns": "shop.a",
        "ui": Binary(_UUID, 4),
        "o": {"_id": "ts\x00", "ts": Timestamp(1, 1)},
        "o2": {"_id": "ts\x00"},
        "stmtId": 0,
        **_END,
        "prevOpTime": {"ts": Timestamp(0, 0), "t": Int64(-1)},
    }),
    bson.encode({**_END, "op": "d", "ns": "shop.a", "ui": Binary(_UUID, 4), "o": {"_id": 1}}),
]


@pytest.mark.parametrize("raw", _CHANGES)
def test_the_quick_way_reads_what_the_thorough_way_reads(raw: bytes) -> None:
    """The layout of an entry decides the way, never the meaning."""
    (entry,) = oplog.entries(raw)
    assert oplog.entry(RawBSONDocument(raw, oplog.OPTIONS)) == entry
    assert isinstance(entry.content, Change)


def test_a_change_keeps_the_bytes_of_its_document() -> None:
    """A doubled name and malformed text pass through as they are."""
    inner = b"\x10_id\x00\x01\x00\x00\x00" + b"\x02a\x00\x03\x00\x00\x00\xff\xfe\x00" * 2
    odd = (len(inner) + 5).to_bytes(4, "little") + inner + b"\x00"
    raw = _change("i", o=RawBSONDocument(odd), o2={"_id": 1})
    content = _content(raw)
    assert isinstance(content, Change)
    assert (odd, odd, _UUID, "shop.a") == (
        content.body,
        content.selector,
        content.uuid,
        content.namespace,
    )


def test_an_update_that_upserts_says_so() -> None:
    """The field b of an update is the entry's own word on a missing document."""
    content = _content(_change("u", o={"_id": 1}, o2={"_id": 1}, b=True))
    assert isinstance(content, Change)
    assert content.upserts


@pytest.mark.parametrize(
    ("o", "expected"),
    [
        ({"drop": "a"}, Drop(uuid=_UUID)),
        ({"dropDatabase": 1}, DropDatabase(database="shop")),
        ({"emptycapped": "a"}, Empty(uuid=_UUID)),
        ({"startIndexBuild": "a", "indexes": []}, Nothing()),
        ({"abortIndexBuild": "a", "indexes": []}, Nothing()),
        ({"dropIndexes": "a", "index": "x_1"}, DropIndexes(uuid=_UUID, names=("x_1",))),
        ({"deleteIndexes": "a", "index": "*"}, DropIndexes(uuid=_UUID, every=True)),
        (
            {"dropIndexes": "a", "index": {"x": 1}},
            DropIndexes(uuid=_UUID, keys=(bson.encode({"x": 1}),)),
        ),
        (
            {"createIndexes": "a", "v": 2, "key": {"x": 1}, "name": "x_1"},
            AddIndexes(uuid=_UUID, specs=(bson.encode({"v": 2, "key": {"x": 1}, "name": "x_1"}),)),
        ),
        (
            {"commitIndexBuild": "a", "indexes": [{"name": "x_1"}, {"name": "y_1"}]},
            AddIndexes(
                uuid=_UUID, specs=(bson.encode({"name": "x_1"}), bson.encode({"name": "y_1"}))
            ),
        ),
        (
            {
                "renameCollection": "shop.a",
                "to": "shop.b.c",
                "stayTemp": False,
                "dropTarget": Binary(b"d" * 16, 4),
            },
            Rename(
                uuid=_UUID,
                target=Namespace("shop", "b.c"),
                drop_target=b"d" * 16,
                stays_temporary=False,
            ),
        ),
        (
            {"collMod": "a", "validator": {"x": 1}, "expireAfterSeconds": "off"},
            Modify(
                uuid=_UUID,
                options=bson.encode({"validator": {"x": 1}}),
                index=None,
                changes_ttl=True,
                ttl_s=None,
            ),
        ),
        (
            {"collMod": "a", "index": {"name": "x_1", "hidden": True}},
            Modify(
                uuid=_UUID,
                options=None,
                index=bson.encode({"name": "x_1", "hidden": True}),
                changes_ttl=False,
                ttl_s=None,
            ),
        ),
    ],
)
def test_a_command_is_read(o: dict[str, Any], expected: Content) -> None:
    """Each command of the oplog becomes a value of its own."""
    assert expected == _content(_command(o))


def test_a_created_collection_has_the_options_of_a_listing() -> None:
    """Name and index on _id are no options; what the rules need is read from them."""
    id_index = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
    o = {"create": "a.b", "capped": True, "size": 4096, "temp": True, "idIndex": id_index}
    content = _content(_command(o))
    assert isinstance(content, Create)
    assert Namespace("shop", "a.b") == content.namespace
    assert {"capped": True, "size": 4096, "temp": True} == bson.decode(content.options)
    assert bson.encode(id_index) == content.id_index
    assert (True, True) == (content.traits.is_capped, content.is_temporary)


@pytest.mark.parametrize(
    "raw",
    [
        _raw(op="xi", o={"_id": 1}),
        _raw(op="i", o={"_id": 1}),
        _command({"importCollection": "a"}),
        _raw(op="c", ns="shop.$cmd", o={"drop": "a"}),
        _command({"renameCollection": "shop.a", "to": "other.a"}),
        _command({"renameCollection": "shop.a", "to": "shop.b", "dropTarget": True}),
        _raw(
            op="u",
            ns="admin.system.version",
            ui=Binary(_UUID, 4),
            o={"$v": 2, "diff": {"u": {"version": "6.0"}}},
            o2={"_id": "featureCompatibilityVersion"},
        ),
    ],
)
def test_what_is_not_known_is_strange(raw: bytes) -> None:
    """Trap: an entry that is guessed at, or passed over, makes a wrong restore."""
    assert isinstance(_content(raw), Strange)


def test_no_ops_say_nothing() -> None:
    """Notes, images of retryable writes and index builds under way change no document."""
    assert Nothing() == _content(_raw(op="n", o={"msg": "periodic noop"}))


def test_operations_of_a_client_are_no_transaction() -> None:
    """Nor are retryable writes that the server put together (multiOpType 1)."""
    inner = {"op": "i", "ns": "shop.a", "ui": Binary(_UUID, 4), "o": {"_id": 1}}
    expected = Bundle(operations=(bson.encode(inner),))
    plain = _raw(op="c", ns="admin.$cmd", o={"applyOps": [inner], "lsid": _SESSION})
    vectored = bson.encode({
        "lsid": _SESSION,
        "txnNumber": Int64(1),
        "op": "c",
        "ns": "admin.$cmd",
        "o": {"applyOps": [inner]},
        **_END,
        "multiOpType": 1,
        "prevOpTime": {"ts": Timestamp(99, 1), "t": Int64(1)},
    })
    strict = _raw(op="c", ns="admin.$cmd", o={"applyOps": [inner], "alwaysUpsert": False})
    assert [expected, expected] == [_content(vectored), _content(strict)]
    # A client that does not say otherwise lets updates make up what they miss.
    assert replace(expected, upserts=True) == _content(plain)


def test_parts_of_a_transaction_tell_their_place() -> None:
    """The session is the whole document: internal sessions differ in further fields only."""
    session = {**_SESSION, "txnNumber": Int64(1)}
    raw = bson.encode({
        "lsid": session,
        "txnNumber": Int64(4),
        "op": "c",
        "ns": "admin.$cmd",
        "o": {"applyOps": [], "count": Int64(12), "prepare": True},
        **_END,
        "prevOpTime": {"ts": Timestamp(99, 1), "t": Int64(1)},
    })
    expected = Bundle(
        operations=(),
        session=bson.encode(session),
        number=4,
        continues=True,
        is_prepared=True,
        count=12,
    )
    assert expected == _content(raw)


def test_the_end_of_a_prepared_transaction_tells_when_it_is_visible() -> None:
    """That is its commit timestamp, not the time of the entry."""
    head = {"lsid": _SESSION, "txnNumber": Int64(4), "op": "c", "ns": "admin.$cmd"}
    commit = {"commitTransaction": 1, "commitTimestamp": Timestamp(90, 1)}
    expected = Settle(session=bson.encode(_SESSION), number=4, commit_at=ClusterTime(90, 1))
    assert expected == _content(bson.encode({**head, "o": commit, **_END}))
    aborted = Settle(session=bson.encode(_SESSION), number=4, commit_at=None)
    assert aborted == _content(bson.encode({**head, "o": {"abortTransaction": 1}, **_END}))


@pytest.mark.parametrize("raw", [b"\x05\x00\x00\x00\x00", b"\x06\x00\x00", _raw(op="i")[:-1]])
def test_damaged_bytes_are_named(raw: bytes) -> None:
    """Bytes that are no oplog entry end in an error with a stable code."""
    with pytest.raises(PermanentError) as error:
        list(oplog.entries(raw))
    assert "damaged_bson" == error.value.code


def _changed_version(document_id: str, **fields: Any) -> bytes:
    entry = {
        "op": "u",
        "ns": "admin.system.version",
        "ui": Binary(_UUID, 4),
        "o": {"$v": 2, "diff": {"u": {"version": "5.0"}}},
        "o2": {"_id": document_id},
    }
    return bson.encode({**entry, **fields, **_END})


def test_a_change_of_the_compatibility_version_is_a_barrier() -> None:
    """It alone is: not its name in a user's data, nor other documents of that collection."""
    user = _changed_version("featureCompatibilityVersion", ns="shop.things")
    schema = _changed_version("authSchema", note="featureCompatibilityVersion")
    change = _changed_version("featureCompatibilityVersion")
    inserted = bson.encode({
        "op": "i",
        "ns": "admin.system.version",
        "ui": Binary(_UUID, 4),
        "o": {"_id": "featureCompatibilityVersion", "version": "6.0"},
        **_END,
    })
    assert oplog.first_barrier(user + schema) is None
    assert oplog.first_barrier(b"") is None
    begin = len(user) + len(schema)
    expected = (begin, begin + len(change))
    assert expected == oplog.first_barrier(user + schema + change + user + change)
    assert [False, False, True, True] == [
        oplog.is_barrier(each) for each in (user, schema, change, inserted)
    ]
