"""What happens to a source while its replay is tested."""

import datetime as dt
from contextlib import suppress
from typing import Any

import bson
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure
from pymongo.operations import IndexModel

from tests.testbed.clients import Client

BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def seed(client: Client) -> None:
    """Make what the other activities need: orders, customers, and a capped collection."""
    shop = client.shop
    shop.orders.insert_many(
        {"_id": i, "n": i, "items": [1, 2, 3], "at": {"x": 1}} for i in range(300)
    )
    shop.orders.create_index("n", name="by_n")
    shop.customers.insert_many({"_id": f"c{i}", "v": i} for i in range(100))
    shop.create_collection("recent", capped=True, size=4096, max=20)
    shop.recent.insert_many({"_id": i} for i in range(20))


def crud(client: Client) -> None:
    """Insert, update, replace and delete, with arrays, pipelines and retryable writes."""
    orders = client.shop.orders
    for i in range(0, 300, 3):
        orders.update_one({"_id": i}, {"$set": {"n": -i, "at.y": i}, "$push": {"items": i}})
        orders.update_one({"_id": i + 1}, {"$set": {"items.1": "x"}, "$unset": {"at": 1}})
        orders.replace_one({"_id": i + 2}, {"whole": i, "items": []})
    orders.update_many({"n": {"$lt": -100}}, [{"$set": {"n": {"$add": ["$n", 0.5]}}}])
    orders.delete_many({"n": {"$gt": 250}})
    orders.insert_many({"n": i} for i in range(200))
    orders.find_one_and_update({"_id": 3}, {"$set": {"image": 1}})
    orders.find_one_and_delete({"_id": 6})


def ids(client: Client) -> None:
    """Write under ids of many types, and under equal ones of different types."""
    ids = client.shop.ids
    for value in (5, "5", b"5", Binary(b"5", 2), {"a": 5}, {"a": {"b": [1]}}, None, True, BEGAN):
        ids.insert_one({"_id": value, "v": 1})
    for turn in range(50):
        for one, other in (
            (7, 7.0),
            (Int64(8), Decimal128("8.0")),
            (0.0, -0.0),
            ({"k": 1}, {"k": 1.0}),
            ({"k": {"l": Int64(2)}}, {"k": {"l": Decimal128("2")}}),
        ):
            ids.insert_one({"_id": one, "turn": turn})
            ids.delete_one({"_id": one})
            ids.insert_one({"_id": other, "turn": turn})
            if turn < 49:
                ids.delete_one({"_id": other})


def transactions(client: Client) -> None:
    """Commit small and large transactions, one that creates a collection; abort one."""
    orders, customers = client.shop.orders, client.shop.customers
    for turn in range(20):
        with client.start_session() as session, session.start_transaction():
            orders.insert_one({"_id": f"t{turn}", "n": 0}, session=session)
            orders.update_one({"_id": f"t{turn}"}, {"$inc": {"n": turn}}, session=session)
            customers.delete_one({"_id": f"c{turn}"}, session=session)
    with client.start_session() as session:
        session.start_transaction()
        orders.delete_many({}, session=session)
        session.abort_transaction()
    with client.start_session() as session, session.start_transaction():
        for i in range(20):
            customers.insert_one({"_id": f"big{i}", "p": "p" * 1_000_000}, session=session)
    with client.start_session() as session, session.start_transaction():
        client.shop.born.create_index("x", session=session)
        client.shop.born.insert_one({"_id": 1}, session=session)


def renames(client: Client) -> None:
    """Rename within and across databases, with and without a target that is dropped."""
    shop, admin = client.shop, client.admin
    shop.orders.rename("ordered")
    shop.orders.insert_one({"_id": "a new one"})
    shop.ordered.insert_one({"_id": "after the rename"})
    shop.customers.rename("orders", dropTarget=True)
    admin.command("renameCollection", "shop.ordered", to="store.orders")
    client.store.orders.insert_one({"_id": "elsewhere"})
    client.store.other.insert_one({"_id": 1})
    admin.command("renameCollection", "store.orders", to="shop.orders", dropTarget=True)
    shop.orders.rename("x")
    shop.x.rename("orders")


def out_and_capped(client: Client) -> None:
    """Run $out, convertToCapped and emptycapped, and let capped collections overflow."""
    shop = client.shop
    for _ in range(2):
        shop.orders.aggregate([{"$match": {"n": {"$lt": 50}}}, {"$out": "few"}])
    shop.orders.aggregate([{"$limit": 5}, {"$out": {"db": "store", "coll": "five"}}])
    shop.few.insert_one({"_id": "later"})
    shop.command("convertToCapped", "customers", size=100_000)
    shop.customers.insert_many({"_id": f"more{i}"} for i in range(10))
    shop.recent.insert_many({"_id": i} for i in range(20, 75))
    shop.create_collection("small", capped=True, size=4096, max=3)
    shop.small.insert_many({"_id": i} for i in (3, 1, 2, 0, 9, 5))
    shop.create_collection("emptied", capped=True, size=4096)
    shop.emptied.insert_one({"_id": 1})
    shop.command("emptycapped", "emptied")
    shop.emptied.insert_one({"_id": 2})


def options(client: Client) -> None:
    """Change options, and use collations, clustered collections, views and JavaScript."""
    shop = client.shop
    shop.command("collMod", "orders", validator={"n": {"$gt": -1}}, validationLevel="moderate")
    shop.command("collMod", "orders", changeStreamPreAndPostImages={"enabled": True})
    # Validation is for clients: an old document that breaks it is still replayed.
    shop.get_collection("orders").insert_one(
        {"_id": "bad", "n": -5}, bypass_document_validation=True
    )
    shop.create_collection("words", collation={"locale": "en", "strength": 1})
    for turn in range(10):
        shop.words.insert_one({"_id": "Word", "turn": turn})
        shop.words.delete_one({"_id": "wORD"})
        shop.words.insert_one({"_id": "word", "turn": turn})
        shop.words.update_one({"_id": "WORD"}, {"$set": {"u": turn}})
        if turn < 9:
            shop.words.delete_one({"_id": "WorD"})
    shop.create_collection(
        "clustered", clusteredIndex={"key": {"_id": 1}, "unique": True}, expireAfterSeconds=10**8
    )
    shop.clustered.insert_one({"_id": BEGAN})
    shop.command("collMod", "clustered", expireAfterSeconds=10**7)
    shop.create_collection("view", viewOn="orders", pipeline=[{"$match": {"n": 1}}])
    shop.command("collMod", "view", viewOn="orders", pipeline=[])
    shop.create_collection("gone", viewOn="orders", pipeline=[])
    shop.drop_collection("gone")
    shop["system.js"].insert_one({"_id": "f", "value": "return 1"})
    shop.command("collMod", "recent", cappedSize=8192, cappedMax=30)
    shop.recent.insert_many({"_id": i} for i in range(100, 150))
    shop.command("collMod", "recent", cappedMax=5)
    shop.recent.insert_one({"_id": 150})


def time_series(client: Client) -> None:
    """Fill, change and thin out a time series."""
    shop = client.shop
    shop.create_collection(
        "weather", timeseries={"timeField": "t", "metaField": "m"}, expireAfterSeconds=10**9
    )
    for i in range(300):
        at = BEGAN + dt.timedelta(minutes=i)
        shop.weather.insert_one({"t": at, "m": i % 3, "v": i, "text": f"t{i}"})
    shop.weather.create_index([("m", 1), ("t", 1)])
    shop.command("collMod", "weather", timeseries={"granularity": "minutes"})
    shop.command("collMod", "weather", expireAfterSeconds="off")
    shop.weather.delete_many({"m": 1})


def indexes(client: Client) -> None:
    """Create, change and drop indexes in every way that the oplog knows."""
    shop = client.shop
    orders = shop.orders
    orders.create_indexes([
        IndexModel("a", name="a", unique=True, sparse=True),
        IndexModel([("b", 1), ("c", -1)], name="bc", partialFilterExpression={"b": 1}),
        IndexModel("d", name="d", expireAfterSeconds=10**8),
        IndexModel([("e", "hashed")], name="e"),
        IndexModel([("$**", 1)], name="wild"),
        IndexModel([("f", "text")], name="f", default_language="german"),
        IndexModel([("_id", "hashed")], name="hashed_id"),
        IndexModel("g", name="g", collation={"locale": "de"}),
        IndexModel("h", name="h", hidden=True),
        IndexModel("i", name="i"),
        IndexModel([("j", 1), ("k", 1)], name="jk"),
    ])
    shop.command("collMod", "orders", index={"name": "d", "expireAfterSeconds": 10**7})
    shop.command("collMod", "orders", index={"keyPattern": {"i": 1}, "expireAfterSeconds": 10**8})
    shop.command("collMod", "orders", index={"name": "h", "hidden": False})
    shop.command("collMod", "orders", index={"name": "wild", "hidden": True})
    shop.command("collMod", "orders", index={"name": "jk", "prepareUnique": True})
    shop.fresh.create_indexes([IndexModel("u", name="u"), IndexModel("v", name="v")])
    shop.command("collMod", "fresh", index={"name": "u", "prepareUnique": True})
    shop.command("collMod", "fresh", index={"name": "u", "unique": True})
    shop.command("collMod", "fresh", index={"name": "v", "prepareUnique": True})
    shop.command("collMod", "fresh", index={"name": "v", "prepareUnique": False})
    orders.drop_index("by_n")
    shop.command({"dropIndexes": "orders", "index": {"b": 1, "c": -1}})
    shop.command({"dropIndexes": "orders", "index": ["e", "g"]})
    shop.customers.create_index("v")
    shop.customers.drop_indexes()
    shop.customers.create_index("w")


def of_operators(client: Client) -> None:
    """Do what people and tools do to a cluster now and then."""
    shop = client.shop
    missing = {"op": "u", "ns": "shop.orders", "o": {"$v": 2, "diff": {"i": {"z": 1}}}}
    inserted = {"op": "i", "ns": "shop.orders", "o": {"_id": "by a tool"}}
    for number, extra in enumerate(({}, {"allowAtomic": False})):
        # By default servers before 6.2 make up a document that an update misses.
        update = {**missing, "o2": {"_id": f"missing {number}"}}
        client.admin.command({"applyOps": [update, inserted], **extra})
    nested = {"op": "c", "ns": "admin.$cmd", "o": {"applyOps": [inserted]}}
    client.admin.command({"applyOps": [nested]})
    index = {"v": 2, "key": {"_id": 1}, "name": "_id_"}
    definition = {"create": "by_tool", "capped": True, "size": 4096, "idIndex": index}
    create = {"op": "c", "ns": "shop.$cmd", "o": definition}
    filled = {"op": "i", "ns": "shop.by_tool", "o": {"_id": 1}}
    client.admin.command({"applyOps": [create, filled]})
    shop.command({"dbCheck": "orders"})
    shop.customers.aggregate([{"$merge": {"into": "merged"}}])
    shop.merged.aggregate([{"$project": {"w": 1}}, {"$merge": {"into": "merged"}}])
    with suppress(OperationFailure):
        shop.orders.create_index("items", name="fails", unique=True)
    with suppress(OperationFailure):
        shop.orders.insert_many([{"_id": "first"}, {"_id": "first"}, {"_id": "never"}])
    shop.orders.find_one_and_update({"_id": "new"}, {"$set": {"x": 1}}, upsert=True)
    shop.orders.find_one_and_replace({"_id": "new"}, {"y": 1})


def drops(client: Client) -> None:
    """Drop collections and a database, and create some of the same names."""
    client.shop.drop_collection("customers")
    client.shop.customers.insert_one({"_id": "born again"})
    client.brief.a.insert_one({"_id": 1})
    client.drop_database("brief")
    client.brief.b.insert_one({"_id": 2})
    client.shop.drop_collection("recent")


def odd_documents(client: Client) -> None:
    """Write documents that servers like to change on their way."""
    zero = Timestamp(0, 0)

    def send(operations: list[dict[str, Any]]) -> None:
        client.admin.command({"applyOps": operations, "allowAtomic": False})

    client.shop.create_collection("odd")
    send([{"op": "i", "ns": "shop.odd", "o": {"_id": 1, "t": zero, "v": Int64(0)}}])
    send([{"op": "i", "ns": "shop.odd", "o": {"_id": [1, 2], "v": 1}}])
    doubled = RawBSONDocument(
        _raw(bson.encode({"_id": 3, "x": 1}), bson.encode({"x": 2, "_id": 4}))
    )
    send([{"op": "i", "ns": "shop.odd", "o": doubled}])
    send([{"op": "i", "ns": "shop.odd", "o": {"v": 1, "_id": "last"}}])
    odd = client.shop.odd
    odd.update_one({"_id": 1}, {"$set": {"w": 1}})
    odd.insert_one({"_id": 2})
    odd.update_one({"_id": 2}, [{"$replaceWith": {"$literal": {"_id": 2, "t": zero, "a": 1}}}])
    odd.insert_one({"_id": "large", "p": "p" * (15 * 1024 * 1024)})
    odd.update_one({"_id": "large"}, {"$set": {"q": 1}})
    odd.insert_one({"_id": "deep", "d": _nested(150)})


def _raw(*documents: bytes) -> bytes:
    inner = b"".join(document[4:-1] for document in documents)
    return (len(inner) + 5).to_bytes(4, "little") + inner + b"\x00"


def _nested(levels: int) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for _ in range(levels):
        document = {"d": document}
    return document
