"""A client that never stops to change what collections there are."""

import random
from typing import Any

from pymongo.collation import Collation

from tests.system.writer import Step
from tests.testbed.clients import Client

DATABASES = ("ddl_one", "ddl_two")
_NAMES = tuple(f"c{n}" for n in range(8))
_MOST = 60


def restless() -> list[Step]:
    """Return steps of definitions and of small writes, over few names so that they meet."""
    return [
        *[_insert] * 8, *[_update] * 3, _delete,
        *[_create] * 4, *[_drop] * 2, _drop_database,
        *[_rename] * 3, _rename_across, *[_create_index] * 3, _drop_index, *[_modify] * 2,
        _out, _view,
    ]  # fmt: skip


def _any(client: Client, rng: random.Random) -> Any:
    return client[rng.choice(DATABASES)][rng.choice(_NAMES)]


def _insert(client: Client, rng: random.Random) -> None:
    fresh = [{"_id": rng.randrange(10**6), "a": n, "b": rng.random()} for n in range(20)]
    _any(client, rng).insert_many(fresh, ordered=False)


def _update(client: Client, rng: random.Random) -> None:
    _any(client, rng).update_many({"a": rng.randrange(20)}, {"$inc": {"a": 1, "c.d": 1}})


def _delete(client: Client, rng: random.Random) -> None:
    _any(client, rng).delete_many({"a": rng.randrange(20)})


def _create(client: Client, rng: random.Random) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"validator": {"a": {"$gte": rng.randrange(3)}}, "validationAction": "warn"},
        {"collation": Collation("en", strength=2)},
        {"capped": True, "size": 100_000},
    ]
    database = client[rng.choice(DATABASES)]
    database.create_collection(rng.choice(_NAMES), **rng.choice(options))


def _drop(client: Client, rng: random.Random) -> None:
    _any(client, rng).drop()


def _drop_database(client: Client, rng: random.Random) -> None:
    client.drop_database(DATABASES[1])


def _rename(client: Client, rng: random.Random) -> None:
    _any(client, rng).rename(rng.choice(_NAMES), dropTarget=rng.random() < 0.5)


def _rename_across(client: Client, rng: random.Random) -> None:
    source, target = rng.sample(DATABASES, 2)
    client.admin.command(
        "renameCollection",
        f"{source}.{rng.choice(_NAMES)}",
        to=f"{target}.{rng.choice(_NAMES)}",
        dropTarget=True,
    )


def _create_index(client: Client, rng: random.Random) -> None:
    keys: list[tuple[str, Any]] = [("a", rng.choice([1, -1])), ("b", 1), ("c.d", "hashed")]
    key = rng.choice(keys)
    expiring = {"expireAfterSeconds": _MOST + rng.randrange(_MOST)} if key[0] == "b" else {}
    _any(client, rng).create_index([key], **expiring)


def _drop_index(client: Client, rng: random.Random) -> None:
    _any(client, rng).drop_index(rng.choice(["a_1", "a_-1", "b_1", "c.d_hashed"]))


def _modify(client: Client, rng: random.Random) -> None:
    database, name = client[rng.choice(DATABASES)], rng.choice(_NAMES)
    changes: list[dict[str, Any]] = [
        {"validator": {"a": {"$gte": -rng.randrange(9)}}},
        {"validationLevel": rng.choice(["moderate", "strict"])},
        {"index": {"name": "b_1", "expireAfterSeconds": 1000 + rng.randrange(1000)}},
        {"index": {"name": "a_1", "hidden": rng.random() < 0.5}},
    ]
    database.command("collMod", name, **rng.choice(changes))


def _out(client: Client, rng: random.Random) -> None:
    stage = {"$out": {"db": rng.choice(DATABASES), "coll": rng.choice(_NAMES)}}
    _any(client, rng).aggregate([{"$match": {"a": {"$lt": 5}}}, stage])


def _view(client: Client, rng: random.Random) -> None:
    database = client[rng.choice(DATABASES)]
    database.drop_collection("view")
    database.create_collection("view", viewOn=rng.choice(_NAMES), pipeline=[])
