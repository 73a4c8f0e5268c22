"""Agents are killed at the worst moments: the work ends done and exact, or leaves no trace."""

import signal
from collections.abc import Iterator

import pytest

from tests.system.exactness import holds_only_what_manifests_name, restore_and_compare, shop
from tests.system.faults import end_slow_reads, held_by_transaction, slow_inserts, slow_reads
from tests.system.protected import WITHOUT_ARCHIVE, Protected, protected
from tests.system.storages import BucketStorage, DirectoryStorage
from tests.system.writer import seed_documents
from tests.testbed.agents import Agent
from tests.testbed.hashes import differences
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

_COUNT = 8000


@pytest.fixture
def cluster(replica_set: ReplicaSet, directory: DirectoryStorage) -> Iterator[Protected]:
    """Data in a few collections, and agents."""
    seed_documents(replica_set.client(), _COUNT)
    with protected(replica_set, directory, WITHOUT_ARCHIVE) as cluster:
        yield cluster


def test_backup_survives_its_coordinator_and_its_reader(
    replica_set: ReplicaSet, storage: BucketStorage
) -> None:
    """Whoever is killed while a backup reads, others end it, and it holds everything."""
    seed_documents(replica_set.client(), _COUNT)
    with protected(replica_set, storage, WITHOUT_ARCHIVE) as cluster:
        before = shop(cluster)
        for victim_of in (Protected.coordinator, Protected.task_owner):
            with slow_reads(replica_set.nodes, "shop.items", 500):
                order = cluster.order("backup")
                cluster.reaches(order, "reading")
                victim: Agent = victim_of(cluster)
                victim.kill()
            assert "done" == cluster.end_of(order)["state"]
            victim.restart()
            restore_and_compare(cluster, cluster.document(order)["result"]["backup"], before)
        holds_only_what_manifests_name(cluster)


def test_backup_goes_on_after_all_agents_were_killed(cluster: Protected) -> None:
    """The command stays running while nobody is there; the first agent back brings it to an end."""
    before = shop(cluster)
    with slow_reads(cluster.replica_set.nodes, "shop.items", 500):
        order = cluster.order("backup")
        cluster.reaches(order, "reading")
        for agent in cluster.agents.all:
            agent.kill()
    assert "running" == cluster.document(order)["state"]

    for agent in cluster.agents.all:
        agent.restart()

    document = cluster.end_of(order)
    if document["state"] == "done":
        restore_and_compare(cluster, document["result"]["backup"], before)
    else:
        assert "failed" == document["state"]
    holds_only_what_manifests_name(cluster)


def test_restore_survives_its_coordinator_before_the_switch(cluster: Protected) -> None:
    """Killed while it loads, a restore is ended by the next coordinator, and nothing is half."""
    wanted = shop(cluster)
    backup = cluster.done("backup")["backup"]
    cluster.client["shop"]["orders"].update_many({}, {"$set": {"n": 99}})
    cluster.client["shop"].drop_collection("items")
    changed = shop(cluster)

    with slow_inserts(cluster.replica_set.nodes):
        order = cluster.order("restore", backup=backup, overwrite=True)
        cluster.reaches(order, "loading")
        victim = cluster.coordinator()
        victim.kill()
    assert [] == differences(changed, shop(cluster)), "nothing is touched before the switch"

    document = cluster.end_of(order)
    expected = wanted if document["state"] == "done" else changed
    assert document["state"] in {"done", "failed"}
    assert [] == differences(expected, shop(cluster))
    cluster.check_clean()


def test_restore_survives_its_coordinator_in_the_switch(cluster: Protected) -> None:
    """Killed in the middle of the switch, a restore only rolls forward."""
    wanted = shop(cluster)
    backup = cluster.done("backup")["backup"]
    for name in ("orders", "items", "log"):
        cluster.client["shop"][name].update_many({}, {"$set": {"n": 99}})

    with held_by_transaction(cluster.replica_set, "shop", "log"):
        order = cluster.order("restore", backup=backup, overwrite=True)
        cluster.reaches(order, "switching")
        cluster.coordinator().kill()

    assert "done" == cluster.end_of(order)["state"]
    assert [] == differences(wanted, shop(cluster))
    cluster.check_clean()


def test_agent_that_stalls_does_no_harm(cluster: Protected) -> None:
    """A coordinator frozen beyond its lease is replaced, and what it does afterwards is void."""
    before = shop(cluster)
    with slow_reads(cluster.replica_set.nodes, "shop.items", 500):
        order = cluster.order("backup")
        cluster.reaches(order, "reading")
        frozen = cluster.coordinator()
        frozen.send(signal.SIGSTOP)
        end_slow_reads(cluster.replica_set.nodes)
        eventually(lambda: cluster.coordinator() is not frozen, 40, message="it is replaced")
        frozen.send(signal.SIGCONT)

    document = cluster.end_of(order)
    assert "done" == document["state"], document
    restore_and_compare(cluster, document["result"]["backup"], before)
    holds_only_what_manifests_name(cluster)
