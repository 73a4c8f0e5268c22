"""The backups of a replica set as its storage has them: the manifests, and nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.codec import manifest_json
from agent.core.errors import PermanentError
from agent.model import keys
from agent.model.manifest import Manifest
from agent.ports import ObjectStore


def backup_ids(store: ObjectStore, replset: str) -> tuple[str, ...]:
    """Return the ids of all backups that have a manifest, oldest first. Raises TransientError."""
    found = (keys.parse_manifest(each.key) for each in store.list(keys.backups_root(replset)))
    return tuple(sorted(each[1] for each in found if each is not None))


def read(store: ObjectStore, replset: str, backup_id: str) -> Manifest:
    """Return one manifest.

    Raises: PermanentError ``unknown_backup``; ``bad_manifest`` and its like naming the key.
    """
    key = keys.manifest(replset, backup_id)
    if not keys.is_backup_id(backup_id):
        raise _unknown(backup_id, store)
    try:
        body = store.get(key)
    except PermanentError as error:
        if error.code != "object_missing":
            raise
        raise _unknown(backup_id, store) from error
    try:
        return manifest_json.decode(body)
    except PermanentError as error:
        raise PermanentError(
            error.code, f"{key}: {error.message}", hint=error.hint, key=key
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """All backups of a replica set in a storage; ``damaged``: what was wrong, by backup id."""

    manifests: tuple[Manifest, ...]
    damaged: Mapping[str, PermanentError]


def read_all(store: ObjectStore, replset: str) -> Shelf:
    """Read all manifests, oldest first; one that is damaged does not hide the others.

    Raises: TransientError; PermanentError of the storage itself.
    """
    found: list[Manifest] = []
    damaged: dict[str, PermanentError] = {}
    for backup_id in backup_ids(store, replset):
        try:
            found.append(read(store, replset, backup_id))
        except PermanentError as error:
            if "key" not in error.facts or error.code.startswith("storage_"):
                raise
            damaged[backup_id] = error
    return Shelf(manifests=tuple(found), damaged=damaged)


def _unknown(backup_id: str, store: ObjectStore) -> PermanentError:
    return PermanentError(
        "unknown_backup",
        f"there is no backup {backup_id!r} in {store.describe()}",
        hint="`backstay list` shows the backups",
    )
