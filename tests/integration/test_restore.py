"""Restores on real replica sets: equal to the original, or as if nothing had happened."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from bson.timestamp import Timestamp
from pymongo import IndexModel
from pymongo.errors import OperationFailure, PyMongoError

from agent.core.errors import LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Stop, WorkerGroup
from agent.model.manifest import Manifest, Window
from agent.model.names import Namespace
from agent.mongo.switch import MongoSwitch
from agent.mongo.target import MongoTarget
from agent.ports import CANCELED
from tests.integration.restoring import Desk, drop_all, raw_documents, temporaries
from tests.testbed.clients import Client
from tests.testbed.hashes import Contents, contents, differences
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

NOW = datetime(2020, 1, 1, tzinfo=UTC)
FAR_S = 360_000_000


def fill(client: Client, *, clustered: bool = True) -> None:
    """Create something of every kind."""
    shop = client.shop
    shop.orders.insert_many([{"_id": n, "a": n % 7, "s": "x" * 100} for n in range(5000)])
    shop.orders.create_indexes([
        IndexModel([("a", 1), ("s", -1)], name="compound", hidden=True),
        IndexModel([("s", 1)], name="partial", partialFilterExpression={"a": {"$gt": 3}}),
        IndexModel([("t", "text"), ("u", "text")], name="words", weights={"t": 5}),
        IndexModel([("$**", 1)], name="wild", wildcardProjection={"s": 0}),
        IndexModel([("_id", "hashed")], name="hashed"),
        IndexModel([("p", "2dsphere")], name="places", sparse=True),
    ])
    float_key = {"key": {"k": 1.0}, "name": "float_key"}
    shop.command({"createIndexes": "orders", "indexes": [float_key]})
    shop.create_collection("log", capped=True, size=100_000, max=50)
    shop.log.insert_many([{"_id": 100 - n} for n in range(80)])
    shop.create_collection("names", collation={"locale": "de"})
    shop.names.create_index("x", name="inherited")
    shop.names.create_index("y", name="simple", collation={"locale": "simple"}, unique=True)
    shop.names.insert_many([{"x": "a", "y": "a"}, {"x": "A", "y": "A"}])
    shop.create_collection("empty")
    shop.create_collection("strict", validator={"a": {"$gt": 5}})
    document = {"_id": 1, "a": 1, "t": {"z": Timestamp(0, 0)}}
    shop.command({"insert": "strict", "documents": [document], "bypassDocumentValidation": True})
    shop.create_collection("m", timeseries={"timeField": "t", "metaField": "x"})
    shop.create_collection("ttl_m", timeseries={"timeField": "t"}, expireAfterSeconds=FAR_S)
    for name in ("m", "ttl_m"):
        shop[name].insert_many([{"t": NOW, "x": n % 3, "v": n} for n in range(20)])
    shop.command({"createIndexes": "m", "indexes": [{"key": {"x": 1, "t": 1}, "name": "xt"}]})
    shop.command({"create": "v1", "viewOn": "orders", "pipeline": [{"$match": {"a": 3}}]})
    shop.command({"create": "v2", "viewOn": "v1", "pipeline": [{"$project": {"s": 1}}]})
    shop.command({"create": "v3", "viewOn": "m", "pipeline": [{"$match": {"x": 1}}]})
    french = {"locale": "fr"}
    shop.command({"create": "v4", "viewOn": "empty", "pipeline": [], "collation": french})
    shop.ttl.insert_one({"d": datetime(2050, 1, 1, tzinfo=UTC)})
    shop.ttl.create_index("d", expireAfterSeconds=3600)
    shop["system.js"].insert_one({"_id": "f", "value": bson.Code("function(){}")})
    client.other["dots.and space'%/ü"].insert_one({"_id": {"a": 1}})
    client.other["x" * 249].insert_one({"_id": 1})
    if clustered:
        index = {"key": {"_id": 1}, "unique": True}
        shop.create_collection("clustered", clusteredIndex=index, expireAfterSeconds=FAR_S)
        shop.clustered.insert_many([{"_id": n} for n in range(100)])
        images = {"enabled": True}
        shop.create_collection("images", changeStreamPreAndPostImages=images)


def fill_some(client: Client) -> None:
    """Create what the ways of a restore differ for, and little of it."""
    shop = client.shop
    shop.orders.insert_many([{"_id": n, "s": "x" * 100} for n in range(5000)])
    shop.orders.create_index("s")
    shop.create_collection("log", capped=True, size=100_000)
    shop.log.insert_many([{"_id": 100 - n} for n in range(80)])
    shop.create_collection("m", timeseries={"timeField": "t"})
    shop.m.insert_one({"t": NOW})
    shop.command({"create": "v1", "viewOn": "orders", "pipeline": []})
    shop["system.js"].insert_one({"_id": "f", "value": 1})


@pytest.fixture
def desk(replica_set: ReplicaSet) -> Desk:
    """A desk at the shared replica set."""
    return Desk(client=replica_set.client())


def all_equal(replica_set: ReplicaSet, expected: Contents) -> None:
    """Compare on the primary, then on each secondary."""
    client = replica_set.client()
    assert differences(expected, contents(client)) == []
    client.admin.command({
        "appendOplogNote": 1,
        "data": {"test": 1},
        "writeConcern": {"w": len(replica_set.nodes)},
    })
    for node in replica_set.nodes:
        with node.client() as direct:
            assert differences(expected, contents(direct)) == []
    assert temporaries(client) == ()


def test_lost_cluster_comes_back_equal(replica_set: ReplicaSet, desk: Desk) -> None:
    """Every kind of collection, with options, indexes, views, functions, users and roles."""
    fill(desk.client)
    desk.client.admin.command({
        "createUser": "bob",
        "pwd": "x",
        "roles": [{"role": "readWrite", "db": "shop"}],
    })
    desk.client.shop.command({"createRole": "reader", "privileges": [], "roles": []})
    manifest = desk.backup()
    users = raw_documents(desk.client, Namespace("admin", "system.users"))
    roles = raw_documents(desk.client, Namespace("admin", "system.roles"))
    log = raw_documents(desk.client, Namespace("shop", "log"))
    before = contents(desk.client)
    drop_all(desk.client)
    desk.client.admin.command("dropUser", "bob")
    desk.client.shop.command("dropRole", "reader")
    result = desk.restore()
    all_equal(replica_set, before)
    assert users == raw_documents(desk.client, Namespace("admin", "system.users"))
    assert roles == raw_documents(desk.client, Namespace("admin", "system.roles"))
    # The hash of a capped collection does not prove its order.
    assert log == raw_documents(desk.client, Namespace("shop", "log"))
    assert result["docs"] == manifest.docs
    assert result["restored_to"] == manifest.consistent_at
    assert desk.client.shop.v2.count_documents({}) == 714
    assert desk.client.shop.v3.count_documents({}) == 7


def test_version_5_comes_back_equal() -> None:
    """Time series, capped collections and views of 5.0 take the same ways."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, version="5.0")) as replica_set:
        desk = Desk(client=replica_set.client())
        fill(desk.client, clustered=False)
        desk.backup()
        before = contents(desk.client)
        drop_all(desk.client)
        desk.restore()
        all_equal(replica_set, before)
        desk.notes.forget("restore-1")
        desk.restore(token=2, overwrite=True)
        all_equal(replica_set, before)


def test_full_overwrite_makes_everything_as_it_was(replica_set: ReplicaSet, desk: Desk) -> None:
    """Changed, replaced by another kind, added, missing: all is put right, views too."""
    fill(desk.client)
    desk.backup()
    before = contents(desk.client)
    shop = desk.client.shop
    shop.orders.delete_many({"_id": {"$lt": 100}})
    shop.extra.insert_one({})
    desk.client.third.stuff.insert_one({})
    shop.create_collection("series", timeseries={"timeField": "t"})
    for name in ("strict", "v1", "v2", "names", "ttl_m", "v4"):
        shop.drop_collection(name)
    shop.command({"create": "strict", "viewOn": "orders", "pipeline": []})
    shop.command({"create": "names", "timeseries": {"timeField": "t"}})
    shop.v1.insert_one({"a": 1})
    shop.ttl_m.insert_one({"a": 1})
    shop.command({"create": "v4", "viewOn": "v2", "pipeline": []})
    shop["system.js"].insert_one({"_id": "g", "value": 1})
    desk.restore(overwrite=True)
    all_equal(replica_set, before)


def test_restore_under_another_name_leaves_the_first_alone(desk: Desk) -> None:
    """Each collection, series and view of the copy equals its original, which is untouched."""
    fill(desk.client)
    desk.backup()
    before = contents(desk.client)
    rename = ({"from": "shop.*", "to": "copy.*"},)
    desk.restore(namespaces=("shop.*",), rename=rename)
    assert differences(before, contents(desk.client, databases=["shop", "other"])) == []
    copy, shop = (contents(desk.client, databases=[name]) for name in ("copy", "shop"))
    # Definitions of views hold the name of their database.
    renamed = {
        name.replace("shop.", "copy.", 1): value
        for name, value in shop.hashes.items()
        if name != "shop.system.views"
    }
    assert renamed == {k: v for k, v in copy.hashes.items() if k != "copy.system.views"}
    assert {k.replace("shop.", "copy.", 1): v for k, v in shop.indexes.items()} == copy.indexes
    assert desk.client.copy.v2.count_documents({}) == 714
    assert desk.client.copy.m.count_documents({"x": 1}) == 7


def test_dry_run_shows_the_plan_and_touches_nothing(desk: Desk) -> None:
    """Neither the target nor the objects' contents are needed for a plan."""
    fill_some(desk.client)
    desk.backup()
    before = contents(desk.client)
    result = desk.restore(overwrite=True, dry_run=True)
    plan = result["plan"]
    assert isinstance(plan, dict)
    assert "shop.orders" in plan["replace"]
    assert before == contents(desk.client)
    assert all(not key.endswith(".zst") for method, key in desk.store.calls if method == "get")


def first_chunk(manifest: Manifest) -> str:
    """Return the key of the first chunk of the orders."""
    (copy,) = (c for c in manifest.copies if str(c.collection.namespace) == "shop.orders")
    return copy.chunks[0].key


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda desk, key: desk.store.objects.pop(key), "object_missing"),
        (lambda desk, key: desk.store.damage(key), "damaged_object"),
        (
            lambda desk, key: desk.store.objects.__setitem__(key, desk.store.objects[key][:-1]),
            "damaged_object",
        ),
    ],
)
def test_harmed_object_is_named_and_nothing_changes(
    desk: Desk, harm: Callable[[Desk, str], None], code: str
) -> None:
    """A missing, damaged or cut object ends the restore before anything is switched."""
    fill_some(desk.client)
    key = first_chunk(desk.backup())
    desk.client.shop.orders.delete_one({"_id": 1})
    before = contents(desk.client)
    harm(desk, key)
    with pytest.raises(PermanentError) as caught:
        desk.restore(overwrite=True)
    assert caught.value.code == code
    assert key in caught.value.message
    assert before == contents(desk.client)
    assert temporaries(desk.client) == ()


def test_documents_that_break_a_unique_index_change_nothing(desk: Desk) -> None:
    """A failure after the load removes the temporary collections like any other."""
    desk.client.shop.orders.insert_many([{"_id": 1, "a": 1}, {"_id": 2, "a": 1}])
    manifest = desk.backup()
    unique = bson.encode({"v": 2, "key": {"a": 1}, "name": "a_1", "unique": True})
    copies = tuple(
        replace(copy, collection=replace(copy.collection, indexes=(unique,)))
        for copy in manifest.copies
    )
    desk.put(replace(manifest, copies=copies))
    before = contents(desk.client)
    with pytest.raises(PermanentError) as caught:
        desk.restore(overwrite=True)
    assert caught.value.code == "duplicate_key"
    assert before == contents(desk.client)
    assert temporaries(desk.client) == ()


@pytest.mark.parametrize("chunk_number", [1, 6, 12])
def test_cancel_while_loading_changes_nothing(desk: Desk, chunk_number: int) -> None:
    """At the first chunk, in the middle, near the end: all temporary collections go."""
    fill_some(desk.client)
    desk.backup(chunk_docs=500)
    desk.client.shop.orders.delete_one({"_id": 1})
    before = contents(desk.client)
    stop = Stop()
    job = desk.job(stop=stop, overwrite=True)
    job.plan()
    desk.store.calls.clear()

    def cancel(_call: int, method: str, key: str) -> None:
        chunks = [1 for method, key in desk.store.calls if method == "get" and "/data/" in key]
        if method == "get" and "/data/" in key and len(chunks) >= chunk_number:
            stop.set(CANCELED)

    desk.store.fault = cancel
    assert job.may_cancel()
    with pytest.raises(Stopped):
        job.run()
    assert before == contents(desk.client)
    assert temporaries(desk.client) == ()


def test_next_coordinator_begins_anew_before_the_switch(
    replica_set: ReplicaSet, desk: Desk
) -> None:
    """What a stopped agent left of a load is removed, and the restore still succeeds."""
    fill_some(desk.client)
    desk.backup()
    before = contents(desk.client)
    drop_all(desk.client)
    stop = Stop()
    job = desk.job(token=1, stop=stop)
    job.plan()
    desk.store.fault = lambda _call, _method, key: (
        stop.set("the agent ends") if "/data/" in key else None
    )
    with pytest.raises(Stopped):
        job.run()
    desk.store.fault = None
    assert temporaries(desk.client) != ()
    desk.restore(token=2)
    all_equal(replica_set, before)


class DyingSwitch(MongoSwitch):
    """A switch whose coordinator loses its lease at its n-th step."""

    def __init__(self, client: Client, steps: int, *, done: bool) -> None:
        super().__init__(client)
        self._left = steps
        self._done = done

    def rename(self, place: Namespace, target: Namespace, replaced: bytes | None) -> None:
        """Rename, or die before or after it."""
        self._step(lambda: MongoSwitch.rename(self, place, target, replaced))

    def complete_time_series(self, target: Namespace) -> None:
        """Make a view over buckets, or die."""
        self._step(lambda: MongoSwitch.complete_time_series(self, target))

    def put_javascript(self, place: Namespace, database: str) -> None:
        """Put functions in place, or die."""
        self._step(lambda: MongoSwitch.put_javascript(self, place, database))

    def _step(self, step: Callable[[], None]) -> None:
        self._left -= 1
        if self._left > 0:
            step()
            return
        if self._done and self._left == 0:
            step()
        raise LeaseLost("coordinator")


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("steps", [1, 3, 4, 5])
def test_next_coordinator_finishes_a_switch(
    replica_set: ReplicaSet, desk: Desk, steps: int, *, done: bool
) -> None:
    """Killed at any step of the switch, before or after it took effect: it rolls forward."""
    fill_some(desk.client)
    desk.backup()
    before = contents(desk.client)
    desk.client.shop.orders.delete_many({})
    desk.client.shop.drop_collection("m")
    desk.client.shop.extra.insert_one({})
    desk.workers = 1
    desk.switch = DyingSwitch(desk.client, steps, done=done)
    job = desk.job(token=1, overwrite=True)
    job.plan()
    with pytest.raises(LeaseLost):
        job.run()
    assert not job.may_cancel()
    desk.switch = None
    # The objects are not needed any more.
    desk.store.objects.clear()
    result = desk.restore(token=2, overwrite=True)
    assert result["replayed_ops"] == 0
    all_equal(replica_set, before)


def create_bob(client: Client) -> None:
    """Create a user that is nobody's own."""
    roles = [{"role": "readWrite", "db": "shop"}]
    client.admin.command({"createUser": "bob", "pwd": "x", "roles": roles})


def test_a_complete_switch_is_not_made_again(replica_set: ReplicaSet, desk: Desk) -> None:
    """Killed after the temporary collections went, before the command says done.

    Merging users, or views and functions, from what is gone would remove those that came.
    """
    fill_some(desk.client)
    create_bob(desk.client)
    desk.backup()
    before = contents(desk.client)
    users = raw_documents(desk.client, Namespace("admin", "system.users"))
    desk.client.shop.orders.delete_many({})
    first = desk.restore(overwrite=True)
    assert first == desk.restore(token=2, overwrite=True)
    all_equal(replica_set, before)
    assert users == raw_documents(desk.client, Namespace("admin", "system.users"))


def test_switch_without_its_sources_removes_nothing(desk: Desk) -> None:
    """Somebody dropped the temporary collections of users: no user is removed for that."""
    fill_some(desk.client)
    create_bob(desk.client)
    desk.backup()
    users = raw_documents(desk.client, Namespace("admin", "system.users"))
    desk.switch = DyingSwitch(desk.client, 1, done=False)
    with pytest.raises(LeaseLost):
        desk.restore(overwrite=True)
    desk.switch = None
    for place in temporaries(desk.client):
        if place.database == "admin":
            desk.client.admin.drop_collection(place.collection)
    with pytest.raises(PermanentError) as caught:
        desk.restore(token=2, overwrite=True)
    assert caught.value.code == "switch_lost"
    assert users == raw_documents(desk.client, Namespace("admin", "system.users"))
    assert temporaries(desk.client) == ()


def test_merge_of_users_that_are_gone_removes_nobody(desk: Desk) -> None:
    """The server would take a missing collection as an empty one."""
    create_bob(desk.client)
    users = raw_documents(desk.client, Namespace("admin", "system.users"))
    place = Namespace("admin", "bstmp.1.0")
    with pytest.raises(PermanentError):
        MongoSwitch(desk.client).merge_users(place, None, replace=True)
    assert users == raw_documents(desk.client, Namespace("admin", "system.users"))


def test_target_that_appears_before_its_rename_is_replaced_too(
    replica_set: ReplicaSet, desk: Desk
) -> None:
    """An application that never rests makes a dropped collection anew at any moment."""
    desk.client.shop.orders.insert_many([{"_id": n} for n in range(10)])
    desk.backup()
    before = contents(desk.client)
    drop_all(desk.client)

    class Busy(MongoSwitch):
        """Lets a writer in between the look at the target and the rename."""

        def rename(self, place: Namespace, target: Namespace, replaced: bytes | None) -> None:
            desk.client[target.database][target.collection].insert_one({})
            super().rename(place, target, replaced)

    desk.switch = Busy(desk.client)
    desk.restore(overwrite=True)
    all_equal(replica_set, before)


@pytest.mark.parametrize("kind", [{}, {"timeseries": {"timeField": "t"}}])
def test_index_build_on_a_target_is_waited_for(
    replica_set: ReplicaSet, desk: Desk, kind: dict[str, Any]
) -> None:
    """A switch must not end half-way, or end the server, because somebody builds an index."""
    client, switch = desk.client, MongoSwitch(desk.client)
    names = [Namespace("shop", "orders"), Namespace("shop", "bstmp.1.0")]
    for each in names:
        client.shop.create_collection(each.collection, **kind)
        client.shop[each.collection].insert_one({"t": NOW})
    target, place = (each.buckets for each in names) if kind else names
    old = MongoTarget(client).uuid(target)
    assert old is not None
    hang = {"configureFailPoint": "hangAfterStartingIndexBuild"}
    group = WorkerGroup("test", Stop())
    with replica_set.primary().client() as direct:
        direct.admin.command({**hang, "mode": "alwaysOn"})
        group.start(lambda: _ignore(lambda: client.shop.orders.create_index("x")), "index")
        building: list[dict[str, Any]] = [
            {"$currentOp": {}},
            {"$match": {"msg": {"$regex": "^Index Build"}}},
        ]
        eventually(lambda: list(direct.admin.aggregate(building)) or _shows_build(direct, target))
        assert _passes(lambda: switch.rename(place, target, old))
        direct.admin.command({**hang, "mode": "off"})
    group.join()
    eventually(lambda: not _passes(lambda: switch.rename(place, target, old)))


def _shows_build(client: Client, target: Namespace) -> bool:
    try:
        listing = {"listIndexes": target.collection, "includeBuildUUIDs": True}
        return "buildUUID" in str(client[target.database].command(listing))
    except OperationFailure as error:  # of a time series, 6.0 says so this way
        return "buildUUID" in str(error)


def _passes(step: Callable[[], None]) -> bool:
    """Whether a step fails for now."""
    try:
        step()
    except TransientError:
        return True
    return False


def _ignore(step: Callable[[], object]) -> None:
    """Do something that may be refused."""
    with suppress(PyMongoError):
        step()


def test_restore_that_is_given_up_leaves_nothing(desk: Desk) -> None:
    """The storage stayed away at every try: all temporary collections go."""
    fill_some(desk.client)
    desk.backup()
    before = contents(desk.client)
    job = desk.job(overwrite=True)
    job.plan()

    def fail(_call: int, _method: str, key: str) -> None:
        if "/data/" in key:
            raise LeaseLost("coordinator")

    desk.store.fault = fail
    with pytest.raises(LeaseLost):
        job.run()
    assert temporaries(desk.client) != ()
    job.give_up()
    assert temporaries(desk.client) == ()
    assert before == contents(desk.client)


def test_cancel_that_comes_too_late_is_ignored(replica_set: ReplicaSet, desk: Desk) -> None:
    """Once the switch has begun it is finished, whatever the stop says."""
    fill_some(desk.client)
    desk.backup()
    before = contents(desk.client)
    drop_all(desk.client)
    stop = Stop()

    class LateCancel(MongoSwitch):
        """Sets the stop at the first rename."""

        def rename(self, place: Namespace, target: Namespace, replaced: bytes | None) -> None:
            stop.set(CANCELED)
            super().rename(place, target, replaced)

    desk.switch = LateCancel(desk.client)
    job = desk.job(stop=stop)
    job.plan()
    job.run()
    all_equal(replica_set, before)


@pytest.mark.parametrize("chunk_number", [1, 8])
def test_step_down_while_loading_loses_and_doubles_nothing(
    replica_set: ReplicaSet, desk: Desk, chunk_number: int
) -> None:
    """A new primary may lack what the old one confirmed alone: chunks are loaded again."""
    fill_some(desk.client)
    desk.backup(chunk_docs=500)
    before = contents(desk.client)
    drop_all(desk.client)
    job = desk.job()
    job.plan()
    desk.store.calls.clear()
    done: list[int] = []

    def step_down(_call: int, method: str, key: str) -> None:
        chunks = [1 for method, key in desk.store.calls if method == "get" and "/data/" in key]
        if method == "get" and "/data/" in key and len(chunks) == chunk_number and not done:
            done.append(1)
            replica_set.step_down(for_s=2)

    desk.store.fault = step_down
    job.run()
    assert done
    all_equal(replica_set, before)


def test_held_ttl_index_deletes_nothing(desk: Desk) -> None:
    """Documents that expired since the backup stay, and the plan says what is held."""
    desk.client.shop.sessions.insert_one({"_id": 1, "d": NOW})
    desk.client.shop.sessions.create_index("a")
    manifest = desk.backup()
    ttl = bson.encode({"v": 2, "key": {"d": 1}, "name": "d_1", "expireAfterSeconds": 1})
    copies = tuple(
        replace(
            copy,
            collection=replace(copy.collection, indexes=(*copy.collection.indexes, ttl)),
        )
        for copy in manifest.copies
        if copy.collection.namespace.database == "shop"
    )
    desk.put(replace(manifest, copies=copies))
    drop_all(desk.client)
    plan = desk.restore(hold_ttl=True)["plan"]
    assert isinstance(plan, dict)
    assert [(each["index"], each["held"]) for each in plan["ttl"]] == [("d_1", True)]
    index = desk.client.shop.sessions.index_information()["d_1"]
    assert "expireAfterSeconds" not in index
    assert desk.client.shop.sessions.count_documents({}) == 1


def test_agents_own_user_and_roles_survive() -> None:
    """A full overwrite from a backup without them keeps it; others become as they were."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, auth=True)) as replica_set:
        client = replica_set.client()
        admin = client.admin
        admin.command({"createUser": "old", "pwd": "x", "roles": ["read"]})
        client.shop.orders.insert_one({"_id": 1})
        desk = Desk(client=client)
        manifest = desk.backup()
        without = tuple(
            replace(copy, chunks=()) if copy.collection.namespace.is_users_or_roles else copy
            for copy in manifest.copies
        )
        admin.command({"createUser": "new", "pwd": "x", "roles": ["read"]})
        desk.restore(token=1, overwrite=True)
        assert names_of(client) == {"root", "old"}
        desk.notes.forget("restore-1")
        desk.put(replace(manifest, copies=without))
        desk.restore(token=2, overwrite=True)
        assert names_of(client) == {"root"}
        admin.command({"createUser": "old", "pwd": "y", "roles": ["readWrite"]})
        desk.notes.forget("restore-1")
        desk.put(manifest)
        client.drop_database("shop")
        desk.restore(token=3)
        (old,) = admin.command("usersInfo", "old")["users"]
        assert [each["role"] for each in old["roles"]] == ["readWrite"]


def names_of(client: Client) -> set[str]:
    """Return the names of all users."""
    return {each["user"] for each in client.admin.command("usersInfo")["users"]}


def test_window_is_replayed_to_the_backups_time(replica_set: ReplicaSet, desk: Desk) -> None:
    """Changes, new and renamed collections, indexes and views after the copy are in the result."""
    fill(desk.client)
    manifest = desk.backup()
    shop = desk.client.shop
    shop.orders.update_many({"_id": {"$lt": 50}}, {"$set": {"new": 1}})
    shop.orders.delete_many({"_id": {"$gt": 4000}})
    shop.added.insert_one({"_id": 1})
    shop.added.create_index("x")
    shop.empty.rename("renamed")
    shop.drop_collection("strict")
    shop.command({"create": "v5", "viewOn": "added", "pipeline": []})
    shop.drop_collection("v4")
    shop.log.insert_many([{"_id": 1000 + n} for n in range(10)])
    last = desk.source.write_note("the end of the window")
    before = contents(desk.client)
    shop.orders.delete_many({})
    begin = manifest.consistent_at
    desk.archive(last)
    window = Window(begin=begin, last=last, segments=tuple(desk.segments))
    desk.put(replace(manifest, consistent_at=last, window=window))
    result = desk.restore(overwrite=True)
    all_equal(replica_set, before)
    assert isinstance(result["replayed_ops"], int)
    assert result["replayed_ops"] > 50
    assert result["restored_to"] == last
