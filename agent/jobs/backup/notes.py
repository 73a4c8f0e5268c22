"""What another coordinator must know to go on with a backup."""

from dataclasses import dataclass
from datetime import datetime

from agent.core.errors import PermanentError
from agent.model.catalogue import Identity
from agent.model.cluster_time import ClusterTime
from agent.ports import JobNotes
from agent.ports.work import JobContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Outset:
    """How a backup began; saved when all its tasks are published."""

    backup_id: str
    started_at: datetime
    read_at: ClusterTime
    catalogue_at: ClusterTime
    oplog_from: ClusterTime
    identity: Identity
    task_count: int


class BackupNotes:
    """Keeps the outset of one job."""

    def __init__(self, notes: JobNotes, context: JobContext) -> None:
        self._notes = notes
        self._context = context

    def save(self, outset: Outset) -> None:
        """Write the outset down. Raises: LeaseLost."""
        self._notes.save(
            self._context.command_id,
            self._context.token,
            {
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
        )

    def load(self) -> Outset | None:
        """Return what an earlier coordinator wrote down, if it came so far.

        Raises: PermanentError ``bad_notes`` if somebody else changed it.
        """
        match self._notes.load(self._context.command_id):
            case None:
                return None
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
                )
            case _:
                raise PermanentError(
                    "bad_notes",
                    "the notes of this job in the control database are not as they were written",
                    hint="insert the command again",
                )
