"""Which nodes a backup is read from."""

from collections.abc import Iterator

import pytest

from tests.system.faults import slow_reads
from tests.system.protected import protected
from tests.system.storages import DirectoryStorage
from tests.testbed.agents import Settings
from tests.testbed.mongod import Node
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

_ONE_WORKER: Settings = {"backup": {"workers": 1}}


@pytest.fixture
def wide(replica_set: ReplicaSet) -> ReplicaSet:
    """Collections that are a task each."""
    client = replica_set.client()
    for number in range(3):
        client["wide"][f"c{number}"].insert_many([
            {"_id": n, "v": bytes(10_000)} for n in range(2000)
        ])
    return replica_set


def _returned_count(node: Node) -> int:
    """How many documents the node has returned to clients' queries."""
    metrics = node.client().admin.command("serverStatus")["metrics"]
    count: int = metrics["document"]["returned"]
    return count


def test_two_secondaries_read_at_once_and_the_primary_rests(
    wide: ReplicaSet, directory: DirectoryStorage
) -> None:
    """The result names both secondaries; the primary returned next to nothing."""
    secondaries = wide.secondaries()
    with (
        protected(wide, directory, _ONE_WORKER) as cluster,
        slow_reads(wide.nodes, "wide.c0", 500),
    ):
        before = _returned_count(wide.primary())
        result = cluster.done("backup")
        returned = _returned_count(wide.primary()) - before

    assert {node.address for node in secondaries} == set(result["nodes"])
    assert 6000 == result["docs"]
    assert returned < 2000, "the primary answers the agents' own questions only"


def test_lone_primary_reads_itself(directory: DirectoryStorage, lone: ReplicaSet) -> None:
    """With no secondary there, the primary is the one node that reads."""
    lone.client()["shop"]["orders"].insert_one({"_id": 1})
    with protected(lone, directory) as cluster:
        result = cluster.done("backup")

    assert [lone.nodes[0].address] == result["nodes"]
    assert 1 == result["docs"]


def test_node_of_priority_zero_is_never_read(wide: ReplicaSet, directory: DirectoryStorage) -> None:
    """A secondary that is told to stay out stays out; the other one does it all."""
    resting, working = wide.secondaries()
    with protected(wide, directory) as cluster:
        agent = cluster.agents.beside(resting)
        agent.config.write_text(agent.config.read_text() + "backup:\n  priority: 0\n")
        agent.restart()
        cluster.agents.wait_until_reporting()
        result = cluster.done("backup")

    assert [working.address] == result["nodes"]


@pytest.fixture
def lone() -> Iterator[ReplicaSet]:
    """A replica set of one."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        yield replica_set
