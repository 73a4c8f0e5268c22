"""Clients that keep writing, so that a backup never sees the data at rest."""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pymongo import MongoClient
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from tests.testbed.clients import Client, Document

Step = Callable[[Client, random.Random], object]


class Writer:
    """A thread that takes seeded steps until it is told to stop.

    Errors of the server do not stop it: it meets elections, switches and dropped collections, and
    goes on with the next step.
    """

    def __init__(self, uri: str, steps: list[Step], seed: int) -> None:
        self._uri = uri
        self._steps = steps
        self._rng = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"writer-{seed}")
        self.done_count = 0
        self.errors: list[PyMongoError] = []

    def __enter__(self) -> Self:
        """Start to write."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and wait for the last write."""
        self.stop()

    def stop(self) -> None:
        """Stop, and wait for the last write. Idempotent."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        client: Client = MongoClient(self._uri, serverSelectionTimeoutMS=30_000)
        with client:
            while not self._stop.is_set():
                step = self._rng.choice(self._steps)
                try:
                    step(client, self._rng)
                    self.done_count += 1
                except PyMongoError as error:
                    self.errors.append(error)


COLLECTIONS = ("orders", "items", "log")


def seed_documents(client: Client, count: int = 2000, database: str = "shop") -> None:
    """Put in what the steps of a `busy` writer find to change."""
    for name in COLLECTIONS:
        client[database][name].insert_many([
            {"_id": n, "n": 0, "text": f"{name} {n}" * 5} for n in range(count)
        ])
    client[database]["orders"].create_index("n")
    client[database].create_collection("tail", capped=True, size=200_000)


@dataclass(frozen=True, slots=True)
class _Busy:
    """Writes of all kinds to the collections of `seed_documents`."""

    count: int
    database: str

    def insert(self, client: Client, rng: random.Random) -> None:
        fresh = [{"_id": rng.getrandbits(40), "n": -1} for _ in range(rng.randint(1, 20))]
        self._any(client, rng).insert_many(fresh, ordered=False)

    def update(self, client: Client, rng: random.Random) -> None:
        low = rng.randrange(self.count)
        change: Document = {"$inc": {"n": 1}, "$push": {"l": rng.random()}}
        self._any(client, rng).update_many({"_id": {"$gte": low, "$lt": low + 30}}, change)

    def update_one(self, client: Client, rng: random.Random) -> None:
        self._any(client, rng).update_one(self._one(rng), {"$set": {"u": rng.random()}})

    def replace(self, client: Client, rng: random.Random) -> None:
        self._any(client, rng).replace_one(self._one(rng), {"r": rng.random()}, upsert=True)

    def delete(self, client: Client, rng: random.Random) -> None:
        self._any(client, rng).delete_one(self._one(rng))

    def delete_some(self, client: Client, rng: random.Random) -> None:
        low = rng.randrange(self.count)
        self._any(client, rng).delete_many({"_id": {"$gte": low, "$lt": low + 5}})

    def find_and_modify(self, client: Client, rng: random.Random) -> None:
        # Retryable: the server keeps an image of the document, and says so in the oplog.
        change: Document = {"$set": {"f": rng.random()}}
        self._any(client, rng).find_one_and_update(self._one(rng), change, upsert=True)

    def transaction(self, client: Client, rng: random.Random) -> None:
        def move(session: ClientSession) -> None:
            for name in COLLECTIONS:
                change: Document = {"$set": {"moved": rng.random()}}
                collection = client[self.database][name]
                collection.update_one(self._one(rng), change, upsert=True, session=session)
            if rng.random() < 0.2:
                session.abort_transaction()

        with client.start_session() as session:
            session.with_transaction(move, write_concern=WriteConcern("majority"))

    def append(self, client: Client, rng: random.Random) -> None:
        entry: Document = {"n": rng.random(), "text": "x" * rng.randrange(500)}
        client[self.database]["tail"].insert_one(entry)

    def _any(self, client: Client, rng: random.Random) -> Collection[Document]:
        return client[self.database][rng.choice(COLLECTIONS)]

    def _one(self, rng: random.Random) -> Document:
        return {"_id": rng.randrange(self.count)}


def busy(count: int = 2000, database: str = "shop") -> list[Step]:
    """Return steps of all kinds of writes to the collections of `seed_documents`."""
    all_ = _Busy(count, database)
    return [
        *[all_.insert] * 2, all_.update, *[all_.update_one] * 2, all_.replace, all_.delete,
        all_.delete_some, all_.find_and_modify, all_.transaction, all_.append,
    ]  # fmt: skip
