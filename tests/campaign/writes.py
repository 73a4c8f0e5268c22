"""Who writes in a campaign: data of every kind that a second replay can follow."""

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

from tests.system.ddl import restless
from tests.system.writer import Step, Writer, busy, seed_documents
from tests.testbed.clients import Client

_DOCUMENTS = 300
# Between two steps of a writer: the faults are the load here.
_PAUSE_S = 0.02
# Never full: the oldest documents of a capped collection go without an entry of the oplog.
_LEDGER_BYTES = 200 * 2**20
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_SENSORS = 5


def begin_data(client: Client) -> None:
    """Put in what the writers find to change."""
    seed_documents(client, _DOCUMENTS)
    shop = client["shop"]
    shop.create_collection("ledger", capped=True, size=_LEDGER_BYTES)
    shop.create_collection("clustered", clusteredIndex={"key": {"_id": 1}, "unique": True})
    shop.create_collection("readings", timeseries={"timeField": "at", "metaField": "sensor"})


@contextmanager
def writing(uri: str, seed: int) -> Iterator[None]:
    """Write until the end."""
    line = threading.Event()

    def rest(_client: Client, _rng: random.Random) -> None:
        line.wait(_PAUSE_S)

    changes = [each for each in busy(_DOCUMENTS) if getattr(each, "__name__", "") != "append"]
    changes += [_book, _measure, _file, _unfile]
    kinds: list[list[Step]] = [[*changes, *[rest] * len(changes)], [*restless(), *[rest] * 100]]
    with ExitStack() as stack:
        for number, steps in enumerate(kinds):
            stack.enter_context(Writer(uri, steps, 10 * seed + number))
        yield


def _book(client: Client, rng: random.Random) -> None:
    client["shop"]["ledger"].insert_one({"amount": rng.random()})


def _measure(client: Client, rng: random.Random) -> None:
    at = _BEGIN + timedelta(seconds=rng.randrange(100_000))
    reading = {"at": at, "sensor": rng.randrange(_SENSORS), "value": rng.random()}
    client["shop"]["readings"].insert_one(reading)


def _file(client: Client, rng: random.Random) -> None:
    paper = {"_id": rng.randrange(_DOCUMENTS), "text": "x" * rng.randrange(300)}
    client["shop"]["clustered"].replace_one({"_id": paper["_id"]}, paper, upsert=True)


def _unfile(client: Client, rng: random.Random) -> None:
    client["shop"]["clustered"].delete_one({"_id": rng.randrange(_DOCUMENTS)})
