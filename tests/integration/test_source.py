"""The replica set as a source: notes, catalogue, sizes and bounds."""

import secrets
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import bson
import pytest
from bson import Binary, Int64, MaxKey, Regex
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from agent.codec import documents
from agent.codec.elements import find
from agent.core.errors import TransientError
from agent.core.flow import Stop
from agent.model.catalogue import Collection, Size, Traits
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace
from agent.mongo.connect import Client, open_cluster
from agent.mongo.source import MongoClusterSource
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually


def _open(replica_set: ReplicaSet) -> Client:
    hosts = [node.address for node in replica_set.data_nodes()]
    return open_cluster(f"mongodb://{hosts[0]}/", hosts, replica_set.spec.name)


def _source(client: Client) -> MongoClusterSource:
    return MongoClusterSource(client, control_database="backstay", stop=Stop())


@pytest.fixture
def source(replica_set: ReplicaSet) -> Iterator[MongoClusterSource]:
    """The shared replica set of 6.0."""
    with closing(_open(replica_set)) as client:
        yield _source(client)


@pytest.fixture
def user(replica_set: ReplicaSet) -> Any:
    """A client such as users have."""
    return replica_set.client()


def _by_name(source: MongoClusterSource) -> dict[str, Collection]:
    return {str(each.namespace): each for each in source.collections()}


def _names(collection: Collection) -> list[object]:
    return [documents.field(index, "name") for index in collection.indexes]


def test_identity(replica_set: ReplicaSet, source: MongoClusterSource, user: Any) -> None:
    """Name, id, version and feature compatibility are the server's own."""
    config = user.admin.command("replSetGetConfig")["config"]
    identity = source.identity()
    assert replica_set.spec.name == identity.replset
    assert str(config["settings"]["replicaSetId"]) == identity.replset_id
    assert user.server_info()["version"] == identity.server_version
    assert "6.0" == identity.feature_compatibility


def test_a_note_comes_after_everything_acknowledged(
    source: MongoClusterSource, replica_set: ReplicaSet
) -> None:
    """Whatever any client had an answer for before the call is at or before the note's time."""
    done = threading.Event()
    latest = [ClusterTime(0, 0)] * 4

    def write(number: int) -> None:
        writer = replica_set.client()
        with writer.start_session() as session:
            while not done.is_set():
                writer.shop.notes.insert_one({}, session=session)
                time_ = session.operation_time
                assert time_ is not None
                latest[number] = ClusterTime(time_.time, time_.inc)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: all(each.seconds for each in latest))
        before = ClusterTime(0, 0)
        for _ in range(50):
            acknowledged = max(latest)
            note = source.write_note("test")
            assert acknowledged < note
            assert before < note
            before = note
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_note_is_an_entry_that_a_majority_has(
    source: MongoClusterSource, replica_set: ReplicaSet
) -> None:
    """The returned time is that of the note's own entry, and most members have applied it."""
    for _ in range(5):
        reason = secrets.token_hex(4)
        note = source.write_note(reason)
        found = 0
        for node in replica_set.nodes:
            entry = (
                node
                .client()
                .local["oplog.rs"]
                .find_one({"ts": documents.timestamp(note)}, {"o": 1, "op": 1})
            )
            found += entry is not None and entry["o"] == {"backstay": reason}
        assert found >= 2


def test_a_note_without_a_majority_is_not_taken(replica_set: ReplicaSet) -> None:
    """A note that no majority has in time is no cluster time: the caller tries again."""
    with closing(_open(replica_set)) as client:
        hurried = MongoClusterSource(
            client, control_database="backstay", stop=Stop(), note_wait_ms=500
        )
        _source(client).write_note("before")
        mode = {"configureFailPoint": "stopReplProducer", "mode": "alwaysOn"}
        stuck = replica_set.secondaries()
        for node in stuck:
            node.client().admin.command(mode)
        try:
            with pytest.raises(TransientError) as caught:
                hurried.write_note("lost")
            assert "note_not_committed" == caught.value.code
        finally:
            for node in stuck:
                node.client().admin.command({**mode, "mode": "off"})
        _source(client).write_note("after")


def test_kinds_and_traits(source: MongoClusterSource, user: Any) -> None:
    """Every kind of collection is told from the others, with what the rules need."""
    shop = user.shop
    shop.plain.insert_one({})
    shop.create_collection("capped", capped=True, size=4096)
    shop.create_collection(
        "clustered", clusteredIndex={"key": {"_id": 1}, "unique": True}, expireAfterSeconds=99
    )
    shop.create_collection("collated", collation={"locale": "de"})
    shop.create_collection("view", viewOn="plain", pipeline=[{"$match": {"a": 1}}])
    shop.create_collection("weather", timeseries={"timeField": "t"}, expireAfterSeconds=77)
    shop["system.js"].insert_one({"_id": "f", "value": 1})
    found = _by_name(source)
    assert [
        "shop.capped",
        "shop.clustered",
        "shop.collated",
        "shop.plain",
        "shop.system.buckets.weather",
        "shop.system.js",
        "shop.system.views",
        "shop.view",
        "shop.weather",
    ] == [name for name in found if name.startswith("shop.")]
    assert ["shop.view", "shop.weather"] == [
        name for name, each in found.items() if each.kind != "collection"
    ]
    assert ("view", "plain", b"") == (
        found["shop.view"].kind,
        found["shop.view"].traits.view_on,
        found["shop.view"].uuid,
    )
    assert ("timeseries", b"", 77) == (
        found["shop.weather"].kind,
        found["shop.weather"].uuid,
        found["shop.weather"].traits.ttl_s,
    )
    buckets = found["shop.system.buckets.weather"].traits
    assert (True, 77) == (buckets.is_clustered, buckets.ttl_s)
    clustered = found["shop.clustered"].traits
    assert (True, 99, False) == (clustered.is_clustered, clustered.ttl_s, clustered.is_capped)
    assert found["shop.capped"].traits.is_capped
    assert found["shop.collated"].traits.has_collation
    assert not found["shop.plain"].traits.has_collation
    assert all(len(each.uuid) == 16 for each in found.values() if each.has_data)


def test_options_and_indexes_are_verbatim(source: MongoClusterSource, user: Any) -> None:
    """Every option stands as the server lists it, in its order and with its types."""
    shop = user.shop
    shop.create_collection(
        "things",
        validator={"a": {"$regex": Regex("^x", "i")}, "b": {"$gt": Int64(5)}},
        changeStreamPreAndPostImages={"enabled": True},
    )
    shop.command(
        "createIndexes",
        "things",
        indexes=[
            {"key": {"a": 1.0, "b": -1}, "name": "odd", "unique": True, "sparse": True},
            {"key": {"t": 1}, "name": "ttl", "expireAfterSeconds": 3600, "hidden": True},
            {"key": {"$**": 1}, "name": "wild", "wildcardProjection": {"x": 0}},
            {"key": {"h": "hashed"}, "name": "hash"},
            {"key": {"p": 1}, "name": "part", "partialFilterExpression": {"p": {"$gt": 1}}},
        ],
    )
    found = _by_name(source)["shop.things"]
    raw = CodecOptions(document_class=RawBSONDocument)
    listed = shop.command("listIndexes", "things", codec_options=raw)["cursor"]["firstBatch"]
    assert tuple(bytes(each.raw) for each in listed) == found.indexes
    (options,) = shop.command("listCollections", filter={"name": "things"}, codec_options=raw)[
        "cursor"
    ]["firstBatch"]
    assert bytes(options["options"].raw) == found.options
    assert bytes(options["info"]["uuid"]) == found.uuid


def test_what_is_not_users_data_is_left_out(source: MongoClusterSource, user: Any) -> None:
    """Server databases, the control database, temporary and internal collections do not count."""
    user.backstay.commands.insert_one({})
    user.shop.create_collection("bstmp.1.0")
    user.shop.things.insert_one({})
    user.admin.command({
        "applyOps": [{"op": "c", "ns": "shop.$cmd", "o": {"create": "passing", "temp": True}}]
    })
    user.admin.command("createUser", "reader", pwd="secret", roles=["read"])
    names = list(_by_name(source))
    assert "passing" in user.shop.list_collection_names()
    assert ["admin.system.users", "shop.things"] == [
        name for name in names if name != "admin.system.roles"
    ]


def test_an_unfinished_index_is_left_out(
    source: MongoClusterSource, user: Any, replica_set: ReplicaSet
) -> None:
    """Trap 70: an index that is still being built looks finished unless one asks."""
    user.shop.things.insert_many([{"a": n} for n in range(10)])
    user.shop.things.create_index("done")
    admin = replica_set.primary().client().admin
    mode = {"configureFailPoint": "hangAfterStartingIndexBuild", "mode": "alwaysOn"}
    admin.command(mode)

    def build() -> None:
        user.shop.things.create_index("a")

    thread = threading.Thread(target=build)
    thread.start()
    try:
        eventually(lambda: "a_1" in user.shop.things.index_information())
        assert ["_id_", "done_1"] == _names(_by_name(source)["shop.things"])
    finally:
        admin.command({**mode, "mode": "off"})
        thread.join()
    assert ["_id_", "done_1", "a_1"] == _names(_by_name(source)["shop.things"])
    indexes = _by_name(source)["shop.things"].indexes
    assert all(find(each, b"spec") is None for each in indexes)


@pytest.mark.parametrize("count", [20, 300])
def test_a_listing_stands_while_collections_come_and_go(
    source: MongoClusterSource, user: Any, count: int
) -> None:
    """A collection dropped in the middle is left out, and the others have their own indexes."""
    for number in range(count):
        user.shop[f"kept{number:04d}"].create_index(f"k{number}")
    done = threading.Event()

    def churn() -> None:
        while not done.is_set():
            for number in range(10):
                user.shop.create_collection(f"passing{number}")
            for number in range(10):
                user.shop[f"passing{number}"].drop()

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(5):
            found = {
                name: each for name, each in _by_name(source).items() if name.startswith("shop.k")
            }
            expected = {
                f"shop.kept{number:04d}": ["_id_", f"k{number}_1"] for number in range(count)
            }
            assert expected == {name: _names(each) for name, each in found.items()}
    finally:
        done.set()
        thread.join()


def test_a_collection_is_located_by_uuid(source: MongoClusterSource, user: Any) -> None:
    """A rename is followed within the database; a drop, or a rename out of it, is not."""
    user.shop.things.insert_one({})
    uuid = _by_name(source)["shop.things"].uuid
    assert Namespace("shop", "things") == source.locate("shop", uuid)
    user.shop.things.rename("others")
    assert Namespace("shop", "others") == source.locate("shop", uuid)
    user.admin.command({"renameCollection": "shop.others", "to": "shop2.others"})
    assert source.locate("shop", uuid) is None
    assert source.locate("nowhere", uuid) is None


def test_sizes_are_estimated(source: MongoClusterSource, user: Any) -> None:
    """Documents and bytes of collections and buckets; nothing for views and what is gone."""
    document = {"_id": 1, "p": "x" * 100}
    user.shop.things.insert_many([{**document, "_id": n} for n in range(50)])
    user.shop.create_collection("view", viewOn="things", pipeline=[])
    found = _by_name(source)
    expected = Size(docs=50, bytes=50 * len(bson.encode(document)))
    assert expected == source.size(found["shop.things"])
    assert Size(docs=0, bytes=0) == source.size(found["shop.view"])
    user.shop.things.drop()
    assert Size(docs=0, bytes=0) == source.size(found["shop.things"])


def test_bounds_make_ranges_of_about_equal_size(source: MongoClusterSource, user: Any) -> None:
    """Bounds ascend, differ, and none of the parts is more than thrice as large as it should be."""
    user.shop.things.insert_many([{"_id": n, "p": "x" * 100} for n in range(10_000)])
    bounds = source.split(_by_name(source)["shop.things"], 5)
    values = [int(str(documents.field(each, "_id"))) for each in bounds]
    assert 4 == len(bounds)
    assert values == sorted(set(values))
    edges = [0, *values, 10_000]
    parts = [after - before for before, after in pairwise(edges)]
    assert max(parts) < 3 * 10_000 / 5


def test_bounds_of_mixed_ids_are_in_the_servers_order(
    source: MongoClusterSource, user: Any
) -> None:
    """Numbers, strings, binary and MaxKey sort as in the index; equal bounds appear once."""
    ids: list[object] = [*range(100), *map(str, range(100)), MaxKey()]
    ids += [Binary(bytes([n]), 0) for n in range(100)]
    user.shop.things.insert_many([{"_id": value} for value in ids])
    ordered = [bson.encode(each) for each in user.shop.things.find().sort("_id", 1)]
    for parts in (2, 7, 150):
        bounds = source.split(_by_name(source)["shop.things"], parts)
        places = [ordered.index(each) for each in bounds]
        assert places == sorted(set(places))
        assert 1 <= len(bounds) <= parts - 1
        assert bson.encode({"_id": MaxKey()}) not in bounds


def test_what_cannot_be_split(source: MongoClusterSource, user: Any) -> None:
    """Capped, empty, single and gone collections have no bounds."""
    user.shop.create_collection("capped", capped=True, size=100_000)
    user.shop.capped.insert_many([{"_id": n} for n in range(200)])
    user.shop.create_collection("empty")
    user.shop.single.insert_one({})
    user.shop.gone.insert_one({})
    found = _by_name(source)
    user.shop.gone.drop()
    for name in ("capped", "empty", "single", "gone"):
        assert () == source.split(found[f"shop.{name}"], 4)
    assert () == source.split(found["shop.single"], 1)


def test_a_prepared_transaction_is_found(source: MongoClusterSource, user: Any) -> None:
    """The oldest start of open prepared transactions; none when all are settled."""
    assert source.oldest_prepared() is None
    user.shop.things.insert_one({})
    begin = source.write_note("begin")
    session = user.start_session()
    session.start_transaction()
    user.shop.things.insert_one({"in": "transaction"}, session=session)
    user.admin.command({"prepareTransaction": 1}, session=session)
    try:
        found = source.oldest_prepared()
        assert found is not None
        assert begin < found
        assert found < source.write_note("after")
    finally:
        session.abort_transaction()
        session.end_session()
    assert source.oldest_prepared() is None


def test_without_a_primary_it_is_transient(replica_set: ReplicaSet) -> None:
    """Every question fails as one that may be asked again."""
    with closing(_open(replica_set)) as client:
        source = _source(client)
        source.identity()
        for node in replica_set.nodes[1:]:
            node.pause()
        primary = replica_set.nodes[0]
        primary.kill()
        for question in (
            source.collections,
            lambda: source.write_note("x"),
            lambda: source.size(_LOST),
        ):
            with pytest.raises(TransientError):
                question()


_LOST = Collection(
    namespace=Namespace("shop", "lost"),
    kind="collection",
    uuid=bytes(16),
    options=documents.EMPTY,
    indexes=(),
    traits=Traits(),
)


def test_a_5_0_server_is_a_source_alike() -> None:
    """The catalogue of 5.0 reads the same: kinds, clustered buckets, sizes, notes."""
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1, version="5.0")) as private,
        closing(_open(private)) as client,
    ):
        user, source = private.client(), _source(client)
        user.shop.create_collection("weather", timeseries={"timeField": "t"})
        user.shop.things.insert_many([{"_id": n} for n in range(1000)])
        found = _by_name(source)
        assert [
            "shop.system.buckets.weather",
            "shop.system.views",
            "shop.things",
            "shop.weather",
        ] == list(found)
        assert found["shop.system.buckets.weather"].traits.is_clustered
        assert ["_id_"] == _names(found["shop.things"])
        assert 1000 == source.size(found["shop.things"]).docs
        assert 3 == len(source.split(found["shop.things"], 4))
        assert "5.0" == source.identity().feature_compatibility
        assert source.write_note("a") < source.write_note("b")
        assert source.oldest_prepared() is None


def test_where_nobody_is_asked_who_he_is_nothing_is_lacking(source: MongoClusterSource) -> None:
    """Without users there are no privileges to look at, and everybody may do everything."""
    assert not source.lacks(["shop"], has_users=True)
