"""The check command on a replica set with an agent beside each node."""

import json
import signal
from collections.abc import Iterator

import pytest

from tests.system.faults import slow_reads
from tests.system.protected import QUICK, Protected, error_of, protected, result_of
from tests.system.storages import DirectoryStorage
from tests.system.writer import seed_documents
from tests.testbed.agents import Agent, Agents, AgentSpec, filesystem_storage, s3_storage
from tests.testbed.aws import AwsServer, allow, bucket_access
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually


@pytest.fixture
def replica_set() -> Iterator[ReplicaSet]:
    """Three nodes whose oplog is young: one that is full and short fails a check, rightly."""
    with ReplicaSet.start() as replica_set:
        yield replica_set


@pytest.fixture
def cluster(replica_set: ReplicaSet, directory: DirectoryStorage) -> Iterator[Protected]:
    """Agents that store into a directory."""
    with protected(replica_set, directory) as cluster:
        yield cluster


def _names(cluster: Protected) -> set[str]:
    return {each.spec.node.address for each in cluster.agents.all}


def _outcomes(result: Document, test: str) -> dict[str, str]:
    """Return the outcome of one test by agent."""
    return {row["agent"]: row["outcome"] for row in result["rows"] if row["test"] == test}


def test_every_agent_answers_while_a_backup_runs(cluster: Protected) -> None:
    """The check does not wait for the backup, and nothing is left of it."""
    seed_documents(cluster.client)
    with slow_reads(cluster.replica_set.nodes, "shop.items", 5000):
        backup = cluster.order("backup")
        cluster.reaches(backup, "reading")
        result = cluster.done("check")
        assert "running" == cluster.document(backup)["state"]
        status = cluster.control["status"].find_one({"_id": "cluster"})
        assert status is not None
        assert "backup" == status["running"]["command"]
    for test in ("node", "primary", "control database", "delete"):
        assert dict.fromkeys(_names(cluster), "ok") == _outcomes(result, test)
    assert result["failed"] == 0
    assert result["ok"] == sum(row["outcome"] == "ok" for row in result["rows"])
    assert "done" == cluster.end_of(backup)["state"]
    assert not [key for key in cluster.storage.list() if "/check/" in key]
    cluster.check_clean()


def test_one_agent_without_a_permission_fails_the_check(
    replica_set: ReplicaSet, aws_server: AwsServer
) -> None:
    """The command names agent and action, and keeps what all others found."""
    bucket = aws_server.create_bucket()
    objects = f"arn:aws:s3:::{bucket}/*"
    whole = aws_server.create_user(bucket_access(bucket))
    part = aws_server.create_user(
        allow("s3:List*", "s3:Get*", on=[f"arn:aws:s3:::{bucket}", objects]),
        allow("s3:DeleteObject", on=objects),
    )
    agents = []
    for node, keys in zip(replica_set.nodes, (whole, whole, part), strict=True):
        storage = s3_storage(aws_server, bucket, credentials=None)
        environment = {**aws_server.environment(), **keys.environment()}
        spec = AgentSpec(node=node, storage=storage, settings=QUICK, environment=environment)
        agents.append(Agent.start(spec))
    with Agents(replica_set, agents) as running:
        running.wait_until_reporting()
        shown = agents[0].verb("check", "--json")
        told = agents[0].verb("check")
    document = json.loads(shown.stdout)
    assert (3, 3) == (shown.exit_status, told.exit_status)
    assert "check_failed" == document["error"]["code"]
    lacking = replica_set.nodes[2].address
    assert lacking in document["error"]["message"]
    first = document["result"]["rows"][0]
    assert (lacking, "main", "put", "failed", "s3:PutObject") == tuple(
        first[name] for name in ("agent", "storage", "test", "outcome", "missing")
    )
    identities = {
        row["agent"]: row["message"]
        for row in document["result"]["rows"]
        if row["test"] == "identity"
    }
    assert [whole.arn, whole.arn, part.arn] == [
        identities[node.address] for node in replica_set.nodes
    ]
    assert "allow s3:PutObject on the bucket" in told.stdout
    assert told.stdout.splitlines()[2].startswith("failed")
    for keys in (whole, part):
        assert keys.secret_access_key not in shown.stdout + told.stdout


def test_a_check_from_a_shell_needs_no_agent_and_writes_nothing(
    replica_set: ReplicaSet, directory: DirectoryStorage
) -> None:
    """It says so by itself; every storage has rows, the one that is not there too."""
    extra = {**filesystem_storage(directory.path / "nowhere"), "label": "spare"}
    spec = AgentSpec(
        node=replica_set.nodes[0],
        storage=directory.settings,
        settings={"extra_storages": [extra]},
    )
    with Agents(replica_set, [agent := Agent(spec)]):
        fallen_back = agent.verb("check")
        asked = agent.verb("check", "--local", "--json")
    assert "no agent is there, so the tests run from here" in fallen_back.stderr
    assert (3, 3) == (fallen_back.exit_status, asked.exit_status)
    rows = json.loads(asked.stdout)["result"]["rows"]
    assert [("directory", "spare", "failed")] == [
        (row["test"], row["storage"], row["outcome"]) for row in rows if row["outcome"] == "failed"
    ]
    assert {"main", "spare", None} == {row["storage"] for row in rows}
    assert "backstay" not in replica_set.client().list_database_names()
    assert [] == directory.list()


def test_a_check_from_a_shell_tells_of_a_node_that_is_away(
    replica_set: ReplicaSet, directory: DirectoryStorage
) -> None:
    """The storages are tested all the same."""
    uri = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=500"
    spec = AgentSpec(
        node=replica_set.nodes[0],
        storage=directory.settings,
        settings={"mongodb": {"uri": uri}},
    )
    with Agents(replica_set, [agent := Agent(spec)]):
        done = agent.verb("check", "--local", "--json")
    rows = json.loads(done.stdout)["result"]["rows"]
    failed = [row["test"] for row in rows if row["outcome"] == "failed"]
    assert (3, ["connection"]) == (done.exit_status, failed)
    assert "put" in {row["test"] for row in rows}


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_an_agent_that_stalls_is_a_failed_row(cluster: Protected) -> None:
    """After a quarter of a minute; what the others found is there."""
    coordinator = cluster.coordinator()
    stalled = next(each for each in cluster.agents.all if each is not coordinator)
    stalled.send(signal.SIGSTOP)
    try:
        document = cluster.run("check")
    finally:
        stalled.send(signal.SIGCONT)
    name = stalled.spec.node.address
    code, message, _ = error_of(document, "failed")
    assert "check_failed" == code
    assert name in message
    assert {name: "failed"} == _outcomes(document["result"], "agent")
    assert _names(cluster) - {name} == set(_outcomes(document["result"], "delete"))
    cluster.check_clean()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_coordinator_that_dies_leaves_the_check_to_the_next(cluster: Protected) -> None:
    """The answers that are there are kept, that of the dead agent among them."""
    coordinator = cluster.coordinator()
    stalled = next(each for each in cluster.agents.all if each is not coordinator)
    stalled.send(signal.SIGSTOP)
    try:
        order = cluster.order("check")
        questions = cluster.control["tasks"]
        answered = {"kind": "question", "findings": {"$ne": None}}
        eventually(lambda: questions.count_documents(answered) == 2, timeout_s=30)
        coordinator.kill()
    finally:
        # Its status must not be too old when the next coordinator looks for who is there.
        stalled.send(signal.SIGCONT)
    result = result_of(cluster.end_of(order))
    assert _names(cluster) == set(_outcomes(result, "delete"))
    cluster.check_clean()
