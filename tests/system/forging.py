"""Backups that nobody made: manifest, chunks and oplog written by hand, every checksum right."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bson

from agent.codec import manifest_json
from agent.codec.zstd import ChunkCompressor, Compressed
from agent.model import keys
from agent.model.catalogue import Collection, Identity, Kind, Traits
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk, Copy, Manifest, Segment, Window
from agent.model.names import Namespace
from agent.ports import ObjectStore
from tests.testbed.clients import Document

# Of a replica set that never was: whoever forges may write an archive of his own.
REPLSET_ID: Final = "65" * 12
BEGIN: Final = ClusterTime(1_700_000_000, 1)
ID_INDEX: Final = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
_FIRST: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One collection of a forged backup; what is not given is as it would be."""

    name: tuple[str, str]
    documents: tuple[Any, ...] = ()
    uuid: bytes = b""
    kind: Kind = "collection"
    options: Mapping[str, Any] = field(default_factory=dict)
    indexes: tuple[Mapping[str, Any], ...] = (ID_INDEX,)
    traits: Traits = field(default_factory=Traits)
    chunks: tuple[Chunk, ...] = ()


class Forger:
    """Writes backups into a storage, each under an id of its own."""

    def __init__(self, store: ObjectStore, identity: Identity) -> None:
        self._store = store
        self._identity = replace(identity, replset_id=REPLSET_ID)
        self._count = 0

    def backup(
        self,
        *parts: Part,
        entries: Iterable[Document] = (),
        changes: Mapping[str, Any] | None = None,
    ) -> str:
        """Store a backup of some collections, with entries of an oplog after them; return its id.

        ``changes`` are fields of the manifest that are to be otherwise.
        """
        self._count += 1
        backup = keys.backup_id(_FIRST + timedelta(days=self._count))
        begin = ClusterTime(BEGIN.seconds + 1_000 * self._count, 1)
        window = self._window(begin, entries)
        manifest = Manifest(
            backup_id=backup,
            identity=self._identity,
            agent_version="0",
            nodes=("forged:1",),
            started_at=_FIRST,
            finished_at=_FIRST,
            consistent_at=window.last if window else begin,
            catalogue_at=begin,
            oplog_from=begin,
            copies=tuple(
                self._copy(backup, begin, number, part) for number, part in enumerate(parts)
            ),
            window=window,
        )
        body = manifest_json.encode(replace(manifest, **(changes or {})))
        self._store.put(keys.manifest(self._identity.replset, backup), body)
        return backup

    def chunk(self, key: str, documents: Iterable[Any]) -> Chunk:
        """Store a chunk under a key, and return what a manifest says of it."""
        done = _compressed(documents)
        self._store.put(key, bytes(done.body))
        return Chunk(
            key=key,
            docs=done.docs,
            bytes=done.bytes,
            stored_bytes=done.stored_bytes,
            sha256=done.sha256,
        )

    def _copy(self, backup: str, at: ClusterTime, number: int, part: Part) -> Copy:
        namespace = Namespace(*part.name)
        chunks = part.chunks
        if part.documents:
            name = keys.ChunkName(task=number, token=1, sequence=0)
            key = keys.chunk(self._identity.replset, backup, namespace, name)
            chunks = (*chunks, self.chunk(key, part.documents))
        has_data = part.kind == "collection"
        return Copy(
            collection=Collection(
                namespace=namespace,
                kind=part.kind,
                uuid=(part.uuid or uuid_of(number)) if has_data else b"",
                options=bson.encode(part.options),
                indexes=tuple(map(bson.encode, part.indexes)) if has_data else (),
                traits=part.traits,
            ),
            read_at=(at,) if has_data else (),
            chunks=chunks,
        )

    def _window(self, begin: ClusterTime, entries: Iterable[Document]) -> Window | None:
        stamped = [
            {"ts": bson.Timestamp(begin.seconds + number, 1), "t": 1, "v": 2, **entry}
            for number, entry in enumerate(entries, 1)
        ]
        if not stamped:
            return None
        last = ClusterTime(begin.seconds + len(stamped), 1)
        key = keys.segment(self._identity.replset, REPLSET_ID, begin, last)
        done = _compressed(stamped)
        self._store.put(key, bytes(done.body))
        segment = Segment(
            key=key,
            begin=begin,
            last=last,
            entries=done.docs,
            bytes=done.bytes,
            stored_bytes=done.stored_bytes,
            sha256=done.sha256,
        )
        return Window(begin=begin, last=last, segments=(segment,))


def uuid_of(number: int) -> bytes:
    """Return the UUID of the collection of this number in a forged backup."""
    return number.to_bytes(16, "big").replace(b"\0", b"\x0f", 15)


def _compressed(documents: Iterable[Any]) -> Compressed:
    compressor = ChunkCompressor(1)
    for each in documents:
        compressor.add(each if isinstance(each, bytes) else bson.encode(each), 1)
    return compressor.finish()
