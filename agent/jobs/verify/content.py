"""Reading a backup's objects: what is wrong with their bytes, in a sentence each."""

from collections.abc import Callable, Mapping
from typing import Final

from agent.codec import framing, oplog
from agent.codec.parts import document_parts
from agent.codec.zstd import content_bytes, sha256
from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk, Segment
from agent.model.verification import GONE, wrong_size
from agent.ports import ObjectStore

# What one worker holds of an object at a time, beside the compressed object itself.
_PART_BYTES: Final = 2 * 1024 * 1024
# Of one object, not of the storage as a whole: all others may be readable.
_OF_THE_OBJECT: Final = frozenset({
    "damaged_object",
    "damaged_bson",
    "storage_archived",
    "storage_customer_key",
    "storage_encryption",
})

# Told of each part how many bytes and documents it has; may raise what ends the work.
Look = Callable[[int, int], None]


class Reader:
    """Reads objects whole and says what is wrong with them; "" of a sound one.

    ``owners``: the key of each object that the manifest names, by the SHA-256 of what it must
    hold, so that a swapped one is known for what it is.
    """

    def __init__(self, store: ObjectStore, owners: Mapping[str, str], look: Look) -> None:
        self._store = store
        self._owners = owners
        self._look = look

    def of_chunk(self, chunk: Chunk) -> str:
        """Read a chunk: bytes, frame, framing of documents, and their number.

        Raises: TransientError; PermanentError of the storage as a whole; what ``look`` raises.
        """
        return self._told(lambda: self._chunk(chunk))

    def of_segment(self, segment: Segment) -> str:
        """Read a segment likewise, and see that its entries ascend and are those of its key.

        Raises: as ``of_chunk``.
        """
        return self._told(lambda: self._segment(segment))

    def _told(self, read: Callable[[], str]) -> str:
        try:
            return read()
        except PermanentError as error:
            if error.code == "object_missing":
                return GONE
            if error.code not in _OF_THE_OBJECT:
                raise
            return str(error.facts.get("reason", error.message))

    def _chunk(self, chunk: Chunk) -> str:
        body = self._store.get(chunk.key)
        if harm := self._of_bytes(body, chunk) or _of_header(body, chunk):
            return harm
        docs = 0
        for part in document_parts(body, chunk.bytes, _PART_BYTES):
            found = framing.count(part)
            docs += found
            self._look(len(part), found)
        return "" if docs == chunk.docs else f"it holds {docs} documents, not {chunk.docs}"

    def _segment(self, segment: Segment) -> str:
        body = self._store.get(segment.key)
        if harm := self._of_bytes(body, segment) or _of_header(body, segment):
            return harm
        entries, reached = 0, segment.begin
        for part in document_parts(body, segment.bytes, _PART_BYTES):
            bounds = framing.bounds(part)
            first, last = _time(part[: bounds[1]]), _time(part[bounds[-2] :])
            if not reached < first <= last:
                return f"its entries do not ascend: {first} follows {reached}"
            reached = last
            entries += len(bounds) - 1
            self._look(len(part), 0)
        if reached != segment.last:
            return f"its last entry is that of {reached}, not of {segment.last}"
        return (
            "" if entries == segment.entries else f"it has {entries} entries, not {segment.entries}"
        )

    def _of_bytes(self, body: bytes, stored: Chunk | Segment) -> str:
        digest = sha256(body)
        if digest == stored.sha256:
            return ""
        owner = self._owners.get(digest)
        if owner is not None:
            return f"it holds what belongs into {owner}"
        if len(body) != stored.stored_bytes:
            return wrong_size(len(body), stored.stored_bytes)
        return "its bytes were changed: their SHA-256 is not the one in the manifest"


def _of_header(body: bytes, stored: Chunk | Segment) -> str:
    promised = content_bytes(body)
    if promised == stored.bytes:
        return ""
    return f"it holds {promised} bytes when decompressed, not {stored.bytes}"


def _time(entry: bytes) -> ClusterTime:
    return oplog.position(entry).time
