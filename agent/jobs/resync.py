"""The resync command: the catalogue of backups made anew from what the storages hold."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.core.crash import Point, passing
from agent.core.flow import Shared
from agent.core.log import Log
from agent.jobs import manifests
from agent.model.backups import entry_of
from agent.model.progress import Progress
from agent.ports import BackupCatalogue, ClusterSource, Job, JobContext, ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class ResyncPorts:
    """The doors of a resync; ``stores`` by label."""

    source: ClusterSource
    stores: Mapping[str, ObjectStore]
    catalogue: BackupCatalogue
    log: Log


class ResyncJob:
    """One ``resync`` command."""

    def __init__(self, context: JobContext, ports: ResyncPorts) -> None:
        self._context = context
        self._ports = ports
        self._progress = Shared(Progress(phase="planning"))

    def plan(self) -> None:
        """Check that the storages answer."""
        for store in self._ports.stores.values():
            store.probe()

    def progress(self) -> Progress:
        """Return that it is under way: it takes seconds."""
        return self._progress.get()

    def may_cancel(self) -> bool:
        """Entries are replaced storage by storage: always."""
        return True

    def give_up(self) -> None:
        """Leave everything: it is as good as before."""

    def run(self) -> Mapping[str, object]:
        """Read all manifests, and make the catalogue say the same."""
        replset = self._ports.source.identity().replset
        self._progress.set(Progress(phase="reading"))
        found: dict[str, int] = {}
        damaged: list[str] = []
        for label, store in self._ports.stores.items():
            self._context.stop.check()
            shelf = manifests.read_all(store, replset)
            self._context.held()
            passing(Point.RESYNC_BEFORE_REPLACED)
            self._ports.catalogue.replace(
                label,
                [
                    entry_of(manifest, label, shelf.verdicts.get(manifest.backup_id, ()))
                    for manifest in shelf.manifests
                ],
            )
            passing(Point.RESYNC_REPLACED)
            found[label] = len(shelf.manifests)
            damaged += [error.message for error in shelf.damaged.values()]
        self._ports.log.info("catalogue made anew", backups=found, damaged=damaged)
        return {"backups": found, "damaged": damaged}


def _proof(context: JobContext, ports: ResyncPorts) -> Job:
    return ResyncJob(context, ports)
