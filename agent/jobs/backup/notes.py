"""What another coordinator must know to go on with a backup."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.core.errors import PermanentError
from agent.model.catalogue import Identity
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Segment
from agent.ports import JobContext, JobNotes


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A backup whose tasks were not all published yet: nothing of it counts."""

    backup_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outset:
    """How a backup began, and which oplog is stored for it by now."""

    backup_id: str
    started_at: datetime
    read_at: ClusterTime
    catalogue_at: ClusterTime
    oplog_from: ClusterTime
    identity: Identity
    task_count: int
    segments: tuple[Segment, ...] = ()


class BackupNotes:
    """Keeps the notes of one job."""

    def __init__(self, notes: JobNotes, context: JobContext) -> None:
        self._notes = notes
        self._context = context

    def save(self, state: Draft | Outset) -> None:
        """Write the state down. Raises: LeaseLost."""
        fields = {"backup_id": state.backup_id} if isinstance(state, Draft) else _fields(state)
        self._notes.save(self._context.command_id, self._context.token, fields)

    def load(self) -> Draft | Outset | None:
        """Return what an earlier coordinator wrote down, if it came so far.

        Raises: PermanentError ``bad_notes`` if somebody else changed it.
        """
        fields = self._notes.load(self._context.command_id)
        if fields is None:
            return None
        match fields:
            case {"backup_id": str(backup_id)} if len(fields) == 1:
                return Draft(backup_id=backup_id)
            case {"outset": Mapping() as outset, "segments": [*segments]}:
                return _outset(outset, tuple(map(_segment, segments)))
        raise _bad_notes()


def backup_id_in(noted: Mapping[str, object] | None) -> str | None:
    """Return the id of the backup that notes are about; None if they are of another job."""
    match noted:
        case {"backup_id": str(backup_id)} | {"outset": {"backup_id": str(backup_id)}}:
            return backup_id
    return None


def _fields(outset: Outset) -> Mapping[str, object]:
    return {
        "outset": {
            "backup_id": outset.backup_id,
            "started_at": outset.started_at,
            "read_at": outset.read_at,
            "catalogue_at": outset.catalogue_at,
            "oplog_from": outset.oplog_from,
            "replset": outset.identity.replset,
            "replset_id": outset.identity.replset_id,
            "server_version": outset.identity.server_version,
            "feature_compatibility": outset.identity.feature_compatibility,
            "task_count": outset.task_count,
        },
        "segments": [
            {
                "key": one.key,
                "begin": one.begin,
                "last": one.last,
                "entries": one.entries,
                "bytes": one.bytes,
                "stored_bytes": one.stored_bytes,
                "sha256": one.sha256,
            }
            for one in outset.segments
        ],
    }


def _outset(fields: Mapping[str, object], segments: tuple[Segment, ...]) -> Outset:
    match fields:
        case {
            "backup_id": str(backup_id),
            "started_at": datetime() as started_at,
            "read_at": ClusterTime() as read_at,
            "catalogue_at": ClusterTime() as catalogue_at,
            "oplog_from": ClusterTime() as oplog_from,
            "replset": str(replset),
            "replset_id": str(replset_id),
            "server_version": str(server_version),
            "feature_compatibility": str(feature_compatibility),
            "task_count": int(task_count),
        }:
            identity = Identity(
                replset=replset,
                replset_id=replset_id,
                server_version=server_version,
                feature_compatibility=feature_compatibility,
            )
            return Outset(
                backup_id=backup_id,
                started_at=started_at,
                read_at=read_at,
                catalogue_at=catalogue_at,
                oplog_from=oplog_from,
                identity=identity,
                task_count=task_count,
                segments=segments,
            )
    raise _bad_notes()


def _segment(fields: object) -> Segment:
    match fields:
        case {
            "key": str(key),
            "begin": ClusterTime() as begin,
            "last": ClusterTime() as last,
            "entries": int(entries),
            "bytes": int(size_bytes),
            "stored_bytes": int(stored_bytes),
            "sha256": str(sha256),
        }:
            return Segment(
                key=key,
                begin=begin,
                last=last,
                entries=entries,
                bytes=size_bytes,
                stored_bytes=stored_bytes,
                sha256=sha256,
            )
    raise _bad_notes()


def _bad_notes() -> PermanentError:
    return PermanentError(
        "bad_notes",
        "the notes of this job in the control database are not as they were written",
        hint="insert the command again",
    )
