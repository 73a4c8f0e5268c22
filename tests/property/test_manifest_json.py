"""Manifests come back as they were, and nothing in one can do harm."""

import json
import string
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import json_util
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.codec import manifest_json
from agent.core.errors import PermanentError
from agent.model.catalogue import Collection, Identity, Traits
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk, Copy, Manifest, Segment, Window
from agent.model.names import Namespace

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_names = st.text(st.characters(codec="utf-8", exclude_characters="\0."), min_size=1, max_size=8)
_counts = st.integers(0, 2**63 - 1)
# What a few of add up to less than the largest sum that a manifest may have.
_sizes = st.integers(0, 2**48)
_times = st.builds(ClusterTime, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
_dates = st.integers(0, 2**42).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
_digests = st.text("0123456789abcdef", min_size=64, max_size=64)

# Names that Extended JSON gives a meaning, and those of a query or an index.
_field_names = _texts | st.sampled_from([
    "$oid",
    "$date",
    "$numberInt",
    "$numberLong",
    "$numberDouble",
    "$numberDecimal",
    "$binary",
    "$uuid",
    "$regex",
    "$options",
    "$code",
    "$scope",
    "$timestamp",
    "$undefined",
    "$minKey",
    "$dbPointer",
    "$symbol",
    "$ref",
    "$id",
    "$type",
    "$gt",
    "$jsonSchema",
    "key",
    "_id",
])
_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        _texts,
        st.binary(max_size=16),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_field_names, inner, max_size=3),
    max_leaves=4,
)
# Not always a faithful document: some have a field twice, or text that is no UTF-8.
_regular = st.dictionaries(_field_names, _values, max_size=4).map(bson.encode)
_doubled = _regular.map(lambda raw: _document(raw[4:-1] + raw[4:-1]))
_odd = st.sampled_from([
    b"\x06undefined\0",
    b"\x02text\0\x02\0\0\0\xff\0",
    b"\x0asingle\xff\0",
    b"\x0cpointer\0\x04\0\0\0a.b\0" + bytes(12),
    b"\x0esymbol\0\x02\0\0\0a\0",
    b"\x09date\0" + b"\x7f" * 8,
    b"\x01nan\0" + b"\x01\0\0\0\0\0\xf8\x7f",
    b"\x0bregex\0a\0zzz\0",
    b"\x08bool\0\x02",
]).map(lambda field: _document(field))  # noqa: PLW0108 - defined below
_documents = st.one_of(_regular, _doubled, _odd)


def _document(fields: bytes) -> bytes:
    return (len(fields) + 5).to_bytes(4, "little") + fields + b"\0"


_chunks = st.builds(
    Chunk,
    key=_texts.filter(bool),
    docs=_sizes,
    bytes=_sizes,
    stored_bytes=_sizes,
    sha256=_digests,
)
_namespaces = st.builds(Namespace, _names, _texts.filter(bool))
_traits = st.builds(
    Traits,
    is_capped=st.booleans(),
    is_clustered=st.booleans(),
    has_collation=st.booleans(),
    view_on=_texts,
    ttl_s=st.none() | st.integers(0, 2**31),
)
_with_data = st.builds(
    Copy,
    collection=st.builds(
        Collection,
        namespace=_namespaces,
        kind=st.just("collection"),
        uuid=st.binary(min_size=16, max_size=16),
        options=_documents,
        indexes=st.lists(_documents, max_size=3).map(tuple),
        traits=_traits,
    ),
    read_at=st.lists(_times, max_size=3).map(lambda times: tuple(sorted(times))),
    chunks=st.lists(_chunks, max_size=3).map(tuple),
)
_views = st.builds(
    Copy,
    collection=st.builds(
        Collection,
        namespace=_namespaces,
        kind=st.sampled_from(["view", "timeseries"]),
        uuid=st.just(b""),
        options=_documents,
        indexes=st.just(()),
        traits=_traits,
    ),
    read_at=st.just(()),
    chunks=st.just(()),
)
_segments = st.builds(
    Segment,
    key=_texts.filter(bool),
    begin=_times,
    last=_times,
    entries=_counts,
    bytes=_counts,
    stored_bytes=_sizes,
    sha256=_digests,
)
_windows = st.builds(
    Window, begin=_times, last=_times, segments=st.lists(_segments, max_size=2).map(tuple)
)
_manifests = st.builds(
    Manifest,
    backup_id=_texts.filter(bool),
    identity=st.builds(
        Identity,
        replset=_texts,
        replset_id=st.text(string.hexdigits, max_size=24),
        server_version=_texts,
        feature_compatibility=_texts,
    ),
    agent_version=_texts,
    nodes=st.lists(_texts, max_size=3).map(tuple),
    started_at=_dates,
    finished_at=_dates,
    consistent_at=_times,
    catalogue_at=_times,
    oplog_from=_times,
    copies=st.lists(
        _with_data | _views,
        max_size=4,
        unique_by=(
            lambda copy: copy.collection.namespace,
            lambda copy: copy.collection.uuid or copy.collection.namespace,
        ),
    ).map(tuple),
    window=st.none() | _windows,
    namespaces=st.lists(_texts, max_size=2).map(tuple),
    tags=st.dictionaries(_texts, _texts, max_size=3),
    note=_texts,
    keep=st.booleans(),
    format_version=st.just(1),
)


@settings(max_examples=60)
@given(_manifests)
def test_a_manifest_comes_back_equal(manifest: Manifest) -> None:
    """Every field returns, and options and indexes byte for byte, whatever is in them."""
    body = manifest_json.encode(manifest)
    assert manifest == manifest_json.decode(body)
    assert body == manifest_json.encode(manifest_json.decode(body))


@settings(max_examples=30)
@given(_manifests)
def test_the_regular_part_is_extended_json(manifest: Manifest) -> None:
    """Public parsers of Extended JSON read everything outside of users' own documents."""
    shown: dict[str, Any] = json.loads(manifest_json.encode(manifest))
    for copy in shown["collections"]:
        copy["options"] = copy["indexes"] = None
    found = json_util.loads(json.dumps(shown))
    assert manifest.consistent_at.seconds == found["consistent_at"].time
    assert manifest.started_at == found["started_at"].replace(tzinfo=UTC)
    assert [copy.docs for copy in manifest.copies] == [
        copy["docs"] for copy in found["collections"]
    ]
    assert [copy.collection.uuid for copy in manifest.copies] == [
        b"" if copy["uuid"] is None else bytes(copy["uuid"]) for copy in found["collections"]
    ]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_field_names, inner, max_size=3),
    max_leaves=6,
)


def _spots(value: object) -> list[tuple[Any, Any]]:
    """Return every place in JSON as (container, key)."""
    found: list[tuple[Any, Any]] = []
    keys: Any = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        found.append((value, key))
        found += _spots(value[key])  # type: ignore[index]
    return found


@settings(max_examples=100)
@given(_manifests, st.data())
def test_a_hostile_field_gives_an_error_that_names_it(
    manifest: Manifest, data: st.DataObject
) -> None:
    """Any value, anywhere in a manifest, is read or refused by name, never another exception."""
    shown = json.loads(manifest_json.encode(manifest))
    container, key = data.draw(st.sampled_from(_spots(shown)))
    if data.draw(st.booleans()):
        container[key] = data.draw(_json)
    else:
        del container[key]
    try:
        manifest_json.decode(json.dumps(shown).encode())
    except PermanentError as error:
        assert error.code in {"damaged_manifest", "manifest_version"}  # noqa: PT017
        assert error.code == "manifest_version" or "field" in error.facts  # noqa: PT017


@settings(max_examples=60)
@given(_manifests, st.data())
def test_changed_bytes_never_give_another_error(manifest: Manifest, data: st.DataObject) -> None:
    """Bytes changed or cut at random are read or refused."""
    body = bytearray(manifest_json.encode(manifest))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)) | st.just(len(body)))
    try:
        manifest_json.decode(bytes(body[:cut]))
    except PermanentError as error:
        assert error.code in {"damaged_manifest", "manifest_version"}  # noqa: PT017


@given(st.binary(max_size=60) | _json.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_refused(body: bytes) -> None:
    """What never was a manifest is a damaged one."""
    with pytest.raises(PermanentError) as caught:
        manifest_json.decode(body)
    assert "damaged_manifest" == caught.value.code
