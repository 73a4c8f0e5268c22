"""What the manifest of a backup says: pure."""

from dataclasses import dataclass
from datetime import datetime

from agent.jobs.backup.assembly import Assembled
from agent.jobs.backup.notes import Outset
from agent.model.commands import Backup
from agent.model.manifest import Manifest, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """Who wrote a manifest, and when."""

    agent_version: str
    finished_at: datetime


def build_manifest(
    outset: Outset,
    request: Backup,
    assembled: Assembled,
    window: Window | None,
    stamp: Stamp,
) -> Manifest:
    """Return the manifest; its consistent time is the latest read, or the end of the window."""
    return Manifest(
        backup_id=outset.backup_id,
        identity=outset.identity,
        agent_version=stamp.agent_version,
        nodes=assembled.nodes,
        started_at=outset.started_at,
        finished_at=stamp.finished_at,
        consistent_at=window.last if window else outset.read_at,
        catalogue_at=outset.catalogue_at,
        oplog_from=min(outset.oplog_from, outset.catalogue_at),
        copies=assembled.copies,
        window=window,
        namespaces=request.namespaces or (),
        tags=request.tags or {},
        note=request.note or "",
        keep=request.keep,
    )


def window_of(outset: Outset) -> Window:
    """Return the oplog that is stored for a backup, which is some."""
    return Window(
        begin=outset.segments[0].begin, last=outset.segments[-1].last, segments=outset.segments
    )
