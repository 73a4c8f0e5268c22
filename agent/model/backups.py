"""A backup as the catalogue in the control database shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Base
from agent.model.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupEntry:
    """What an operator wants to know of a backup without opening its manifest."""

    backup_id: str
    storage: str
    replset_id: str
    consistent_at: ClusterTime
    oplog_from: ClusterTime
    started_at: datetime
    finished_at: datetime
    docs: int
    bytes: int
    stored_bytes: int
    chunks: int
    collections: int
    nodes: tuple[str, ...]
    server_version: str
    namespaces: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    keep: bool = False


def entry_of(manifest: Manifest, storage: str) -> BackupEntry:
    """Return the catalogue's view of a manifest that lies in a storage."""
    return BackupEntry(
        backup_id=manifest.backup_id,
        storage=storage,
        replset_id=manifest.identity.replset_id,
        consistent_at=manifest.consistent_at,
        oplog_from=manifest.oplog_from,
        started_at=manifest.started_at,
        finished_at=manifest.finished_at,
        docs=manifest.docs,
        bytes=manifest.bytes,
        stored_bytes=manifest.stored_bytes,
        chunks=manifest.chunk_count,
        collections=sum(copy.collection.has_data for copy in manifest.copies),
        nodes=manifest.nodes,
        server_version=manifest.identity.server_version,
        namespaces=manifest.namespaces,
        tags=manifest.tags,
        note=manifest.note,
        keep=manifest.keep,
    )


def base_of(entry: BackupEntry) -> Base:
    """Return a backup as what a replay can start from."""
    return Base(
        backup_id=entry.backup_id,
        replset_id=entry.replset_id,
        consistent_at=entry.consistent_at,
        oplog_from=entry.oplog_from,
    )


def newest(entries: Sequence[BackupEntry]) -> BackupEntry | None:
    """Return the entry with the latest consistent time, if there is any."""
    return max(entries, key=lambda entry: (entry.consistent_at, entry.backup_id), default=None)
