"""A configuration that cannot work stops `backstay run` at once, with one clear line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.storages import DirectoryStorage
from tests.testbed.agents import Agent, AgentSpec, Settings, filesystem_storage, s3_storage
from tests.testbed.mongod import Node, NodeSpec
from tests.testbed.process import remove_directory
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import S3Server
from tests.testbed.waiting import eventually


@pytest.fixture
def nowhere() -> Node:
    """A node that was never started: most mistakes are found before it is asked."""
    return Node(NodeSpec())


def _line_of(node: Node, storage: Settings, settings: Settings | None = None) -> str:
    """Run an agent that must end by itself, and return the one line that it leaves."""
    agent = Agent.start(AgentSpec(node=node, storage=storage, settings=settings or {}))
    try:
        status = agent.wait()
        text = agent.text()
    finally:
        agent.kill()
        remove_directory(agent.directory)
    assert 0 != status, text
    assert "Traceback" not in text
    lines = [line for line in text.splitlines() if line]
    assert 1 == len(lines), text
    return lines[0]


MISTAKES: list[Any] = [
    pytest.param({"backup": {"wokers": 2}}, ["wokers", "workers"], id="misspelt key"),
    pytest.param({"oplogg": {}}, ["oplogg", "oplog"], id="misspelt block"),
    pytest.param({"backup": {"workers": "many"}}, ["backup.workers"], id="wrong type"),
    pytest.param({"backup": {"workers": 99}}, ["backup.workers", "16"], id="out of range"),
    pytest.param({"control": {"database": "admin"}}, ["control.database"], id="control database"),
    pytest.param({"mongodb": {"uri": None}}, ["uri"], id="no address"),
]


@pytest.mark.parametrize(("settings", "named"), MISTAKES)
def test_mistake_in_the_settings_is_named(
    nowhere: Node, tmp_path: Path, settings: Settings, named: list[str]
) -> None:
    """The line names the setting, and the nearest known one where there is one."""
    line = _line_of(nowhere, filesystem_storage(tmp_path), settings)

    assert [] == [each for each in named if each not in line], line


BUCKETS = ["under_score", "Capital", "ab", "dots..dots", "192.168.0.1", "-dash", "x" * 64]


@pytest.mark.parametrize("bucket", BUCKETS)
def test_bad_bucket_name_is_refused(nowhere: Node, bucket: str) -> None:
    """The line names the bucket setting and the rule that is broken."""
    s3 = {"bucket": bucket, "region": "eu-west-1"}
    line = _line_of(nowhere, {"label": "main", "type": "s3", "s3": s3})

    assert "bucket" in line
    assert "must" in line


def test_missing_bucket_is_named(replica_set: ReplicaSet, s3_server: S3Server) -> None:
    """A bucket that does not exist is told apart from one that refuses."""
    line = _line_of(replica_set.primary(), s3_storage(s3_server, "not-there-at-all"))

    assert "not-there-at-all" in line
    assert "storage_bucket_missing" in line or "exist" in line


def test_refused_credentials_are_named_without_the_secret(
    replica_set: ReplicaSet, s3_server: S3Server
) -> None:
    """Keys that the server does not accept stop the agent; the secret is not in the line."""
    bucket = s3_server.create_bucket()
    wrong = {"access_key_id": s3_server.access_key_id, "secret_access_key": "wrong-secret-key"}
    line = _line_of(replica_set.primary(), s3_storage(s3_server, bucket, credentials=wrong))

    assert bucket in line
    assert "wrong-secret-key" not in line


def test_standalone_server_is_refused(directory: DirectoryStorage) -> None:
    """A mongod that is no member of a replica set cannot be backed up."""
    node = Node(NodeSpec())
    try:
        node.start()
        line = _line_of(node, directory.settings)
    finally:
        node.remove()

    assert "replica set" in line


@pytest.fixture
def with_arbiter() -> Iterator[ReplicaSet]:
    """Two members that hold data, and an arbiter."""
    with ReplicaSet.start(ReplicaSetSpec(arbiter=True)) as replica_set:
        yield replica_set


def test_arbiter_is_refused(with_arbiter: ReplicaSet, directory: DirectoryStorage) -> None:
    """An agent beside an arbiter has nothing to read."""
    line = _line_of(with_arbiter.nodes[-1], directory.settings)

    assert "arbiter" in line


def test_missing_directory_is_named(replica_set: ReplicaSet, tmp_path: Path) -> None:
    """A file system that is not mounted is noticed."""
    path = tmp_path / "not mounted"

    assert str(path) in _line_of(replica_set.primary(), filesystem_storage(path))


def test_agent_waits_for_a_node_that_does_not_answer_yet(directory: DirectoryStorage) -> None:
    """It says whom it waits for, and ends in order when it is told to."""
    node = Node(NodeSpec())
    agent = Agent.start(AgentSpec(node=node, storage=directory.settings))
    try:
        eventually(lambda: node.address in agent.text(), 30, message="it names the address")
        assert agent.is_running
        assert 0 == agent.terminate()
    finally:
        agent.kill()
        remove_directory(agent.directory)
