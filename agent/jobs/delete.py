"""The delete command: the manifest first, so that a backup is whole or does not exist."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.core.flow import Shared
from agent.core.log import Log
from agent.jobs import manifests
from agent.jobs.removal import Removal, portions, removal_in, write_down
from agent.jobs.unneeded import unneeded
from agent.model import keys
from agent.model.commands import Delete
from agent.model.manifest import Manifest
from agent.model.progress import Progress
from agent.ports import (
    CANCELED,
    BackupCatalogue,
    ClusterSource,
    Job,
    JobContext,
    JobNotes,
    ObjectStore,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePorts:
    """The doors of a delete; ``label`` names the storage that ``store`` is."""

    source: ClusterSource
    store: ObjectStore
    label: str
    catalogue: BackupCatalogue
    notes: JobNotes
    log: Log


class DeleteJob:
    """One ``delete`` command. May be run again after any interruption."""

    def __init__(self, context: JobContext, request: Delete, ports: DeletePorts) -> None:
        self._context = context
        self._request = request
        self._ports = ports
        self._progress = Shared(Progress(phase="planning"))
        self._may_cancel = Shared(True)

    def plan(self) -> None:
        """Refuse an unknown backup, and without ``force`` a kept one and the only one."""
        if self._noted() is not None:
            return
        store, replset = self._ports.store, self._ports.source.identity().replset
        backup = self._request.backup
        manifest = self._manifest(replset)
        if manifest is None or self._request.force:
            return
        if manifest.keep:
            raise PermanentError(
                "backup_kept", f"the backup {backup} is to be kept", hint="delete with force: true"
            )
        if manifests.backup_ids(store, replset) == (backup,):
            raise PermanentError(
                "only_backup",
                f"{backup} is the only backup in {store.describe()}",
                hint="make another backup first, or delete with force: true",
            )

    def progress(self) -> Progress:
        """Return how far the delete is."""
        return self._progress.get()

    def may_cancel(self) -> bool:
        """Until the manifest is removed, nothing is."""
        return self._may_cancel.get()

    def give_up(self) -> None:
        """Leave what is left to a delete with ``force``: there is nothing to undo."""

    def run(self) -> Mapping[str, object]:
        """Delete the backup, or only say what would be deleted."""
        ports, backup = self._ports, self._request.backup
        replset = ports.source.identity().replset
        named = self._noted()
        if named is None:
            named = self._named_segments(self._manifest(replset))
        objects = [*ports.store.list(keys.backup_root(replset, backup))]
        objects += unneeded(ports.store, replset, named, without=backup)
        result = {
            "backup": backup,
            "objects": len(objects),
            "bytes": sum(each.size_bytes for each in objects),
            "dry_run": self._request.dry_run,
        }
        if self._request.dry_run:
            return result
        self._begin(named)
        passing(Point.DELETE_NOTED)
        ports.store.delete([keys.manifest(replset, backup)])
        passing(Point.DELETE_MANIFEST_GONE)
        # Whatever comes of the rest, nobody shall be offered what is none any more.
        ports.catalogue.remove(backup, ports.label)
        passing(Point.DELETE_FORGOTTEN)
        found = [each.key for each in objects]
        for some in portions(found):
            self._context.held()
            self._stop_unless_canceled()
            ports.store.delete(some)
        passing(Point.DELETE_OBJECTS_GONE)
        ports.log.info("backup deleted", backup=backup, objects=len(objects))
        return result

    def _begin(self, segments: Sequence[str]) -> None:
        """Write down what only the manifest knows, before it goes.

        A cancel that came just before it is the last one that counts.
        """
        if self._may_cancel.get():
            self._may_cancel.set(False)
            self._context.stop.check()
        removal = Removal(backup=self._request.backup, segments=tuple(segments))
        write_down(removal, self._context, self._ports.notes)
        self._progress.set(Progress(phase="cleaning"))

    def _stop_unless_canceled(self) -> None:
        """Look whether to go on; half of a backup is none, and a cancel comes too late for it."""
        stop = self._context.stop
        if stop.is_set and stop.reason != CANCELED:
            stop.check()

    def _noted(self) -> Sequence[str] | None:
        removal = removal_in(self._ports.notes.load(self._context.command_id))
        if removal is None:
            return None
        self._may_cancel.set(False)
        return removal.segments

    def _manifest(self, replset: str) -> Manifest | None:
        """Return the backup's manifest; None if ``force`` passes over what is wrong with it.

        It may be damaged, or gone while other objects of the backup are not.
        """
        try:
            return manifests.read(self._ports.store, replset, self._request.backup)
        except PermanentError as error:
            if not self._request.force:
                raise
            if error.code == "unknown_backup" and not self._has_objects(replset):
                raise
            return None

    def _has_objects(self, replset: str) -> bool:
        backup = self._request.backup
        if not keys.is_backup_id(backup):
            return False
        found = self._ports.store.list(keys.backup_root(replset, backup))
        return next(iter(found), None) is not None

    def _named_segments(self, manifest: Manifest | None) -> list[str]:
        """Return the oplog of the backup's window, as its manifest names it."""
        window = None if manifest is None else manifest.window
        return [] if window is None else sorted(segment.key for segment in window.segments)


def _proof(context: JobContext, request: Delete, ports: DeletePorts) -> Job:
    return DeleteJob(context, request, ports)
