"""What lies in a storage: backups by their manifests, and everything that has none."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from agent.core.errors import PermanentError
from agent.jobs import manifests
from agent.jobs.unneeded import Needs, needs_of
from agent.model import keys
from agent.model.backups import BackupEntry, entry_of
from agent.model.orphans import Remains
from agent.model.verdict import Verdict, newest_of_each
from agent.model.verification import misplaced
from agent.ports import BackupCatalogue, ObjectStore, StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A backup whose manifest can be read, and what it needs of the oplog."""

    entry: BackupEntry
    needs: Needs


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A storage as it was looked at; all by backup id.

    ``remains`` has every id that any object of ours is of. ``unreadable`` says what is wrong with
    a manifest. ``foreign`` counts objects under the replica set's name that nobody here wrote.
    """

    replset: str
    held: Mapping[str, Held]
    remains: Mapping[str, Remains]
    unreadable: Mapping[str, str]
    foreign: int


def survey(store: ObjectStore, replset: str, label: str, catalogue: BackupCatalogue) -> Survey:
    """Look at everything: one listing, and a read of each manifest.

    Manifests are forgotten as soon as they were read: they may be large. Raises: TransientError;
    PermanentError of the storage.
    """
    remains, verdicts, foreign = _listed(store, replset)
    held: dict[str, Held] = {}
    unreadable: dict[str, str] = {}
    known = verdicts_of(catalogue, label)
    for backup in sorted(id_ for id_, each in remains.items() if each.has_manifest):
        try:
            manifest = manifests.read(store, replset, backup)
        except PermanentError as error:
            if "key" not in error.facts or error.code.startswith("storage_"):
                raise
            unreadable[backup] = error.message
            continue
        faults = misplaced(manifest, replset, backup)
        if faults:
            unreadable[backup] = faults[0].what
            continue
        found = newest_of_each((*verdicts.get(backup, ()), *known.get(backup, ())))
        held[backup] = Held(entry=entry_of(manifest, label, found), needs=needs_of(manifest))
    return Survey(
        replset=replset, held=held, remains=remains, unreadable=unreadable, foreign=foreign
    )


def verdicts_of(catalogue: BackupCatalogue, label: str) -> Mapping[str, tuple[Verdict, ...]]:
    """Return what verifying the backups of a storage found, by id, as the catalogue has it."""
    entries = catalogue.entries()
    return {each.backup_id: each.verdicts for each in entries if each.storage == label}


def judged(held: Held, verdicts: Iterable[Verdict]) -> BackupEntry:
    """Return a backup with what was found since it was surveyed, too."""
    return replace(held.entry, verdicts=newest_of_each((*held.entry.verdicts, *verdicts)))


def parts_of(store: ObjectStore, replset: str, backup: str) -> list[StoredObject]:
    """Return the objects of a backup as they are now; what nobody here wrote is left out."""
    root = keys.backup_root(replset, backup)
    return [each for each in store.list(root) if keys.backup_of(each.key) == backup]


def remains_of(backup: str, parts: Iterable[StoredObject]) -> Remains:
    """Return the objects of one id as a whole."""
    found = _none_of(backup)
    for each in parts:
        found = _with(found, each)
    return found


def _listed(
    store: ObjectStore, replset: str
) -> tuple[Mapping[str, Remains], Mapping[str, list[Verdict]], int]:
    """Return what is there of each backup id, verdicts by id, and how many objects are foreign."""
    remains: dict[str, Remains] = {}
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    foreign = 0
    tests = keys.check_root(replset)
    for each in store.list(keys.replset_root(replset)):
        backup = keys.backup_of(each.key)
        if backup is not None:
            remains[backup] = _with(remains.get(backup) or _none_of(backup), each)
            if (verdict := keys.parse_verdict(each.key)) is not None:
                verdicts[backup].append(verdict[2])
        elif keys.parse_segment(each.key) is None and not each.key.startswith(tests):
            foreign += 1
    return remains, verdicts, foreign


def _none_of(backup: str) -> Remains:
    return Remains(backup_id=backup, has_manifest=False, objects=0, stored_bytes=0, written_at=None)


def _with(found: Remains, part: StoredObject) -> Remains:
    """Return the same with one more object; once a time is not known, none is."""
    written_at = part.modified_at
    if written_at is not None and found.objects:
        written_at = None if found.written_at is None else max(found.written_at, written_at)
    return Remains(
        backup_id=found.backup_id,
        has_manifest=found.has_manifest or keys.parse_manifest(part.key) is not None,
        objects=found.objects + 1,
        stored_bytes=found.stored_bytes + part.size_bytes,
        written_at=written_at,
    )
