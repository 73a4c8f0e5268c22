"""A backup as the catalogue in the control database shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Base
from agent.model.manifest import Manifest
from agent.model.verdict import Verdict, standing


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
    verdicts: tuple[Verdict, ...] = ()
    """The newest of each depth."""

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that counts; None if the backup was never verified."""
        return standing(self.verdicts)

    @property
    def is_damaged(self) -> bool:
        """Whether the backup was found damaged, and nothing has shown the contrary since."""
        return self.verdict is not None and not self.verdict.is_sound


def entry_of(manifest: Manifest, storage: str, verdicts: tuple[Verdict, ...] = ()) -> BackupEntry:
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
        verdicts=verdicts,
    )


def base_of(entry: BackupEntry) -> Base:
    """Return a backup as what a replay can start from."""
    return Base(
        backup_id=entry.backup_id,
        replset_id=entry.replset_id,
        consistent_at=entry.consistent_at,
        oplog_from=entry.oplog_from,
    )


def instead_of(entry: BackupEntry, entries: Sequence[BackupEntry]) -> str:
    """Say what to do about a damaged backup: what else there is, best what was verified."""
    others = [
        each
        for each in entries
        if each.storage == entry.storage
        and each.backup_id != entry.backup_id
        and not each.namespaces
        and not each.is_damaged
    ]
    best = newest([each for each in others if each.verdict is not None]) or newest(others)
    if best is None:
        return "there is no other full backup: make one now"
    told = "never verified" if best.verdict is None else f"sound by its {best.verdict.depth}"
    return f"make a backup now; to restore what is older, use {best.backup_id} ({told})"


def newest(entries: Sequence[BackupEntry]) -> BackupEntry | None:
    """Return the entry with the latest consistent time, if there is any."""
    return max(entries, key=lambda entry: (entry.consistent_at, entry.backup_id), default=None)
