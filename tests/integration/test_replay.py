"""Replay on real servers: what the oplog says happens again, exactly, to copies of the source."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import bson
import pytest

from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.jobs.replay import ReplayLimits, replay
from agent.jobs.workspace import Workspace
from agent.model.names import TEMPORARY_PREFIX, Namespace
from tests.integration import activities
from tests.integration.replaying import Source
from tests.testbed.clients import Client
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

Activity = Callable[[Client], None]


@pytest.fixture(scope="module")
def shared_single() -> Iterator[ReplicaSet]:
    """One node of 6.0: replication is not what most of these tests are about."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, oplog_size_mb=990)) as single:
        yield single


@pytest.fixture
def source(shared_single: ReplicaSet) -> Iterator[Source]:
    """A source without any data."""
    client = shared_single.client()
    yield Source(client)
    for name in client.list_database_names():
        if name not in {"admin", "config", "local"}:
            client.drop_database(name)


@pytest.fixture(scope="module")
def old_single() -> Iterator[ReplicaSet]:
    """One node of 5.0."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, version="5.0", oplog_size_mb=990)) as single:
        yield single


_ACTIVITIES: list[Activity] = [
    activities.crud,
    activities.ids,
    activities.transactions,
    activities.renames,
    activities.out_and_capped,
    activities.options,
    activities.time_series,
    activities.indexes,
    activities.of_operators,
    activities.drops,
    activities.odd_documents,
]


@pytest.mark.parametrize("activity", _ACTIVITIES, ids=lambda activity: activity.__name__)
def test_a_copy_becomes_what_the_source_became(source: Source, activity: Activity) -> None:
    """Documents, options, expiries and indexes are equal, whatever was done meanwhile."""
    activities.seed(source.client)
    begin = source.now()
    workspace = source.copy_all(begin)
    activity(source.client)
    until = source.now()
    result = source.replay(workspace, begin, until)
    assert source.shapes() == source.rebuilt(workspace)
    assert until == result.reached
    assert result.applied_count > 0
    assert 0 == result.missing_count
    assert {str(piece.place) for piece in workspace} == source.places()


def test_every_collection_starts_at_its_own_time(source: Source) -> None:
    """Copies of several times meet at the target time, which lies in the middle of the work."""
    client = source.client
    activities.seed(client)
    begin = source.now()
    activities.crud(client)
    workspace = Workspace(1)
    by_name = {str(each.namespace): each for each in source.collections()}
    source.copy(workspace, by_name["shop.orders"], source.now())
    activities.out_and_capped(client)
    expected_at = source.now()
    expected = source.shapes()
    for activity in (activities.crud, activities.indexes, activities.drops):
        activity(client)
    result = source.replay(workspace, begin, expected_at)
    rebuilt = source.rebuilt(workspace)
    assert expected["shop.orders"] == rebuilt["shop.orders"]
    assert expected_at == result.reached
    assert result.skipped_count > 0


def test_entries_that_come_twice_are_applied_once(source: Source) -> None:
    """Overlapping segments of an archive change nothing."""
    activities.seed(source.client)
    begin = source.now()
    workspace = source.copy_all(begin)
    activities.crud(source.client)
    until = source.now()
    batches = source.oplog(begin)
    doubled = [batch for each in pairwise(batches) for batch in each]
    source.replay(workspace, begin, until, batches=[*doubled, batches[-1]])
    assert source.shapes() == source.rebuilt(workspace)


def test_a_newer_copy_is_brought_on_from_an_older_time(source: Source) -> None:
    """Updates of documents deleted before the copy are tolerated up to the consistent time."""
    client = source.client
    activities.seed(client)
    begin = source.now()
    activities.crud(client)
    client.shop.orders.delete_many({"n": {"$lt": 0}})
    later = source.now()
    workspace = Workspace(1)
    for collection in tuple(source.collections()):
        piece = source.copy(workspace, collection, later)
        workspace.put(replace(piece, replay_from=begin))
    client.shop.orders.update_many({}, {"$set": {"end": 1}})
    until = source.now()
    result = source.replay(workspace, begin, until, consistent_at=later)
    assert source.shapes() == source.rebuilt(workspace)
    assert result.missing_count > 50


def test_a_missing_document_after_the_consistent_time_is_an_error(source: Source) -> None:
    """A copy that does not fit the oplog is never passed off as a restore."""
    activities.seed(source.client)
    begin = source.now()
    workspace = source.copy_all(begin)
    piece = next(each for each in workspace if each.collection.namespace.collection == "orders")
    source.client[piece.place.database][piece.place.collection].delete_one({"_id": 0})
    activities.crud(source.client)
    with pytest.raises(PermanentError) as error:
        source.replay(workspace, begin, source.now())
    assert "replay_diverged" == error.value.code


def test_nothing_after_the_limit_is_applied(source: Source) -> None:
    """A transaction counts by its commit, and stands wholly on one side of the target time."""
    client = source.client
    activities.seed(client)
    begin = source.now()
    workspace = source.copy_all(begin)
    with client.start_session() as session:
        session.start_transaction()
        client.shop.orders.insert_one({"_id": "in a transaction"}, session=session)
        client.shop.customers.insert_one({"_id": "before"})
        until = source.now()
        expected = source.shapes()
        session.commit_transaction()
    client.shop.orders.drop()
    result = source.replay(workspace, begin, until)
    assert expected == source.rebuilt(workspace)
    assert until == result.reached


def test_a_prepared_transaction_counts_from_its_commit_timestamp(source: Source) -> None:
    """A transaction prepared in the window and committed after the limit is not in; one is."""
    client = source.client
    activities.seed(client)
    begin = source.now()
    workspace = source.copy_all(begin)
    orders = client.shop.orders
    for name, ends in (("kept", "commitTransaction"), ("dropped", "abortTransaction")):
        with client.start_session() as session:
            session.start_transaction()
            orders.insert_one({"_id": name}, session=session)
            stamp = client.admin.command("prepareTransaction", session=session)["prepareTimestamp"]
            orders.insert_one({"_id": f"beside {name}"})
            extra = {"commitTimestamp": stamp} if ends == "commitTransaction" else {}
            client.admin.command({ends: 1, **extra}, session=session)
            session._transaction.reset()
    until = source.now()
    source.replay(workspace, begin, until)
    assert source.shapes() == source.rebuilt(workspace)


def test_collections_out_of_the_selection_leave_no_trace(source: Source) -> None:
    """What was renamed out of the selection, or is temporary, is not in the result."""
    client = source.client
    activities.seed(client)
    begin = source.now()
    by_name = {str(each.namespace): each for each in source.collections()}
    workspace = Workspace(1)
    source.copy(workspace, by_name["shop.orders"], begin)
    client.shop.other.insert_one({"_id": 1})
    client.shop.customers.insert_one({"_id": 1})
    client.shop.orders.rename("away")
    until = source.now()
    limits = ReplayLimits(
        until=until,
        tolerate_missing_until=begin,
        catalogue_at=begin,
        selects=lambda namespace: namespace.collection == "orders",
    )
    replay(source.oplog(begin), workspace, source.target, limits, Stop())
    assert 0 == len(workspace)
    assert set() == source.places()


def test_a_collection_renamed_into_the_selection_stops_the_restore(source: Source) -> None:
    """Its documents are not in the backup, and nobody may think that they were."""
    client = source.client
    activities.seed(client)
    begin = source.now()
    client.shop.orders.rename("wanted")
    limits = ReplayLimits(
        until=source.now(),
        tolerate_missing_until=begin,
        catalogue_at=begin,
        selects=lambda namespace: namespace.collection == "wanted",
    )
    with pytest.raises(PermanentError) as error:
        replay(source.oplog(begin), Workspace(1), source.target, limits, Stop())
    assert "replay_misses_collection" == error.value.code


def test_all_nodes_hold_the_same_after_a_replay(replica_set: ReplicaSet) -> None:
    """Traps of atomic applyOps: capped overflow, zero timestamps and a late _id, on each node."""
    source = Source(replica_set.client())
    client = source.client
    activities.seed(client)
    begin = source.now()
    workspace = source.copy_all(begin)
    for activity in (activities.crud, activities.out_and_capped, activities.odd_documents):
        activity(client)
    source.replay(workspace, begin, source.now())
    assert source.shapes() == source.rebuilt(workspace)
    source.now()

    clients = [node.client() for node in replica_set.nodes]

    def all_equal() -> bool:
        one, *others = [_hashes(client) for client in clients]
        assert len(one) > 5
        assert [one, one] == others
        return True

    eventually(all_equal, message="all nodes hold the same")


def _hashes(client: Client) -> dict[str, str]:
    # Of the places alone: replacing a document by one with a zero timestamp, as this source
    # did, leaves another value on each of its own nodes.
    hashes = client.shop.command("dbHash")["collections"]
    return {name: text for name, text in hashes.items() if name.startswith(TEMPORARY_PREFIX)}


@pytest.mark.parametrize(
    "activity",
    [
        activities.crud,
        activities.ids,
        activities.transactions,
        activities.renames,
        activities.out_and_capped,
        activities.of_operators,
        activities.drops,
    ],
    ids=lambda activity: activity.__name__,
)
def test_a_copy_on_5_0_becomes_what_the_source_became(
    old_single: ReplicaSet, activity: Activity
) -> None:
    """The same holds on the oldest server that is supported."""
    source = Source(old_single.client(), "5.0.4")
    for name in source.client.list_database_names():
        if name not in {"admin", "config", "local"}:
            source.client.drop_database(name)
    activities.seed(source.client)
    begin = source.now()
    workspace = source.copy_all(begin)
    activity(source.client)
    until = source.now()
    source.replay(workspace, begin, until)
    assert source.shapes() == source.rebuilt(workspace)


def test_users_and_roles_are_replayed_like_documents(source: Source) -> None:
    """The first user ever created makes its collections too."""
    client = source.client
    begin = source.now()
    workspace = source.copy_all(begin)
    client.admin.command("createUser", "u", pwd="secret", roles=["read"])
    client.admin.command("updateUser", "u", roles=["readWrite"])
    client.admin.command("createRole", "r", privileges=[], roles=["read"])
    until = source.now()
    source.replay(workspace, begin, until)
    expected = source.shapes()
    client.admin.command("dropUser", "u")
    client.admin.command("dropRole", "r")
    assert expected == source.rebuilt(workspace)
    assert Namespace("admin", "system.users") in {piece.collection.namespace for piece in workspace}
    for piece in workspace:
        source.target.drop(piece.place)


def test_documents_that_are_put_replace_what_is_there(source: Source) -> None:
    """What an insert refuses is taken, too; what no way takes is told by its position."""
    place = Namespace("shop", "put")
    source.client.shop.create_collection("put")
    odd: list[dict[str, Any]] = [{"_id": {"$x": 1}}, {"_id": [1]}, {"_id": 3, "$b": 1}]
    first = [bson.encode(each) for each in ({"_id": 1, "a": 1}, *odd)]
    second = [bson.encode(each) for each in ({"_id": 4}, {"_id": 1, "b": 2})]
    source.target.put(place, first)
    source.target.put(place, second)
    source.target.put(place, second)
    assert sorted([*first[1:], *second]) == sorted(source.documents(place))

    source.client.shop.put.create_index("c", unique=True, sparse=True)
    third = [bson.encode({"_id": each, "c": 7}) for each in (6, 7)]
    with pytest.raises(PermanentError) as caught:
        source.target.put(place, [*second, *third])
    assert ("replay_refused", 3) == (caught.value.code, caught.value.facts["position"])
    assert third[0] in source.documents(place)


def test_a_move_to_another_database_keeps_every_byte(replica_set: ReplicaSet) -> None:
    """Zero timestamps, a late _id, what a validator refuses, capped order; on all nodes."""
    client = replica_set.client()
    source = Source(client)
    activities.odd_documents(client)
    client.shop.command("collMod", "odd", validator={"never": 1}, validationLevel="strict")
    client.shop.create_collection("ring", capped=True, size=100_000)
    client.shop.ring.insert_many([{"_id": n} for n in (5, 1, 4, 2, 3)])
    for name in ("odd", "ring"):
        place, target = Namespace("shop", name), Namespace("rescue", name)
        before = source.documents(place)
        source.target.move(place, target)
        source.target.move(place, target)
        assert before == source.documents(target)
        assert source.loader.uuid(place) is None
    source.now()

    clients = [node.client() for node in replica_set.nodes]

    def all_equal() -> bool:
        hashes = [client.rescue.command("dbHash")["collections"] for client in clients]
        assert {"odd", "ring"} == set(hashes[0])
        return hashes[1:] == [hashes[0]] * 2

    eventually(all_equal, message="all nodes hold the same")
