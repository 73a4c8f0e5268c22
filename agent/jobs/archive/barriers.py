"""Entries that no restore can cross, found in what is about to be archived.

The archive leaves them out. So its listing alone shows a gap there, no time behind it is
promised from a backup before it, and a full backup follows as after any other gap.
"""

from collections.abc import Iterator

from agent.codec import framing, oplog
from agent.model.cluster_time import Position
from agent.ports import Batch


def parted(batch: Batch) -> Iterator[tuple[Batch, Position | None]]:
    """Yield the runs of entries between barriers, each with the place of the barrier behind it.

    The last run has none behind it; a run may be empty. Raises: PermanentError ``damaged_bson``.
    """
    rest = bytes(batch.data)
    found = oplog.first_barrier(rest)
    if found is None:
        yield batch, None
        return
    while found is not None:
        begin, end = found
        yield _run(rest[:begin]), oplog.position(rest[begin:end])
        rest = rest[end:]
        found = oplog.first_barrier(rest)
    yield _run(rest), None


def _run(data: bytes) -> Batch:
    return Batch(data=data, docs=framing.count(data))
