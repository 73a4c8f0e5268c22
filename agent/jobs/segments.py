"""Segments of the oplog archive as the storage has them: listed, fetched, read in parts."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from agent.codec import framing, oplog
from agent.codec.parts import document_parts
from agent.codec.zstd import content_bytes
from agent.core.errors import PermanentError
from agent.model import keys
from agent.model.cluster_time import Position
from agent.model.coverage import Archived
from agent.ports import ObjectStore

_PART_BYTES = 8 * 1024 * 1024


def listed(store: ObjectStore, replset: str) -> Mapping[str, tuple[Archived, ...]]:
    """Return all segments of a replica set's name, by replica set id. Raises: TransientError.

    A new replica set of an old name has an id of its own, and archives beside the old one.
    """
    found: dict[str, list[Archived]] = defaultdict(list)
    for each in store.list(keys.oplog_root(replset)):
        parsed = keys.parse_segment(each.key)
        if parsed is not None:
            _, replset_id, begin, last = parsed
            found[replset_id].append(
                Archived(key=each.key, begin=begin, last=last, stored_bytes=each.size_bytes)
            )
    return {replset_id: tuple(segments) for replset_id, segments in found.items()}


def parts(body: bytes, segment: Archived) -> Iterator[bytes]:
    """Yield the raw entries of a segment's object in parts; their checksum is verified.

    Raises: PermanentError ``damaged_object`` naming the key, also at the end, if the last entry
    is not the one that the key promises.
    """
    position: Position | None = None
    try:
        for part in document_parts(body, content_bytes(body), _PART_BYTES):
            position = oplog.position(framing.last(part))
            yield part
    except PermanentError as error:
        raise _damaged(segment, error.facts.get("reason", error.message)) from error
    if position is None or position.time != segment.last:
        reached = position.time if position else "nothing"
        raise _damaged(segment, f"it ends at {reached}")


def last_position(store: ObjectStore, segment: Archived) -> Position:
    """Return the place of a segment's last entry. Raises: as ``parts``, and ``object_missing``."""
    last = b""
    for part in parts(store.get(segment.key), segment):
        last = part
    return oplog.position(framing.last(last))


def _damaged(segment: Archived, reason: object) -> PermanentError:
    return PermanentError(
        "damaged_object",
        f"the segment {segment.key} is damaged: {reason}",
        hint=f"restore to {segment.begin} or a time before it, or from a later backup",
        key=segment.key,
        reached=str(segment.begin),
    )
