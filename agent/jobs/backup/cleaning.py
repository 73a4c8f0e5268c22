"""Removes what was stored and is not part of any backup."""

from collections.abc import Sequence
from typing import Final

from agent.codec import manifest_json
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.model import keys
from agent.model.manifest import Manifest
from agent.ports import ObjectStore

# Objects of workers that had not yet heard of the end may still arrive for a moment.
_TRIES: Final = 5


def remove_objects(store: ObjectStore, replset: str, backup_id: str, *, pause_s: float) -> None:
    """Remove every object of a backup, its manifest first: it is whole or it is none.

    The waits in between do not end with any stop: they are short, and the job's own stop is
    set already when a backup is cancelled.
    """
    store.delete([keys.manifest(replset, backup_id)])
    passing(Point.BACKUP_CLEANING)
    root = keys.backup_root(replset, backup_id)
    for _ in range(_TRIES):
        found = [one.key for one in store.list(root)]
        if not found:
            return
        store.delete(found)
        Stop().wait(pause_s)


def remove_unnamed(store: ObjectStore, manifest: Manifest) -> None:
    """Remove objects of a committed backup that its manifest does not name.

    Agents that died between an upload and its record left them, and reads that had to begin
    again.
    """
    root = keys.backup_root(manifest.identity.replset, manifest.backup_id)
    named = _named(manifest)
    found = [one.key for one in store.list(root)]
    # Whoever took over from a coordinator that died after the manifest may come after a verify.
    store.delete([key for key in found if key not in named and not keys.parse_verdict(key)])


def remove_late(store: ObjectStore, replset: str, backup_id: str, late: Sequence[str]) -> None:
    """Remove what a worker stored whose task is gone: the backup has ended meanwhile.

    Whether its last record counted is unknown to the worker: the manifest says, if there is one.
    """
    try:
        manifest = manifest_json.decode(store.get(keys.manifest(replset, backup_id)))
    except PermanentError as error:
        if error.code != "object_missing":
            raise
        store.delete(late)
        return
    named = _named(manifest)
    store.delete([key for key in late if key not in named])


def _named(manifest: Manifest) -> set[str]:
    chunks = {chunk.key for copy in manifest.copies for chunk in copy.chunks}
    return chunks | {keys.manifest(manifest.identity.replset, manifest.backup_id)}
