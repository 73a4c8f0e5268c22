"""Manifests as Canonical Extended JSON: written for people, read with suspicion.

Raw BSON documents in it (options, indexes) stand as Extended JSON. One that does not survive
that byte for byte stands beside as base64 too (``options_bson``, ``indexes_bson`` by position),
and that one counts.
"""

from collections import Counter
from datetime import datetime
from itertools import chain
from typing import Any, Final
from uuid import UUID

from agent.codec import extended_json
from agent.codec import manifest_fields as read
from agent.codec.documents import field
from agent.codec.manifest_fields import Fields, parse_object, refused
from agent.core.errors import PermanentError
from agent.model.catalogue import Collection, Identity, Kind, Traits
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import FORMAT_VERSION, Chunk, Copy, Manifest, Segment, Window

_KINDS: Final[dict[str, Kind]] = {
    "collection": "collection",
    "view": "view",
    "timeseries": "timeseries",
}
_MS: Final = 1000
# Documents and bytes of a whole backup: what many of these add up to still fits everywhere.
_LARGEST_SUM: Final = 2**53
# What people gave to a backup was in one document, and goes into one of the catalogue.
_WORDS_MAX_BYTES: Final = 16 * 1024 * 1024 - 64 * 1024


def encode(manifest: Manifest) -> bytes:
    """Return a manifest as UTF-8 Extended JSON, always the same for the same manifest.

    Dates are kept to the millisecond, as in BSON.
    """
    identity = manifest.identity
    shown: dict[str, object] = {
        "format_version": _number(manifest.format_version),
        "backup_id": manifest.backup_id,
        "replset": identity.replset,
        "replset_id": identity.replset_id,
        "server_version": identity.server_version,
        "feature_compatibility": identity.feature_compatibility,
        "agent_version": manifest.agent_version,
        "nodes": list(manifest.nodes),
        "started_at": _date(manifest.started_at),
        "finished_at": _date(manifest.finished_at),
        "consistent_at": _time(manifest.consistent_at),
        "catalogue_at": _time(manifest.catalogue_at),
        "oplog_from": _time(manifest.oplog_from),
        "namespaces": list(manifest.namespaces),
        "tags": dict(manifest.tags),
        "note": manifest.note,
        "keep": manifest.keep,
        "window": None if manifest.window is None else _window(manifest.window),
        "collections": [_copy(copy) for copy in manifest.copies],
    }
    return extended_json.layout(shown).encode() + b"\n"


def decode(body: bytes) -> Manifest:
    """Return the manifest that lies in an object.

    Raises: PermanentError ``manifest_version`` for a version that we do not know, whatever else
    is in it; ``damaged_manifest``, naming the field, for anything that is not as it must be.
    """
    fields = Fields("", parse_object(body))
    version = fields.get("format_version", read.count)
    if version != FORMAT_VERSION:
        raise PermanentError(
            "manifest_version",
            f"the manifest has format version {version}, this agent knows {FORMAT_VERSION}",
            hint="use an agent that knows it",
            format_version=version,
        )
    manifest = Manifest(
        format_version=version,
        backup_id=fields.get("backup_id", read.filled),
        identity=_read_identity(fields),
        agent_version=fields.get("agent_version", read.text),
        nodes=fields.many("nodes", read.text),
        started_at=fields.get("started_at", read.date),
        finished_at=fields.get("finished_at", read.date),
        consistent_at=fields.get("consistent_at", read.time),
        catalogue_at=fields.get("catalogue_at", read.time),
        oplog_from=fields.get("oplog_from", read.time),
        namespaces=fields.many("namespaces", read.text),
        tags=fields.get("tags", _read_tags),
        note=fields.get("note", read.text),
        keep=fields.get("keep", read.flag),
        window=fields.optional("window", _read_window),
        copies=fields.many("collections", _read_copy),
    )
    fields.end()
    _require_sane(manifest, fields.path("collections"))
    return manifest


def _require_sane(manifest: Manifest, path: str) -> None:
    """Refuse what each collection may say for itself, and not all of them together."""
    collections = [copy.collection for copy in manifest.copies]
    names = Counter(each.namespace for each in collections)
    uuids = Counter(each.uuid for each in collections if each.uuid)
    for number, each in enumerate(collections):
        if names[each.namespace] > 1:
            raise refused(f"{path}[{number}].namespace", "another collection has the same")
        if uuids[each.uuid] > 1:
            raise refused(f"{path}[{number}].uuid", "another collection has the same")
    if max(manifest.docs, manifest.bytes, manifest.stored_bytes) > _LARGEST_SUM:
        raise refused(path, "the sums of all are larger than any storage")
    words = (manifest.note, *manifest.nodes, *manifest.namespaces, *chain(*manifest.tags.items()))
    if sum(len(word.encode()) for word in words) > _WORDS_MAX_BYTES:
        raise refused("note", "it, tags, nodes and namespaces are too long for the catalogue")


def _read_identity(fields: Fields) -> Identity:
    return Identity(
        replset=fields.get("replset", read.text),
        replset_id=fields.get("replset_id", read.text),
        server_version=fields.get("server_version", read.text),
        feature_compatibility=fields.get("feature_compatibility", read.text),
    )


def _read_tags(value: object, path: str) -> dict[str, str]:
    inner = read.fields(value, path)
    if any("\0" in name for name in inner.names()):
        raise refused(path, "a name has a NUL")
    return {read.text(name, path): inner.get(name, read.text) for name in inner.names()}


def _copy(copy: Copy) -> dict[str, object]:
    collection = copy.collection
    traits = collection.traits
    options, is_same = extended_json.readable(collection.options)
    indexes = [extended_json.readable(index) for index in collection.indexes]
    shown: dict[str, object] = {
        "namespace": str(collection.namespace),
        "kind": collection.kind,
        "uuid": _uuid(collection.uuid),
        "docs": _number(copy.docs),
        "bytes": _number(copy.bytes),
        "options": options,
        "indexes": [index for index, _ in indexes],
        "traits": {
            "is_capped": traits.is_capped,
            "is_clustered": traits.is_clustered,
            "has_collation": traits.has_collation,
            "view_on": traits.view_on,
            "ttl_s": None if traits.ttl_s is None else _number(traits.ttl_s),
        },
        "read_at": [_time(time) for time in copy.read_at],
        "chunks": [_chunk(chunk) for chunk in copy.chunks],
    }
    if not is_same:
        shown["options_bson"] = extended_json.to_base64(collection.options)
    kept = {
        str(position): extended_json.to_base64(raw)
        for position, (raw, (_, is_same)) in enumerate(
            zip(collection.indexes, indexes, strict=True)
        )
        if not is_same
    }
    if kept:
        shown["indexes_bson"] = kept
    return shown


def _read_copy(value: object, path: str) -> Copy:
    fields = read.fields(value, path)
    copy = Copy(
        collection=Collection(
            namespace=fields.get("namespace", read.namespace),
            kind=fields.get("kind", _read_kind),
            uuid=fields.optional("uuid", read.uuid) or b"",
            options=_read_options(fields),
            indexes=_read_indexes(fields),
            traits=fields.get("traits", _read_traits),
        ),
        read_at=fields.many("read_at", read.time),
        chunks=fields.many("chunks", _read_chunk),
    )
    docs, size = fields.get("docs", read.count), fields.get("bytes", read.count)
    fields.end()
    if copy.collection.has_data != bool(copy.collection.uuid):
        raise refused(fields.path("uuid"), "a collection has one, a view has none")
    if copy.chunks and not copy.collection.has_data:
        raise refused(fields.path("chunks"), "a view has no data")
    if copy.collection.has_data and (kind := _kind_of_options(copy.collection)):
        raise refused(fields.path("options"), f"they make a {kind} of what has data of its own")
    if list(copy.read_at) != sorted(copy.read_at):
        raise refused(fields.path("read_at"), "the times do not ascend")
    if docs != copy.docs:
        raise refused(fields.path("docs"), f"the chunks have {copy.docs}")
    if size != copy.bytes:
        raise refused(fields.path("bytes"), f"the chunks have {copy.bytes}")
    return copy


def _kind_of_options(collection: Collection) -> str:
    """Return what else than a collection a server would make by these options."""
    if field(collection.options, "viewOn") is not None:
        return "view"
    is_series = field(collection.options, "timeseries") is not None
    return "time series" if is_series and not collection.namespace.is_buckets else ""


def _read_kind(value: object, path: str) -> Kind:
    kind = _KINDS.get(read.text(value, path))
    if kind is None:
        raise refused(path, f"not one of {', '.join(_KINDS)}")
    return kind


def _read_options(fields: Fields) -> bytes:
    shown = fields.get("options", read.mapping)
    kept = fields.optional("options_bson", read.document)
    return _read_document(shown, kept, fields.path("options"))


def _read_indexes(fields: Fields) -> tuple[bytes, ...]:
    shown = fields.many("indexes", read.mapping)
    beside = fields.optional("indexes_bson", read.fields) or Fields("", {})
    found = tuple(
        _read_document(
            index,
            beside.optional(str(position), read.document),
            f"{fields.path('indexes')}[{position}]",
        )
        for position, index in enumerate(shown)
    )
    beside.end()
    return found


def _read_document(shown: dict[str, Any], kept: bytes | None, path: str) -> bytes:
    document = extended_json.document_of(shown) if kept is None else kept
    if document is None:
        raise refused(path, "not a document in Extended JSON")
    return document


def _read_traits(value: object, path: str) -> Traits:
    fields = read.fields(value, path)
    traits = Traits(
        is_capped=fields.get("is_capped", read.flag),
        is_clustered=fields.get("is_clustered", read.flag),
        has_collation=fields.get("has_collation", read.flag),
        view_on=fields.get("view_on", read.text),
        ttl_s=fields.optional("ttl_s", read.count),
    )
    fields.end()
    return traits


def _chunk(chunk: Chunk) -> dict[str, object]:
    return {
        "key": chunk.key,
        "docs": _number(chunk.docs),
        "bytes": _number(chunk.bytes),
        "stored_bytes": _number(chunk.stored_bytes),
        "sha256": chunk.sha256,
    }


def _read_chunk(value: object, path: str) -> Chunk:
    fields = read.fields(value, path)
    chunk = Chunk(
        key=fields.get("key", read.filled),
        docs=fields.get("docs", read.count),
        bytes=fields.get("bytes", read.count),
        stored_bytes=fields.get("stored_bytes", read.count),
        sha256=fields.get("sha256", read.sha256),
    )
    fields.end()
    return chunk


def _window(window: Window) -> dict[str, object]:
    return {
        "begin": _time(window.begin),
        "last": _time(window.last),
        "segments": [_segment(segment) for segment in window.segments],
    }


def _read_window(value: object, path: str) -> Window:
    fields = read.fields(value, path)
    window = Window(
        begin=fields.get("begin", read.time),
        last=fields.get("last", read.time),
        segments=fields.many("segments", _read_segment),
    )
    fields.end()
    return window


def _segment(segment: Segment) -> dict[str, object]:
    return {
        "key": segment.key,
        "begin": _time(segment.begin),
        "last": _time(segment.last),
        "entries": _number(segment.entries),
        "bytes": _number(segment.bytes),
        "stored_bytes": _number(segment.stored_bytes),
        "sha256": segment.sha256,
    }


def _read_segment(value: object, path: str) -> Segment:
    fields = read.fields(value, path)
    segment = Segment(
        key=fields.get("key", read.filled),
        begin=fields.get("begin", read.time),
        last=fields.get("last", read.time),
        entries=fields.get("entries", read.count),
        bytes=fields.get("bytes", read.count),
        stored_bytes=fields.get("stored_bytes", read.count),
        sha256=fields.get("sha256", read.sha256),
    )
    fields.end()
    return segment


def _number(value: int) -> dict[str, str]:
    return {"$numberLong": str(value)}


def _time(time: ClusterTime) -> dict[str, object]:
    return {"$timestamp": {"t": time.seconds, "i": time.increment}}


def _date(date: datetime) -> dict[str, object]:
    ms = int(date.timestamp()) * _MS + date.microsecond // _MS
    return {"$date": _number(ms)}


def _uuid(uuid: bytes) -> dict[str, str] | None:
    return {"$uuid": str(UUID(bytes=uuid))} if uuid else None
