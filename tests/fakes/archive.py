"""An archive of an oplog with one entry every ten minutes, in a store."""

from collections.abc import Iterable
from datetime import UTC, datetime

import bson

from agent.codec import framing, oplog
from agent.codec.zstd import ChunkCompressor
from agent.jobs import segments
from agent.model import keys
from agent.model.catalogue import Identity
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived
from agent.ports import ObjectStore

IDENTITY = Identity(
    replset="rs", replset_id="65" * 12, server_version="6.0.5", feature_compatibility="6.0"
)
# 2026-11-21 20:00:00 UTC: a full hour.
HOUR = 1_795_291_200
STEP_S = 600


def time(number: int) -> ClusterTime:
    """Return the time of the n-th entry; six are in an hour, the first at its beginning."""
    return ClusterTime(HOUR + number * STEP_S, 1)


def number(of: ClusterTime) -> int:
    """Return which entry has a time."""
    return (of.seconds - HOUR) // STEP_S


def moment(number: int) -> datetime:
    """Return the wall time of the n-th entry."""
    return datetime.fromtimestamp(time(number).seconds, tz=UTC)


def entry(number: int, *, term: int = 1, size_bytes: int = 10) -> bytes:
    """Return the n-th entry."""
    stamp = time(number)
    return bson.encode({
        "ts": bson.Timestamp(stamp.seconds, stamp.increment),
        "t": bson.Int64(term),
        "op": "i",
        "ns": "shop.orders",
        "o": {"_id": number, "text": "x" * size_bytes},
    })


def key_of(begin: int, last: int) -> str:
    """Return the key of the segment after one entry, up to and with another."""
    return keys.segment(IDENTITY.replset, IDENTITY.replset_id, time(begin), time(last))


def store_entries(store: ObjectStore, begin: int, last: int, entries: Iterable[bytes]) -> str:
    """Store a segment of some entries under the key of a range; return the key."""
    key = key_of(begin, last)
    store.put(key, _compressed(entries))
    return key


def body(numbers: Iterable[int]) -> bytes | bytearray:
    """Return the object of a segment of these entries."""
    return _compressed(map(entry, numbers))


def _compressed(entries: Iterable[bytes]) -> bytes | bytearray:
    compressor = ChunkCompressor(1)
    for each in entries:
        compressor.add(each, 1)
    return compressor.finish().body


def archive(store: ObjectStore, begin: int, last: int, *, term: int = 1) -> str:
    """Store the segment after one entry, up to and with another; return its key."""
    numbers = range(begin + 1, last + 1)
    return store_entries(store, begin, last, (entry(number, term=term) for number in numbers))


def listed(store: ObjectStore) -> tuple[Archived, ...]:
    """Return all segments."""
    return segments.listed(store, IDENTITY.replset).get(IDENTITY.replset_id, ())


def ranges(store: ObjectStore) -> list[tuple[int, int]]:
    """Return all segments by the numbers of their ends, in order."""
    return sorted((number(each.begin), number(each.last)) for each in listed(store))


def numbers_in(store: ObjectStore, segment: Archived) -> list[int]:
    """Return the numbers of the entries of a segment. Raises: as reading it does."""
    return [
        number(oplog.position(each).time)
        for part in segments.parts(store.get(segment.key), segment)
        for each in framing.documents(part)
    ]
