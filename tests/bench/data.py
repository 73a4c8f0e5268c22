"""What the bench backs up: documents of three sizes, about half of whose bytes zstd can save."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import bson
from bson import ObjectId
from pymongo import IndexModel, WriteConcern

from tests.testbed.clients import Client, Document

GIB: Final = 1024**3
# Each loader thread sends this much by one insert.
_INSERT_BYTES: Final = 4 * 1024**2
_THREADS: Final = 3
# More than fits into zstd's window at level 1 (512 KiB), so that templates are not found again.
_TEMPLATE_BYTES: Final = 4 * 1024**2
_WORDS: Final = (
    "alder",
    "birch",
    "cedar",
    "elm",
    "fir",
    "hazel",
    "juniper",
    "larch",
    "maple",
    "oak",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One collection of a database: its documents, its indexes, its share of the bytes."""

    name: str
    share: float
    document: Callable[[random.Random, int], Document]
    new_id: Callable[[int], Any]
    indexes: Sequence[Sequence[tuple[str, int]]]


def _event(chance: random.Random, number: int) -> Document:
    return {
        "user": chance.randrange(1_000_000),
        "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        "kind": chance.choice(_WORDS),
        "session": chance.randbytes(16),
        "path": "/" + "/".join(chance.choices(_WORDS, k=6)),
        "agent": "Mozilla/5.0 (X11; Linux x86_64) " + chance.choice(_WORDS),
        "values": [chance.random() for _ in range(12)],
        "referer": "https://" + "-".join(chance.choices(_WORDS, k=8)),
    }


def _order(chance: random.Random, number: int) -> Document:
    lines = [
        {
            "sku": f"{chance.choice(_WORDS)}-{chance.randrange(10**6):06d}",
            "text": " ".join(chance.choices(_WORDS, k=8)),
            "count": chance.randrange(1, 9),
            "price": round(chance.random() * 500, 2),
            "token": chance.randbytes(20),
        }
        for _ in range(10)
    ]
    return {
        "customer": chance.randrange(200_000),
        "status": chance.choice(("new", "paid", "sent", "back")),
        "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        "lines": lines,
        "note": " ".join(chance.choices(_WORDS, k=30)),
    }


def _file(chance: random.Random, number: int) -> Document:
    text = " ".join(chance.choices(_WORDS, k=5_000)).encode()
    return {"name": f"file-{number}", "head": chance.randbytes(32_768), "text": text}


KINDS: Final[Sequence[Kind]] = (
    Kind(
        name="events",
        share=0.15,
        document=_event,
        new_id=lambda _: ObjectId(),
        indexes=([("user", 1), ("at", -1)],),
    ),
    Kind(
        name="orders",
        share=0.45,
        document=_order,
        new_id=lambda number: number,
        indexes=([("customer", 1)], [("status", 1), ("at", 1)]),
    ),
    Kind(
        name="files",
        share=0.4,
        document=_file,
        new_id=lambda number: f"{number * 7919 % 10**9:09d}",
        indexes=(),
    ),
)


def load(client: Client, database: str, size_bytes: int) -> None:
    """Fill a database with about so many bytes of BSON, on a majority of the nodes."""
    for kind in KINDS:
        _fill(client, database, kind, int(size_bytes * kind.share))


def templates(kind: Kind) -> Sequence[Document]:
    """Return documents of a kind without ``_id``, more than a compressor remembers."""
    chance = random.Random(kind.name)
    first = len(bson.encode(kind.document(chance, 0)))
    return [kind.document(chance, number) for number in range(max(8, _TEMPLATE_BYTES // first))]


def _fill(client: Client, database: str, kind: Kind, size_bytes: int) -> None:
    models = templates(kind)
    average = sum(len(bson.encode(each)) for each in models) // len(models) + 17
    collection = client[database].get_collection(
        kind.name, write_concern=WriteConcern(w="majority")
    )
    numbers = batched_numbers(size_bytes // average, max(1, _INSERT_BYTES // average))

    def insert(some: Sequence[int]) -> None:
        documents = [
            {"_id": kind.new_id(number), "number": number, **models[number % len(models)]}
            for number in some
        ]
        collection.insert_many(documents, ordered=False)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="load") as pool:
        for done in pool.map(insert, numbers):
            assert done is None
    if kind.indexes:
        collection.create_indexes([IndexModel(list(keys)) for keys in kind.indexes])


def batched_numbers(total: int, size: int) -> Iterator[Sequence[int]]:
    """Yield the numbers below ``total`` in runs of ``size``."""
    for begin in range(0, total, size):
        yield range(begin, min(begin + size, total))


def load_many(client: Client, database: str, count: int) -> None:
    """Create so many collections of five small documents and one index each."""

    def make(number: int) -> None:
        collection = client[database][f"tenant_{number:05d}"]
        collection.insert_many([{"_id": each, "tenant": number} for each in range(5)])
        collection.create_index([("tenant", 1)])

    with ThreadPoolExecutor(8, thread_name_prefix="load") as pool:
        for done in pool.map(make, range(count)):
            assert done is None


def index_models(kind: Kind) -> list[Mapping[str, Any]]:
    """Return a collection's secondary indexes as ``createIndexes`` takes them."""
    return [IndexModel(list(keys)).document for keys in kind.indexes]
