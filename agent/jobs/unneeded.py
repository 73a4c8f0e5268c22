"""Oplog that a backup stored for itself, and that nothing needs when the backup goes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.jobs import manifests
from agent.jobs.segments import listed
from agent.model.compaction import removable
from agent.model.coverage import Archived, Base
from agent.model.manifest import Manifest
from agent.ports import ObjectStore, StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What a backup needs of the oplog: segments that it names, by key, and a way on from it."""

    base: Base
    named: frozenset[str]


def needs_of(manifest: Manifest) -> Needs:
    """Return what a backup needs of the oplog."""
    window = manifest.window
    named = () if window is None else (segment.key for segment in window.segments)
    return Needs(base=manifest.base, named=frozenset(named))


def unneeded(
    store: ObjectStore, replset: str, named: Collection[str], *, without: str
) -> list[StoredObject]:
    """Return which of the segments that a backup, ``without``, names may go with it.

    What a damaged manifest needs cannot be told: with one about, all stays. To be asked anew by
    each run: the archive goes on meanwhile, and is compacted.
    """
    shelf = manifests.read_all(store, replset) if named else None
    if shelf is None or shelf.damaged:
        return []
    others = [needs_of(each) for each in shelf.manifests if each.backup_id != without]
    return [
        StoredObject(key=each.key, size_bytes=each.stored_bytes)
        for each in loose(listed(store, replset), named, others)
    ]


def loose(
    archive: Mapping[str, Sequence[Archived]], named: Collection[str], others: Iterable[Needs]
) -> list[Archived]:
    """Return which of the segments that a backup names may go with it.

    No other backup names them or reaches further because of them, and the archive, which is given
    by replica set id, has no hole without them.
    """
    needs = tuple(others)
    own = set(named).difference(*(each.named for each in needs))
    found: list[Archived] = []
    for replset_id, segments in archive.items():
        bases = [each.base for each in needs if each.base.replset_id == replset_id]
        mine = [each for each in segments if each.key in own]
        found += removable(mine, segments, bases)
    return found
