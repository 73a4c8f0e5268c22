"""Data of every kind that a backup must bring back unchanged."""

from datetime import UTC, datetime, timedelta
from typing import Any

from bson.code import Code
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.raw_bson import RawBSONDocument
from pymongo import GEOSPHERE, HASHED, TEXT, IndexModel
from pymongo.collation import Collation
from pymongo.database import Database

from tests.system import raw_bson
from tests.system.raw_bson import plain, raw
from tests.testbed.clients import Client, Document

_NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
# Years from now: nothing expires while a test looks at it.
_LONG_S = 1_000_000_000

ODD_COLLECTION_NAMES = (
    "a.b.c", "with space", " around ", "quote'quote", 'double"quote', "percent%", "%2F", "%252f",
    "slash/slash", "/", "back\\slash", "a..b", "dot at end.", "\x01", "star*", "question?", "hash#",
    "<>|:", "a+b&c=d", "tilde~", "new\nline", "tab\t", "Case", "case", "CASE", "日本語", "emoji 🌍",
    "caf\u00e9", "cafe\u0301", "-dash", "system", "bucket{}", "[0]", "@at", "!,;`^", "CON",
    "nul.bson",
)  # fmt: skip
ODD_DATABASE_NAMES = ("dash-ed", "per%cent", "日本", "hash#", "a+b", "x" * 63)


def build(client: Client) -> None:
    """Put everything but the bulk into a replica set that has none of it."""
    _values(client["values"])
    _kinds(client["kinds"])
    _time_series(client["series"])
    _views(client["views"])
    _rules(client["rules"])
    _indexes(client["indexes"])
    _names(client)
    _javascript(client["javascript"])
    users_and_roles(client)


def users_and_roles(client: Client) -> None:
    """Make users and custom roles of all shapes."""
    admin, views = client["admin"], client["views"]
    views.command(
        "createRole",
        "reader of one",
        privileges=[
            {"resource": {"db": "views", "collection": "base"}, "actions": ["find"]},
            {"resource": {"db": "views", "collection": ""}, "actions": ["collStats", "indexStats"]},
        ],
        roles=["read"],
    )
    admin.command(
        "createRole",
        "watcher",
        privileges=[{"resource": {"cluster": True}, "actions": ["serverStatus"]}],
        roles=[{"role": "reader of one", "db": "views"}],
        authenticationRestrictions=[{"clientSource": ["127.0.0.1", "10.0.0.0/8"]}],
    )
    admin.command("createUser", "watcher", pwd="secret of watcher", roles=["watcher"])
    views.command(
        "createUser",
        "clerk@example",
        pwd="secret of clerk",
        roles=[{"role": "reader of one", "db": "views"}, "readWrite"],
        customData={"number": Int64(7), "since": _NOW},
        mechanisms=["SCRAM-SHA-256"],
        authenticationRestrictions=[{"serverAddress": ["127.0.0.1"]}],
    )
    views.command("createUser", "old", pwd="secret of old", roles=[], mechanisms=["SCRAM-SHA-1"])


def damage(client: Client) -> None:
    """Lose something of every kind: documents, order, collections, options, indexes, users."""
    values, kinds = client["values"], client["kinds"]
    values["types"].delete_many({})
    values["ids"].update_many({}, {"$set": {"n": -1}})
    values.drop_collection("only_by_apply_ops")
    values["new"].insert_one({"not": "in the backup"})
    kinds["capped"].insert_many([{"n": n} for n in range(5000)])
    kinds.drop_collection("clustered")
    kinds["clustered"].insert_one({"now": "of another kind"})
    kinds.command("collMod", "pre_images", changeStreamPreAndPostImages={"enabled": False})
    client["series"].drop_collection("weather")
    client["series"].drop_collection("expiring")
    client["series"]["expiring"].insert_one({"now": "a collection"})
    client["views"].drop_collection("view")
    client["views"]["view"].insert_one({"now": "a collection"})
    client["views"].command("collMod", "view on view", viewOn="base", pipeline=[])
    client["views"].create_collection("a new view", viewOn="base")
    client["rules"].command("collMod", "strict", validator={})
    client["indexes"]["every"].drop_indexes()
    client["indexes"]["every"].create_index("new")
    client.drop_database("names")
    client.drop_database("x" * 63)
    client["javascript"]["system.js"].delete_many({})
    client["views"].command("dropUser", "clerk@example")
    client["views"].command("updateRole", "reader of one", privileges=[])
    client["admin"].command("createUser", "intruder", pwd="x", roles=["root"])


def _values(values: Database[Document]) -> None:
    values["types"].insert_many(raw_bson.of_every_type(), ordered=False)
    values["field_names"].insert_many(raw_bson.of_odd_names(), ordered=False)
    values["ids"].insert_many(raw_bson.with_id_of_every_type(), ordered=False)
    values.create_collection("only_by_apply_ops")
    for document in (*raw_bson.with_refused_id(), *raw_bson.with_empty_timestamp()):
        put_verbatim(values, "only_by_apply_ops", document)
    sizes = (100, 1000, 65_536, 2**20, 2**23, raw_bson.LARGEST_BYTES - 1, raw_bson.LARGEST_BYTES)
    values["sizes"].insert_many([raw_bson.of_size(size, size) for size in sizes], ordered=False)
    values["smallest"].insert_many(
        [raw(plain("_id", None)), raw(plain("_id", 1), plain("", True))], ordered=False
    )
    values.create_collection("empty")
    deep: Any = 1
    for _ in range(90):
        deep = {"a": deep}
    values["deep"].insert_one({"_id": 1, "v": deep})


def put_verbatim(database: Database[Document], name: str, document: RawBSONDocument) -> None:
    """Insert a document that every other way in would refuse or rewrite."""
    operation = {"op": "i", "ns": f"{database.name}.{name}", "o": document}
    done = database.client.admin.command({"applyOps": [operation], "allowAtomic": False})
    assert [True] == done["results"]


def _kinds(kinds: Database[Document]) -> None:
    kinds.create_collection("capped", capped=True, size=1_000_000)
    # Natural order is neither that of `_id` nor its reverse.
    kinds["capped"].insert_many([{"_id": (n * 7919) % 1000, "n": n} for n in range(1000)])
    kinds.create_collection("capped_full", capped=True, size=16_384, max=50)
    kinds["capped_full"].insert_many([{"_id": f"{n * 31 % 997}", "n": n} for n in range(900)])
    kinds["capped_full"].create_index("n")
    kinds.create_collection("capped_empty", capped=True, size=256)
    kinds.create_collection(
        "clustered", clusteredIndex={"key": {"_id": 1}, "unique": True, "name": "the cluster"}
    )
    kinds["clustered"].insert_many([{"_id": ObjectId(), "n": n} for n in range(500)])
    kinds["clustered"].insert_many([{"_id": MinKey()}, {"_id": MaxKey()}, {"_id": "a"}])
    kinds["clustered"].create_index("n")
    kinds.create_collection(
        "clustered_expiring",
        clusteredIndex={"key": {"_id": 1}, "unique": True},
        expireAfterSeconds=_LONG_S,
    )
    kinds["clustered_expiring"].insert_many([{"_id": _NOW + timedelta(days=n)} for n in range(100)])
    kinds.create_collection("pre_images", changeStreamPreAndPostImages={"enabled": True})
    kinds["pre_images"].insert_many([{"_id": n} for n in range(10)])
    kinds["pre_images"].update_many({}, {"$set": {"a": 1}})
    kinds.create_collection(
        "zlib", storageEngine={"wiredTiger": {"configString": "block_compressor=zlib"}}
    )
    kinds["zlib"].insert_one({"_id": 1})
    kinds.create_collection(
        "index_defaults",
        indexOptionDefaults={
            "storageEngine": {"wiredTiger": {"configString": "prefix_compression=false"}}
        },
    )
    kinds["index_defaults"].create_index("a")


def _time_series(series: Database[Document]) -> None:
    options: dict[str, Document] = {
        "weather": {"timeField": "at", "metaField": "sensor", "granularity": "minutes"},
        "no meta": {"timeField": "at"},
        "empty": {"timeField": "at", "granularity": "hours"},
        "expiring": {"timeField": "at", "metaField": "m"},
    }
    for name, each in options.items():
        extra: dict[str, Any] = {"expireAfterSeconds": _LONG_S} if name == "expiring" else {}
        series.create_collection(name, timeseries=each, **extra)
    for name in ("weather", "no meta", "expiring"):
        series[name].insert_many([
            {
                "at": _NOW + timedelta(seconds=n * 37),
                "sensor": {"id": n % 5},
                "m": n % 3,
                # The type changes on the way: a bucket with a mixed schema.
                "value": n if n % 100 else f"{n}",
                "other": [-0.0, n],
            }
            for n in range(2000)
        ])
    series["weather"].delete_many({"sensor.id": 3})
    series["weather"].update_many({"sensor.id": 4}, {"$set": {"sensor.room": "attic"}})
    series["weather"].create_index([("sensor.id", 1), ("at", -1)])
    series["weather"].create_index([("at", 1)], name="by time", hidden=True)


def _views(views: Database[Document]) -> None:
    views["base"].insert_many([{"_id": n, "name": name} for n, name in enumerate("aBcDé")])
    views.create_collection("view", viewOn="base", pipeline=[{"$match": {"_id": {"$gt": 1}}}])
    views.create_collection("view on view", viewOn="view", pipeline=[{"$project": {"name": 1}}])
    views.create_collection(
        "view with collation",
        viewOn="base",
        pipeline=[{"$match": {"name": "b"}}],
        collation={"locale": "en", "strength": 2},
    )
    views.create_collection("view on nothing", viewOn="not there", pipeline=[])
    views.create_collection("series", timeseries={"timeField": "at"})
    views["series"].insert_one({"at": _NOW, "n": 1})
    views.create_collection(
        "view on series", viewOn="series", pipeline=[{"$set": {"double": {"$add": ["$n", "$n"]}}}]
    )


def _rules(rules: Database[Document]) -> None:
    levels: dict[str, dict[str, Any]] = {
        "strict": {},
        "moderate": {"validationLevel": "moderate", "validationAction": "warn"},
    }
    for name, extra in levels.items():
        rules.create_collection(
            name, validator={"$jsonSchema": {"required": ["a"], "bsonType": "object"}}, **extra
        )
        rules[name].insert_one({"_id": 1, "a": 1})
        rules[name].insert_one({"_id": "breaks the rule"}, bypass_document_validation=True)
    rules.create_collection("by_query", validator={"$or": [{"a": {"$type": "int"}}, {"b": 1}]})
    folded = Collation("de", strength=2, numericOrdering=True)
    rules.create_collection("collated", collation=folded)
    rules["collated"].insert_many([{"_id": name} for name in ("a", "b", "10", "9", "ä")])
    rules["collated"].create_index("inherits")
    rules["collated"].create_index("simple", collation={"locale": "simple"})
    rules["collated"].create_index("other", collation=Collation("fr", backwards=True))
    rules["plain"].create_index("a", name="collated index", collation=folded, unique=True)
    rules["plain"].insert_one({"a": "x"})


def _indexes(indexes: Database[Document]) -> None:
    every = indexes["every"]
    every.insert_many([
        {
            "_id": n,
            "a": n,
            "b": [n, n + 1],
            "text": f"word{n} and",
            "place": {"type": "Point", "coordinates": [n % 180, n % 90]},
            "flat": [n % 100, 1],
            "at": _NOW,
            "unique": n,
            "nested": {"x": {"y": n}},
        }
        for n in range(200)
    ])
    every.create_indexes([
        IndexModel("unique", unique=True),
        IndexModel("sparse", sparse=True),
        IndexModel("sparse_unique", sparse=True, unique=True),
        IndexModel("a", partialFilterExpression={"a": {"$gt": 5}, "b": {"$exists": True}}),
        IndexModel("at", expireAfterSeconds=_LONG_S),
        IndexModel(
            [("text", TEXT), ("more.title", TEXT)],
            weights={"text": 10},
            default_language="german",
            language_override="idioma",
        ),
        IndexModel([("place", GEOSPHERE), ("a", 1)]),
        IndexModel([("flat", "2d")], min=-200, max=200, bits=20),
        IndexModel([("$**", 1)], wildcardProjection={"nested": 1, "b": 1}),
        IndexModel([("nested.$**", 1)]),
        IndexModel([("a", HASHED)]),
        IndexModel([("_id", HASHED)]),
        IndexModel([("a", 1), ("h", HASHED)]),
        IndexModel("hidden", hidden=True),
        IndexModel([("a", 1), ("b", -1), ("nested.x.y", 1)], name="compound and multikey"),
        IndexModel("collated", collation=Collation("en", strength=1)),
        IndexModel([("a", -1)], name='odd name: "a/b.c" %'),
        IndexModel("stored", storageEngine={"wiredTiger": {"configString": ""}}),
    ])
    # The driver itself refuses such key patterns.
    odd_keys = {"float": 1.0, "minus": -1.5, "long": Int64(1), "large": 7}
    indexes.command("createIndexes", "every", indexes=[{"key": odd_keys, "name": "float keys"}])
    indexes["bare"].create_index("unused", unique=True)
    # A prepared uniqueness, and an index that was turned into one that expires.
    indexes["changed"].create_index("a", name="changed")
    indexes.command("collMod", "changed", index={"name": "changed", "prepareUnique": True})
    indexes["changed"].create_index("at")
    indexes.command(
        "collMod", "changed", index={"keyPattern": {"at": 1}, "expireAfterSeconds": _LONG_S}
    )


def _names(client: Client) -> None:
    names = client["names"]
    longest = "l" * (255 - len("names."))
    for number, name in enumerate((*ODD_COLLECTION_NAMES, longest, "ü" * (len(longest) // 2))):
        # By commands, because the driver refuses some names that the server takes.
        names.command("insert", name, documents=[{"_id": number, "name": name}])
        names.command("createIndexes", name, indexes=[{"key": {"name": 1}, "name": "name_1"}])
    for name in ODD_DATABASE_NAMES:
        collection = client[name]["c" * (255 - len(name.encode()) - 1)]
        collection.insert_one({"_id": name})


def _javascript(javascript: Database[Document]) -> None:
    javascript["system.js"].insert_one({"_id": "double", "value": Code("function(x){return x*2}")})
    javascript["other"].insert_one({"_id": 1})
