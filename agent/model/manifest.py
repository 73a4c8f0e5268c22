"""The manifest: the one object that makes a backup exist."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from agent.model.catalogue import Collection, Identity
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Base

FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One stored object of whole documents: ``sha256`` is the hex digest of what is stored."""

    key: str
    docs: int
    bytes: int
    stored_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One collection in a backup; ``read_at`` holds every cluster time it was read at, ascending.

    Its replay starts after the first of them. Views have neither times nor chunks.
    """

    collection: Collection
    read_at: tuple[ClusterTime, ...]
    chunks: tuple[Chunk, ...]

    @property
    def docs(self) -> int:
        """Documents in all chunks."""
        return sum(chunk.docs for chunk in self.chunks)

    @property
    def bytes(self) -> int:
        """Uncompressed bytes in all chunks."""
        return sum(chunk.bytes for chunk in self.chunks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One stored object of consecutive oplog entries: after ``begin``, up to and with ``last``."""

    key: str
    begin: ClusterTime
    last: ClusterTime
    entries: int
    bytes: int
    stored_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The oplog that a backup needs to be exact: after ``begin``, up to and with ``last``."""

    begin: ClusterTime
    last: ClusterTime
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything needed to restore a backup and to trust it.

    ``consistent_at`` is the cluster time that the restored data stands for;
    ``catalogue_at`` the one that the listed options and indexes stand for. ``window`` is
    absent when every read was made at ``consistent_at``. A replay beyond that time reads the
    oplog after ``oplog_from``.
    """

    backup_id: str
    identity: Identity
    agent_version: str
    nodes: tuple[str, ...]
    started_at: datetime
    finished_at: datetime
    consistent_at: ClusterTime
    catalogue_at: ClusterTime
    oplog_from: ClusterTime
    copies: tuple[Copy, ...]
    window: Window | None
    namespaces: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    keep: bool = False
    format_version: int = FORMAT_VERSION

    @property
    def base(self) -> Base:
        """The backup as what a replay can start from."""
        return Base(
            backup_id=self.backup_id,
            replset_id=self.identity.replset_id,
            consistent_at=self.consistent_at,
            oplog_from=self.oplog_from,
        )

    @property
    def docs(self) -> int:
        """Documents in the backup."""
        return sum(copy.docs for copy in self.copies)

    @property
    def bytes(self) -> int:
        """Uncompressed bytes of all documents."""
        return sum(copy.bytes for copy in self.copies)

    @property
    def stored_bytes(self) -> int:
        """Bytes that the chunks and the oplog window take in the storage."""
        chunks = sum(chunk.stored_bytes for copy in self.copies for chunk in copy.chunks)
        segments = self.window.segments if self.window else ()
        return chunks + sum(segment.stored_bytes for segment in segments)

    @property
    def chunk_count(self) -> int:
        """Stored objects of data."""
        return sum(len(copy.chunks) for copy in self.copies)
