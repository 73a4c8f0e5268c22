"""Removes what was stored of a backup that is not to be."""

from typing import Final

from agent.core.flow import Stop
from agent.model import keys
from agent.ports import ObjectStore

# Objects of workers that had not yet heard of the end may still arrive for a moment.
_TRIES: Final = 5


def remove_objects(store: ObjectStore, replset: str, backup_id: str, *, pause_s: float) -> None:
    """Remove every object of a backup, its manifest first: it is whole or it is none.

    The waits in between do not end with any stop: they are short, and the job's own stop is
    set already when a backup is cancelled.
    """
    store.delete([keys.manifest(replset, backup_id)])
    root = keys.backup_root(replset, backup_id)
    for _ in range(_TRIES):
        found = [one.key for one in store.list(root)]
        if not found:
            return
        store.delete(found)
        Stop().wait(pause_s)
