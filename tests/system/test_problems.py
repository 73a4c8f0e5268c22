"""What real agents tell of their hosts and nodes, and of each other."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.protected import WITHOUT_ARCHIVE
from tests.system.storages import DirectoryStorage
from tests.testbed.agents import Agent, Agents, AgentSpec, filesystem_storage
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_agents_with_different_storages_and_nodes_of_no_use_are_told(
    replica_set: ReplicaSet, directory: DirectoryStorage, tmp_path: Path
) -> None:
    """As soon as it is so, and no longer; each agent tells of its node and its host's clock."""
    other = tmp_path / "other"
    other.mkdir()
    first, *rest = (
        AgentSpec(node=node, storage=directory.settings, settings=WITHOUT_ARCHIVE)
        for node in replica_set.data_nodes()
    )
    odd = replace(first, storage=filesystem_storage(other))
    with Agents(replica_set, [Agent.start(spec) for spec in (odd, *rest)]) as agents:
        agents.wait_until_reporting()
        status = replica_set.client()["backstay"]["status"]

        def problem(code: str) -> Document | None:
            found = status.find_one({"_id": "cluster"}) or {}
            return next((each for each in found.get("problems", ()) if each["code"] == code), None)

        told = eventually(lambda: problem("agents_disagree_storage"), 30)
        assert "warning" == told["level"]
        assert f"{odd.node.address} has main ({other})" in told["hint"]
        for each in status.find({"kind": "agent"}):
            # All hosts are one host.
            assert abs(each["clock_skew_s"]) < 1
        assert problem("clock_skew") is None
        agents.all[0].kill()
        eventually(lambda: problem("agents_disagree_storage") is None, 40)

        node = next(each for each in replica_set.secondaries() if each is not odd.node)
        name = {"_id": f"agent:{node.address}"}
        before = eventually(lambda: status.find_one({**name, "node_state": "SECONDARY"}))
        command = node.client().admin.command
        command("replSetMaintenance", True)
        try:
            there = eventually(lambda: status.find_one({**name, "node_state": "RECOVERING"}))
        finally:
            command("replSetMaintenance", False)
        assert there["node_state_since"] > before["node_state_since"]
        eventually(lambda: status.find_one({**name, "node_state": "SECONDARY"}))
