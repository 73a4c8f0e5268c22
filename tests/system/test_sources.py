"""Agents whose only way to the bucket is one source of credentials; and of two, the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from tests.integration.test_credentials import (
    ORDER,
    Way,
    Ways,
    bucket,
    container,
    instance,
    ways,
)
from tests.system.protected import END_STATES, QUICK
from tests.testbed.agents import Agent, AgentSpec, Settings
from tests.testbed.clients import Client, Document
from tests.testbed.process import remove_directory
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

__all__ = ["bucket", "container", "instance", "ways"]  # fixtures


@pytest.fixture(scope="module")
def node() -> Iterator[ReplicaSet]:
    """One node with a little data, for this module."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        replica_set.client()["shop"]["orders"].insert_many([{"_id": n} for n in range(10)])
        yield replica_set


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A running agent, and what it says of itself."""

    agent: Agent
    client: Client

    def storage(self) -> Document:
        """Wait until this very process has used its storage, and return what its status tells."""
        mine = {"kind": "agent", "pid": self.agent.pid, "storage.identity": {"$ne": None}}
        status = self.client["backstay"]["status"]
        found: Document = eventually(
            lambda: status.find_one(mine), 30, message=f"it reports: {self.agent.text()[-2000:]}"
        )["storage"]
        return found

    def run(self, command: str, **options: object) -> Document:
        """Insert a command, and return its document when it has ended."""
        commands = self.client["backstay"]["commands"]
        order = commands.insert_one({"command": command, **options}).inserted_id
        ended = {"_id": order, "state": {"$in": list(END_STATES)}}
        return eventually(lambda: commands.find_one(ended), 60, message=f"{command} ends")


@contextmanager
def running(node: ReplicaSet, ways: Ways, *offered: Way) -> Iterator[Watched]:
    """Run the agent of the node with nothing at hand but these ways to the bucket."""
    environment = dict(ways.aws.environment())
    for way in offered:
        environment |= way.environment
    credentials = next((way.credentials for way in offered if way.credentials), None)
    spec = AgentSpec(
        node=node.nodes[0],
        storage=_storage(ways, None if credentials is None else credentials.model_dump()),
        settings=QUICK,
        environment=environment,
    )
    agent = Agent.start(spec)
    try:
        yield Watched(agent=agent, client=node.client())
    finally:
        # In order, so that the next agent need not wait for leases to end.
        agent.terminate()
        remove_directory(agent.directory)


def _storage(ways: Ways, credentials: dict[str, Any] | None) -> Settings:
    s3: dict[str, Any] = {
        "region": "us-east-1",
        "bucket": ways.bucket,
        "prefix": "sources",
        "endpoint_url": ways.aws.endpoint_url,
    }
    if credentials is not None:
        s3["credentials"] = {
            name: value.get_secret_value() for name, value in credentials.items() if value
        }
    return {"label": "main", "type": "s3", "s3": s3}


@pytest.mark.parametrize("source", ORDER)
def test_an_agent_lives_by_one_source(node: ReplicaSet, ways: Ways, source: str) -> None:
    """A backup is made and restored, and the status tells whose keys did it."""
    way = ways.make(source)
    with running(node, ways, way) as watched:
        storage = watched.storage()
        assert (True, source, way.arn) == tuple(
            storage[name] for name in ("ok", "credential_source", "identity")
        )
        backup = watched.run("backup")
        assert "done" == backup["state"], backup
        restored = watched.run("restore", backup=backup["result"]["backup"], overwrite=True)
        assert "done" == restored["state"], restored


@pytest.mark.parametrize(("first", "second"), list(pairwise(ORDER)))
def test_of_two_sources_an_agent_uses_the_first(
    node: ReplicaSet, ways: Ways, first: str, second: str
) -> None:
    """Both could answer."""
    one, other = ways.make(first), ways.make(second)
    with running(node, ways, other, one) as watched:
        storage = watched.storage()
        assert (True, first, one.arn) == tuple(
            storage[name] for name in ("ok", "credential_source", "identity")
        )
