"""A small backup as it lies in a storage, with an oplog of its own and an archive that goes on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import bson

from agent.codec import manifest_json
from agent.codec.zstd import ChunkCompressor, sha256
from agent.model import keys
from agent.model.manifest import Chunk, Copy, Manifest, Segment, Window
from agent.ports import ObjectStore
from tests.fakes import archive
from tests.fakes.archive import IDENTITY, time
from tests.fakes.catalogue import collection

BACKUP = "20261121T201512Z"
OTHER = "20261120T201512Z"
REPLSET = IDENTITY.replset
# Entries of the oplog, by number: the backup's own is in two segments, and the archive goes on.
BEGIN, MIDDLE, END, FURTHER = 0, 3, 6, 9
_STARTED = datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)


@dataclass
class StoredBackup:
    """Puts a backup into a store; its parts can then be replaced and removed."""

    store: ObjectStore
    backup: str = BACKUP
    manifest: Manifest = field(init=False)

    def __post_init__(self) -> None:
        """Store everything, the manifest last."""
        copies = (
            self._copy("shop.orders", 0, (range(100), range(100, 200))),
            self._copy("shop.items", 1, (range(200, 300),)),
            self._copy("shop.nothing", 2, ()),
        )
        segments = (self._segment(BEGIN, MIDDLE), self._segment(MIDDLE, END))
        archive.archive(self.store, END, FURTHER)
        self.manifest = Manifest(
            backup_id=self.backup,
            identity=IDENTITY,
            agent_version="0",
            nodes=("a:1",),
            started_at=_STARTED,
            finished_at=_STARTED,
            consistent_at=time(END),
            oplog_from=time(BEGIN),
            catalogue_at=time(BEGIN),
            copies=copies,
            window=Window(begin=time(BEGIN), last=time(END), segments=segments),
        )
        self.store.put(self.manifest_key, manifest_json.encode(self.manifest))

    @property
    def manifest_key(self) -> str:
        """The key of the manifest."""
        return keys.manifest(REPLSET, self.backup)

    @property
    def chunks(self) -> tuple[Chunk, ...]:
        """All chunks; those of `shop.orders` are the first two."""
        return tuple(chunk for copy in self.manifest.copies for chunk in copy.chunks)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments of the backup's own oplog."""
        assert self.manifest.window is not None
        return self.manifest.window.segments

    def replace(self, key: str, body: bytes) -> None:
        """Put another object in the place of one, as nothing of the product would."""
        self.store.delete([key])
        self.store.put(key, body)

    def damage(self, key: str) -> None:
        """Change one bit in the middle of an object."""
        body = bytearray(self.store.get(key))
        body[len(body) // 2] ^= 1
        self.replace(key, bytes(body))

    def swap(self, one: str, other: str) -> None:
        """Put two objects in each other's place."""
        first, second = self.store.get(one), self.store.get(other)
        self.replace(one, second)
        self.replace(other, first)

    def _copy(self, name: str, task: int, parts: tuple[range, ...]) -> Copy:
        listed = collection(name)
        chunks = tuple(
            self._chunk(
                keys.chunk(
                    REPLSET,
                    self.backup,
                    listed.namespace,
                    keys.ChunkName(task=task, token=1, sequence=sequence),
                ),
                numbers,
            )
            for sequence, numbers in enumerate(parts)
        )
        return Copy(collection=listed, read_at=(time(BEGIN),), chunks=chunks)

    def _chunk(self, key: str, numbers: range) -> Chunk:
        compressor = ChunkCompressor(1)
        for document in _documents(numbers):
            compressor.add(document, 1)
        done = compressor.finish()
        self.store.put(key, bytes(done.body))
        return Chunk(
            key=key,
            docs=done.docs,
            bytes=done.bytes,
            stored_bytes=done.stored_bytes,
            sha256=done.sha256,
        )

    def _segment(self, begin: int, last: int) -> Segment:
        entries = [archive.entry(number) for number in range(begin + 1, last + 1)]
        key = archive.store_entries(self.store, begin, last, entries)
        body = self.store.get(key)
        return Segment(
            key=key,
            begin=time(begin),
            last=time(last),
            entries=len(entries),
            bytes=sum(map(len, entries)),
            stored_bytes=len(body),
            sha256=sha256(body),
        )


def _documents(numbers: range) -> Iterator[bytes]:
    """Yield documents whose text hardly compresses."""
    for number in numbers:
        yield bson.encode({"_id": number, "text": sha256(str(number).encode())})
