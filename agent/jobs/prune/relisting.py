"""What the catalogue shows, made right by what lies in the storage."""

from collections.abc import Sequence

from agent.core.errors import PermanentError
from agent.jobs import manifests
from agent.jobs.prune.survey import Survey
from agent.ports import BackupCatalogue, ObjectStore


def relist(
    seen: Survey, store: ObjectStore, catalogue: BackupCatalogue, label: str
) -> Sequence[str]:
    """Make up for deletes of which nobody learnt how they ended; return what was wrong.

    A manifest that went, although its delete was reported as failed, leaves a backup that is
    offered and is none. One that is only missing in a listing is not believed to be gone.

    Raises: TransientError; PermanentError of the storage.
    """
    listed = {each.backup_id for each in catalogue.entries() if each.storage == label}
    unseen = sorted(listed - {*seen.held, *seen.unreadable})
    gone = [each for each in unseen if _is_gone(store, seen.replset, each)]
    for backup in gone:
        catalogue.remove(backup, label)
    unlisted = sorted(seen.held.keys() - listed)
    for backup in unlisted:
        catalogue.put(seen.held[backup].entry)
    return (*gone, *unlisted)


def _is_gone(store: ObjectStore, replset: str, backup: str) -> bool:
    try:
        manifests.read(store, replset, backup)
    except PermanentError as error:
        if error.code == "unknown_backup":
            return True
        if "key" not in error.facts or error.code.startswith("storage_"):
            raise
    return False
