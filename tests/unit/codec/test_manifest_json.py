"""How a manifest reads, and which ones are refused."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson import Int64, Regex

from agent.codec import manifest_json
from agent.core.errors import PermanentError
from agent.model.catalogue import Collection, Identity, Traits
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk, Copy, Manifest
from agent.model.names import Namespace

_INDEX = bson.encode({
    "v": 2,
    "key": {"a": 1.0, "b": Int64(-1)},
    "name": "a_1_b_-1",
    "sparse": True,
})
_CHUNK = Chunk(key="data/1", docs=2, bytes=100, stored_bytes=60, sha256="ab" * 32)
_COPY = Copy(
    collection=Collection(
        namespace=Namespace("shop", "orders.2026"),
        kind="collection",
        uuid=bytes(range(16)),
        options=bson.encode({"validator": {"a": {"$gt": 1}}}),
        indexes=(_INDEX,),
        traits=Traits(ttl_s=60),
    ),
    read_at=(ClusterTime(1700000000, 1), ClusterTime(1700000001, 2)),
    chunks=(_CHUNK,),
)
_MANIFEST = Manifest(
    backup_id="20261121T201512Z",
    identity=Identity(
        replset="rs0", replset_id="ab" * 12, server_version="6.0.5", feature_compatibility="6.0"
    ),
    agent_version="0.1.0",
    nodes=("a:1", "b:2"),
    started_at=datetime(2026, 11, 21, 20, 15, 12, 345_678, tzinfo=UTC),
    finished_at=datetime(2026, 11, 21, 20, 16, tzinfo=UTC),
    consistent_at=ClusterTime(1700000001, 2),
    oplog_from=ClusterTime(1700000001, 0),
    catalogue_at=ClusterTime(1700000000, 1),
    copies=(_COPY,),
    window=None,
    tags={"why": "nightly"},
)


def _shown() -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(manifest_json.encode(_MANIFEST))
    return shown


def _refusal(shown: dict[str, Any]) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        manifest_json.decode(json.dumps(shown).encode())
    return caught.value


def test_a_manifest_reads_well() -> None:
    """Lines are short, fields stand in a fixed order, and indexes read as in the shell."""
    text = manifest_json.encode(_MANIFEST).decode()
    assert max(map(len, text.splitlines())) <= 200
    assert text.startswith('{\n "format_version": {"$numberLong": "1"},\n "backup_id": "20261121T')
    assert '"uuid": {"$uuid": "00010203-0405-0607-0809-0a0b0c0d0e0f"}' in text
    assert '"consistent_at": {"$timestamp": {"t": 1700000001, "i": 2}}' in text
    assert '{"$date": {"$numberLong": "1795292112345"}}' in text
    assert '"key": {"a": {"$numberDouble": "1.0"}, "b": {"$numberLong": "-1"}}' in text
    assert "bson" not in text


def test_dates_keep_their_milliseconds() -> None:
    """What is finer than BSON's dates is cut off."""
    found = manifest_json.decode(manifest_json.encode(_MANIFEST))
    expected = _MANIFEST.started_at.replace(microsecond=345_000)
    assert replace(_MANIFEST, started_at=expected) == found


@pytest.mark.parametrize(
    "raw",
    [
        bson.encode({"validator": {"a": {"$regex": "^x"}}}),
        b"\x11\0\0\0\x06a\0\x06a\0\x06b\0\x0ac\0\0",
        b"\x0e\0\0\0\x02a\0\x02\0\0\0\xff\0\0",
        bson.encode({"$oid": "x"}),
        bson.encode({"a": {"$date": "x"}, "b": Regex("a", "x")}),
    ],
)
def test_what_json_cannot_carry_stands_beside(raw: bytes) -> None:
    """Options and indexes that Extended JSON would change are kept as bytes, which count."""
    collection = replace(_COPY.collection, options=raw, indexes=(_INDEX, raw))
    manifest = replace(_MANIFEST, copies=(replace(_COPY, collection=collection),))
    body = manifest_json.encode(manifest)
    shown = json.loads(body)["collections"][0]
    assert "options_bson" in shown
    assert ["1"] == list(shown["indexes_bson"])
    assert collection == manifest_json.decode(body).copies[0].collection


def test_an_unknown_version_is_refused_first() -> None:
    """A later format is named as such, also when it has fields that we do not know."""
    error = _refusal({"format_version": 2, "something": "new"})
    assert "manifest_version" == error.code
    assert 2 == error.facts["format_version"]


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        (("backup_id",), "", "backup_id"),
        (("backup_id",), 1, "backup_id"),
        (("note",), "\ud800", "note"),
        (("keep",), 1, "keep"),
        (("nodes",), {}, "nodes"),
        (("nodes",), ["a", 1], "nodes[1]"),
        (("tags",), {"a": 1}, "tags.a"),
        (("unknown",), 1, "unknown"),
        (("started_at",), {"$date": {"$numberLong": "9" * 18}}, "started_at"),
        (("started_at",), {"$date": "yesterday"}, "started_at"),
        (("consistent_at",), {"$timestamp": {"t": 2**32, "i": 0}}, "consistent_at.t"),
        (("consistent_at",), {"$timestamp": {"t": 1, "i": 0, "x": 0}}, "consistent_at.x"),
        (("window",), {"begin": 1}, "window.begin"),
        (("collections", 0, "namespace"), "nodot", "collections[0].namespace"),
        (("collections", 0, "kind"), "table", "collections[0].kind"),
        (("collections", 0, "uuid"), None, "collections[0].uuid"),
        (("collections", 0, "uuid"), {"$uuid": "x"}, "collections[0].uuid"),
        (("collections", 0, "options"), {"$oid": "x"}, "collections[0].options"),
        (("collections", 0, "indexes", 0), {"a": {"$date": 1e400}}, "collections[0].indexes[0]"),
        (("collections", 0, "options_bson"), "AAAA", "collections[0].options_bson"),
        (("collections", 0, "indexes_bson"), {"1": "AAAA"}, "collections[0].indexes_bson.1"),
        (("collections", 0, "read_at"), 1, "collections[0].read_at"),
        (("collections", 0, "docs"), 1, "collections[0].docs"),
        (("collections", 0, "bytes"), 1, "collections[0].bytes"),
        (("collections", 0, "traits", "ttl_s"), -1, "collections[0].traits.ttl_s"),
        (("collections", 0, "chunks", 0, "docs"), -1, "collections[0].chunks[0].docs"),
        (("collections", 0, "chunks", 0, "docs"), True, "collections[0].chunks[0].docs"),
        (("collections", 0, "chunks", 0, "docs"), 2.0, "collections[0].chunks[0].docs"),
        (("collections", 0, "chunks", 0, "sha256"), "AB" * 32, "collections[0].chunks[0].sha256"),
    ],
)
def test_a_damaged_field_is_named(path: tuple[str | int, ...], value: object, field: str) -> None:
    """The error says which field is wrong, by its place."""
    shown = _shown()
    place: Any = shown
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    error = _refusal(shown)
    assert ("damaged_manifest", field) == (error.code, error.facts["field"])


def test_a_missing_field_is_named() -> None:
    """Each field of each object must be there."""
    for name in _shown():
        shown = _shown()
        del shown[name]
        if name == "window":
            continue
        assert name == _refusal(shown).facts["field"]
    for name in ("key", "docs", "bytes", "stored_bytes", "sha256"):
        shown = _shown()
        del shown["collections"][0]["chunks"][0][name]
        assert f"collections[0].chunks[0].{name}" == _refusal(shown).facts["field"]


def test_times_that_do_not_ascend_are_refused() -> None:
    """The first read time is where replay starts, so their order matters."""
    shown = _shown()
    shown["collections"][0]["read_at"].reverse()
    assert "collections[0].read_at" == _refusal(shown).facts["field"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"format_version": 1, "format_version": 1}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format_version": ' + b"1" * 5000 + b"}",
    ],
)
def test_bytes_that_are_no_manifest_are_damaged(body: bytes) -> None:
    """Hostile JSON ends as an error of ours, not of the parser's."""
    with pytest.raises(PermanentError) as caught:
        manifest_json.decode(body)
    assert "damaged_manifest" == caught.value.code
