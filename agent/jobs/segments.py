"""Segments of the oplog archive as the storage has them: listed, stored, read in parts."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest

from agent.codec import framing, oplog
from agent.codec.parts import document_parts
from agent.codec.zstd import content_bytes
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.core.log import Log
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


def put_segment(
    store: ObjectStore,
    segment: Archived,
    body: bytes | bytearray,
    held: Callable[[], None],
    log: Log,
) -> bytes | bytearray:
    """Store a segment, and return what is stored under its key.

    That may be the same entries in other bytes: compressed by somebody who stored them before and
    did not live to tell. A damaged object in its place is replaced, after ``held`` has proved that
    the right to do so is still ours: somebody else may have replaced it by then.

    Raises: TransientError; what ``held`` raises; PermanentError of the storage, and
    ``archive_conflict``.
    """
    try:
        store.put(segment.key, body)
    except PermanentError as error:
        if error.code != "object_exists":
            raise
    else:
        return body
    stored = store.get(segment.key)
    try:
        _require_same(stored, body, segment)
    except PermanentError as error:
        if error.code != "damaged_object":
            raise
        log.error("a damaged segment is replaced", key=segment.key, reason=error.message)
        held()
        store.delete([segment.key])
        passing(Point.SEGMENT_REPLACING)
        store.put(segment.key, body)
        return body
    return stored


def _require_same(stored: bytes, ours: bytes | bytearray, segment: Archived) -> None:
    theirs, own = parts(stored, segment), parts(bytes(ours), segment)
    if any(one != other for one, other in zip_longest(theirs, own)):
        raise PermanentError(
            "archive_conflict",
            f"{segment.key} holds other entries than this replica set's oplog has",
            hint="another cluster archives to the same prefix: give each its own",
            key=segment.key,
        )


def _damaged(segment: Archived, reason: object) -> PermanentError:
    return PermanentError(
        "damaged_object",
        f"the segment {segment.key} is damaged: {reason}",
        hint=f"restore to {segment.begin} or a time before it, or from a later backup",
        key=segment.key,
        reached=str(segment.begin),
    )
