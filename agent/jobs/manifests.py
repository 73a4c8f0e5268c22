"""The backups of a replica set as its storage has them: the manifests, and nothing else."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.codec import manifest_json
from agent.codec.manifest_fields import refused
from agent.core.errors import PermanentError
from agent.model import keys
from agent.model.manifest import Manifest
from agent.model.verdict import Verdict, newest_of_each
from agent.ports import ObjectStore


def backup_ids(store: ObjectStore, replset: str) -> tuple[str, ...]:
    """Return the ids of all backups that have a manifest, oldest first. Raises TransientError."""
    return _contents(store, replset)[0]


def _contents(
    store: ObjectStore, replset: str
) -> tuple[tuple[str, ...], Mapping[str, tuple[Verdict, ...]]]:
    """Return the ids of all backups that have a manifest, and verdicts by id, from one listing."""
    ids, verdicts = [], defaultdict[str, list[Verdict]](list)
    for each in store.list(keys.backups_root(replset)):
        if (manifest := keys.parse_manifest(each.key)) is not None:
            ids.append(manifest[1])
        elif (verdict := keys.parse_verdict(each.key)) is not None:
            verdicts[verdict[1]].append(verdict[2])
    return tuple(sorted(ids)), {id_: newest_of_each(found) for id_, found in verdicts.items()}


def read(store: ObjectStore, replset: str, backup_id: str) -> Manifest:
    """Return one manifest.

    Raises: PermanentError ``unknown_backup``; ``bad_manifest`` and its like naming the key.
    """
    key = keys.manifest(replset, backup_id)
    if not keys.is_backup_id(backup_id):
        raise unknown(backup_id, store)
    try:
        body = store.get(key)
    except PermanentError as error:
        if error.code != "object_missing":
            raise
        raise unknown(backup_id, store) from error
    try:
        manifest = manifest_json.decode(body)
        _require_place(manifest, replset, backup_id)
    except PermanentError as error:
        raise PermanentError(
            error.code, f"{key}: {error.message}", hint=error.hint, key=key
        ) from error
    return manifest


def _require_place(manifest: Manifest, replset: str, backup_id: str) -> None:
    """Refuse a manifest that was put in the place of another one's.

    Its objects would be looked for, and its verdicts written, where it says that it belongs.
    """
    if manifest.backup_id != backup_id:
        raise refused("backup_id", f"it is the manifest of another backup, {manifest.backup_id}")
    if manifest.identity.replset != replset:
        raise refused("replset", f"it is that of {manifest.identity.replset}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """All backups of a replica set in a storage; ``damaged``: what was wrong, by backup id.

    ``verdicts``: what was found when they were verified, the newest of each depth, by backup id.
    """

    manifests: tuple[Manifest, ...]
    damaged: Mapping[str, PermanentError]
    verdicts: Mapping[str, tuple[Verdict, ...]] = field(default_factory=dict)


def read_all(store: ObjectStore, replset: str) -> Shelf:
    """Read all manifests, oldest first; one that is damaged does not hide the others.

    Raises: TransientError; PermanentError of the storage itself.
    """
    found: list[Manifest] = []
    damaged: dict[str, PermanentError] = {}
    ids, verdicts = _contents(store, replset)
    for backup_id in ids:
        try:
            found.append(read(store, replset, backup_id))
        except PermanentError as error:
            if "key" not in error.facts or error.code.startswith("storage_"):
                raise
            damaged[backup_id] = error
    return Shelf(manifests=tuple(found), damaged=damaged, verdicts=verdicts)


def unknown(backup_id: str, store: ObjectStore) -> PermanentError:
    """Return the error of a backup that is not there."""
    return PermanentError(
        "unknown_backup",
        f"there is no backup {backup_id!r} in {store.describe()}",
        hint="`backstay list` shows the backups",
    )
