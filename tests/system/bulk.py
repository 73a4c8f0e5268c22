"""Data in bulk: many documents, large collections, many collections."""

import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from bson.binary import Binary, UuidRepresentation
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument

from tests.system.raw_bson import plain, raw
from tests.testbed.clients import Client

UUID_COUNT = 100_000
# Over 64 MiB a collection is cut into ranges of `_id`.
CUT_BYTES = 68 * 1024 * 1024

_NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def build(client: Client) -> None:
    """Put in what is large: many documents, and collections that are cut into ranges."""
    bulk = client["bulk"]
    rng = random.Random(1)
    bulk["uuids"].insert_many(_with_uuids(rng), ordered=False)
    bulk["mixed"].insert_many(_of_mixed_ids(rng), ordered=False)
    bulk.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    payload = rng.randbytes(1024 * 1024)
    count = CUT_BYTES // len(payload) + 1
    large = (raw(plain("_id", n), plain("v", Binary(payload))) for n in range(count))
    bulk["clustered"].insert_many(large, ordered=False)


def damage(client: Client) -> None:
    """Lose some documents, and all of them."""
    client["bulk"]["uuids"].delete_many({"n": {"$lt": 1000}})
    client["bulk"].drop_collection("mixed")


def build_many(client: Client, count: int, database: str = "many") -> None:
    """Put in many small collections, some with an index of their own."""
    many = client[database]
    for number in range(count):
        name = f"collection_{number:05}"
        many[name].insert_many([{"_id": n, "n": n * number} for n in range(3)])
        if number % 10 == 0:
            many[name].create_index("n")


def _with_uuids(rng: random.Random) -> Iterator[RawBSONDocument]:
    for number in range(UUID_COUNT):
        identity = uuid.UUID(int=rng.getrandbits(128), version=4)
        binary = Binary.from_uuid(identity, UuidRepresentation.STANDARD)
        yield raw(plain("_id", binary), plain("n", number))


def _of_mixed_ids(rng: random.Random) -> Iterator[RawBSONDocument]:
    """A collection that is cut into ranges, with `_id`s of many types and both ends of all."""
    payload = Binary(rng.randbytes(16_384))
    makers: Sequence[Callable[[int], Any]] = (
        lambda n: n,
        lambda n: n + 0.5,
        lambda n: f"text {n}",
        lambda n: {"a": n, "b": n % 7},
        lambda n: ObjectId(n.to_bytes(12, "big")),
        lambda n: _NOW + timedelta(seconds=n),
        lambda n: Binary(n.to_bytes(8, "big"), 0),
    )
    for end in (MinKey(), MaxKey(), None, True, False):
        yield raw(plain("_id", end), plain("v", payload))
    for number in range(CUT_BYTES // len(payload) + 1):
        identity = makers[number % len(makers)](number)
        yield raw(plain("_id", identity), plain("v", payload))
