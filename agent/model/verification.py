"""What is wrong with the objects of a backup, judged by a listing: pure.

A listing tells of each object its key and its size; a checksum is not in it. So of two objects of
one size that were swapped it shows nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from agent.core.errors import PermanentError
from agent.model import keys
from agent.model.coverage import Archived, Span, chain
from agent.model.manifest import Chunk, Manifest, Segment

GONE = "it is not there"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An object that is not as it must be: ``what`` says so in a sentence about it."""

    key: str
    what: str


def chunks_of(manifest: Manifest) -> tuple[Chunk, ...]:
    """Return every chunk of a backup, in the order of the manifest."""
    return tuple(chunk for copy in manifest.copies for chunk in copy.chunks)


def segments_of(manifest: Manifest) -> tuple[Segment, ...]:
    """Return the segments that a backup stored for itself."""
    return () if manifest.window is None else manifest.window.segments


def faults_in(stored: Collection[Chunk | Segment], sizes: Mapping[str, int]) -> tuple[Fault, ...]:
    """Return what is missing of some objects, or has another size; ``sizes`` by key."""
    found = []
    for each in stored:
        size_bytes = sizes.get(each.key)
        if size_bytes is None:
            found.append(Fault(key=each.key, what=GONE))
        elif size_bytes != each.stored_bytes:
            found.append(Fault(key=each.key, what=wrong_size(size_bytes, each.stored_bytes)))
    return tuple(found)


def wrong_size(size_bytes: int, wanted_bytes: int) -> str:
    """Say that an object was cut off, or goes on where it should end."""
    said = f"it has {size_bytes} bytes, not {wanted_bytes}"
    if size_bytes == 0:
        return f"it is empty: {said}"
    if size_bytes < wanted_bytes:
        return f"it is cut off: {said}"
    return f"it has bytes too many: {said}"


def misplaced(manifest: Manifest, replset: str, backup: str) -> tuple[Fault, ...]:
    """Return whether what lies at the place of a manifest is that of something else."""
    key = keys.manifest(replset, backup)
    if (manifest.identity.replset, manifest.backup_id) != (replset, backup):
        whose = f"{manifest.backup_id} of {manifest.identity.replset}"
        return (Fault(key=key, what=f"it is the manifest of another backup, {whose}"),)
    root = keys.backup_root(replset, backup)
    strangers = [each.key for each in chunks_of(manifest) if not each.key.startswith(root)]
    return tuple(
        Fault(key=key, what=f"it names an object of something else, {each}") for each in strangers
    )


def needed_oplog(manifest: Manifest) -> Span | None:
    """Return the oplog without which a backup cannot be brought to its own time."""
    window = manifest.window
    if window is None:
        return None
    begin = min(manifest.oplog_from, manifest.catalogue_at, window.begin, manifest.consistent_at)
    return Span(begin=begin, last=manifest.consistent_at)


def way_through(
    needed: Span, archived: Sequence[Archived], harmed: Collection[str]
) -> tuple[Archived, ...] | None:
    """Return unharmed segments that hold the needed oplog without a gap; None if there are none.

    They need not be the backup's own: the archive joins segments, and removes those that it joined.
    """
    try:
        usable = [each for each in archived if each.key not in harmed]
        return chain(usable, needed.begin, needed.last)
    except PermanentError:
        return None


def gap_in(manifest: Manifest, archived: Sequence[Archived]) -> tuple[Fault, ...]:
    """Return that a backup's own oplog has a gap even though all it names is there."""
    needed = needed_oplog(manifest)
    if needed is None or way_through(needed, archived, ()) is not None:
        return ()
    key = keys.manifest(manifest.identity.replset, manifest.backup_id)
    what = f"its oplog from {needed.begin} to {needed.last} is not linked without a gap"
    return (Fault(key=key, what=what),)
