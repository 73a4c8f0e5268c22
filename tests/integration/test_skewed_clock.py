"""An agent's clock that is set wrong: the program has it, and tells of it."""

from functools import partial
from pathlib import Path

from tests.campaign.skew import environment, skew
from tests.testbed.agents import Agents, filesystem_storage
from tests.testbed.clients import Client
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually


def test_a_clock_that_goes_wrong_is_told_and_forgotten(
    replica_set: ReplicaSet, tmp_path: Path
) -> None:
    """Ahead and behind, while the agent runs; the others are right."""
    client = replica_set.client()
    with Agents.start(
        replica_set, filesystem_storage(tmp_path), environment=environment()
    ) as agents:
        agent = agents.all[0]
        name = f"agent:{agent.spec.node.address}"
        assert abs(_skew_s(client, name)) < 2
        for seconds in (3600, -40, 0):
            skew(agent, seconds)
            eventually(partial(_is_told, client, name, seconds), 40)
        assert agent.is_running


def _is_told(client: Client, name: str, seconds: int) -> bool:
    return abs(_skew_s(client, name) - seconds) < 3


def _skew_s(client: Client, name: str) -> float:
    status = client["backstay"]["status"].find_one({"_id": name}) or {}
    return float(status.get("clock_skew_s") or 0.0)
