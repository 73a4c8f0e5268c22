"""A cluster that is never left in peace, and the moments that a restore must bring back.

Writers of every kind run in short rounds; agents are killed and primaries step down meanwhile.
Between two rounds nothing is written, and what there is then is recorded with its cluster time.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
from bson.timestamp import Timestamp
from pymongo.errors import PyMongoError

from tests.system.ddl import restless
from tests.system.protected import Protected, patiently
from tests.system.second_replay import note
from tests.system.writer import Step, Writer, busy, seed_documents
from tests.testbed.clients import Client
from tests.testbed.hashes import Contents, contents
from tests.testbed.programs import MongodVersion
from tests.testbed.waiting import eventually

_READINGS = "readings"
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_LARGE_BYTES = 900_000
_LARGE_SHARE = 0.1
_OF_NOTHING = hashlib.md5(b"", usedforsecurity=False).hexdigest()
# As many from each writer after whatever happened in a round.
_STEPS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What there was at a cluster time, while nothing was written."""

    at: Timestamp
    expected: Contents
    users: tuple[str, ...]


@contextmanager
def writing(cluster: Protected, seed: int) -> Iterator[None]:
    """Write from several threads, in all ways that we know of."""
    uri, version = cluster.replica_set.uri, cluster.replica_set.spec.version
    with ExitStack() as stack:
        kinds = [restless(), busy(500), busy(500), [*strange(version), *large()]]
        writers = [
            stack.enter_context(Writer(uri, steps, seed * 10 + number))
            for number, steps in enumerate(kinds)
        ]
        yield
        enough = {writer: writer.done_count + _STEPS for writer in writers}
        eventually(
            lambda: all(each.done_count >= count for each, count in enough.items()),
            60,
            message="every writer writes",
        )


def prepare(client: Client, version: MongodVersion) -> None:
    """Make what the steps work on."""
    seed_documents(client, 500)
    client["shop"].create_collection(
        _READINGS, timeseries={"timeField": "t", "metaField": "m", "granularity": "seconds"}
    )
    if version != "5.0":
        client["shop"].create_collection(
            "clustered", clusteredIndex={"key": {"_id": 1}, "unique": True}
        )


def strange(version: MongodVersion) -> list[Step]:
    """Return steps whose oplog entries are not like others, as far as a server knows them."""
    newer = [] if version == "5.0" else [*[_cluster] * 2, _images]
    return [*[_measure] * 4, _forget_readings, _cap, _user, _view, *newer]


def large() -> list[Step]:
    """Return steps that make transactions of several entries, and large documents."""
    return [_large_transaction, _transaction_of_definitions]


def record(client: Client) -> Moment:
    """Record what there is now; nobody may be writing."""
    at = note(client)
    return Moment(at=at, expected=held(client), users=users(client))


def held(client: Client) -> Contents:
    """Return what there is now, without collections of views that hold none.

    A server whose last view was dropped keeps an empty one, which nobody ever sees.
    """
    found = contents(client)
    empty = {
        name
        for name, value in found.hashes.items()
        if name.endswith(".system.views") and value == _OF_NOTHING
    }
    return Contents(
        hashes={name: each for name, each in found.hashes.items() if name not in empty},
        collections={name: each for name, each in found.collections.items() if name not in empty},
        indexes={name: each for name, each in found.indexes.items() if name not in empty},
    )


def users(client: Client) -> tuple[str, ...]:
    """Return the names and roles of all users."""
    found = client.admin.command("usersInfo", {"forAllDBs": True})["users"]
    return tuple(sorted(f"{each['_id']} {each['roles']}" for each in found))


def disturb(cluster: Protected, rng: random.Random) -> str:
    """Do one thing that should not matter, and say what it was."""
    deed = rng.choice(["kill an agent", "kill the archiver", "step down", "nothing"])
    match deed:
        case "kill an agent":
            _restarted(cluster, rng.choice(cluster.agents.all))
        case "kill the archiver":
            lease = cluster.control["leases"].find_one({"_id": "archiver"}) or {}
            agent = cluster.agent(lease.get("holder"))
            if agent is not None:
                _restarted(cluster, agent)
        case "step down":
            cluster.replica_set.step_down(for_s=5)
    return deed


def _restarted(_cluster: Protected, agent: Any) -> None:
    agent.kill()
    agent.restart()


def quiet_moment(cluster: Protected) -> Moment:
    """Wait until there is a primary for good, and record."""
    moments: list[Moment] = []
    patiently(lambda: moments.append(record(cluster.client)), 60)
    return moments[-1]


def _measure(client: Client, rng: random.Random) -> None:
    then = _EPOCH + timedelta(seconds=rng.randrange(100_000))
    client["shop"][_READINGS].insert_many([
        {"t": then, "m": rng.randrange(4), "v": rng.random()} for _ in range(rng.randint(1, 30))
    ])


def _forget_readings(client: Client, rng: random.Random) -> None:
    client["shop"][_READINGS].delete_many({"m": rng.randrange(4)})


def _cluster(client: Client, rng: random.Random) -> None:
    collection = client["shop"]["clustered"]
    key = rng.randrange(200)
    collection.replace_one({"_id": key}, {"v": rng.random()}, upsert=True)
    collection.delete_one({"_id": rng.randrange(200)})


def _cap(client: Client, rng: random.Random) -> None:
    name = rng.choice(["cap_one", "cap_two"])
    client["shop"][name].insert_many([{"n": n, "x": "y" * 50} for n in range(50)])
    client["shop"].command("convertToCapped", name, size=20_000)


def _user(client: Client, rng: random.Random) -> None:
    name = f"user{rng.randrange(5)}"
    roles = [{"role": rng.choice(["read", "readWrite"]), "db": "shop"}]
    try:
        client["shop"].command("createUser", name, pwd="secret-of-a-test", roles=roles)
    except PyMongoError:
        client["shop"].command("dropUser", name)


def _images(client: Client, rng: random.Random) -> None:
    enabled = {"enabled": rng.random() < 0.5}
    client["shop"].command("collMod", "items", changeStreamPreAndPostImages=enabled)


def _view(client: Client, rng: random.Random) -> None:
    client["shop"].drop_collection("seen")
    pipeline = [{"$match": {"n": {"$gt": rng.randrange(5)}}}]
    client["shop"].create_collection("seen", viewOn="orders", pipeline=pipeline)


def _large_transaction(client: Client, rng: random.Random) -> None:
    if rng.random() > _LARGE_SHARE:
        return
    with client.start_session() as session, session.start_transaction():
        for _ in range(rng.randint(1, 20)):
            document = {"_id": rng.randrange(40), "p": bson.Binary(rng.randbytes(_LARGE_BYTES))}
            client["shop"]["large"].replace_one(
                {"_id": document["_id"]}, document, upsert=True, session=session
            )


def _transaction_of_definitions(client: Client, rng: random.Random) -> None:
    name = f"made{rng.randrange(4)}"
    with client.start_session() as session, session.start_transaction():
        client["shop"][name].insert_many([{"n": n} for n in range(5)], session=session)
        client["shop"]["orders"].update_one(
            {"_id": rng.randrange(500)}, {"$set": {"t": name}}, session=session
        )
