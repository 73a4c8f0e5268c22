"""Oplog that a backup stored for itself, and that nothing needs when the backup goes."""

from collections.abc import Collection

from agent.jobs import manifests
from agent.jobs.segments import listed
from agent.model.compaction import removable
from agent.ports import ObjectStore, StoredObject


def unneeded(
    store: ObjectStore, replset: str, named: Collection[str], *, without: str
) -> list[StoredObject]:
    """Return which of the segments that a backup, ``without``, names may go with it.

    No other backup names them or reaches further because of them, and the archive has no hole
    without them. What a damaged manifest needs cannot be told: with one about, all stays.
    To be asked anew by each run: the archive goes on meanwhile, and is compacted.
    """
    shelf = manifests.read_all(store, replset) if named else None
    if shelf is None or shelf.damaged:
        return []
    others = [each for each in shelf.manifests if each.backup_id != without]
    own = set(named) - {
        segment.key
        for other in others
        if other.window is not None
        for segment in other.window.segments
    }
    found: list[StoredObject] = []
    for replset_id, segments in listed(store, replset).items():
        bases = [each.base for each in others if each.identity.replset_id == replset_id]
        mine = [each for each in segments if each.key in own]
        found += [
            StoredObject(key=each.key, size_bytes=each.stored_bytes)
            for each in removable(mine, segments, bases)
        ]
    return found
