"""An agent dies at each step of the role flow, comes back, and the flow ends as if it had not."""

import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from agent.core.crash import CRASH_VARIABLE, Point
from agent.model.states import END_STATES
from tests.system.test_roles import MAY_ASSUME, Field
from tests.testbed.agents import Agents
from tests.testbed.aws import AwsServer, bucket_access, trust
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture
def ground(aws_server: AwsServer) -> Iterator[Field]:
    """One node, and a bucket that its agent may not use yet."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        ground = Field(
            aws=aws_server,
            replica_set=replica_set,
            bucket=aws_server.create_bucket(),
            keys=aws_server.create_user(MAY_ASSUME),
        )
        yield ground
        ground.stop()


def test_each_step_is_taken_once_though_its_agent_dies_there(ground: Field) -> None:
    """Begin, try out, authorize and give up: one authorization, one external id, then none."""
    agents = ground.start()
    begun = _survived(ground, agents, Point.ROLE_BEGUN, {"command": "authorize_role"})
    (document,) = ground.roles()
    assert begun["external_id"] == document["external_id"]
    assert begun["authorization"] == document["authorization"]

    trusted = trust(ground.keys.arn, external_id=begun["external_id"])
    role_arn = ground.aws.create_role(bucket_access(ground.bucket), trusted=trusted)
    complete = {"command": "authorize_role", "role_arn": role_arn}
    for point in (Point.ROLE_TRIED, Point.ROLE_AUTHORIZED):
        _survived(ground, agents, point, complete)
        (document,) = ground.roles()
        assert ("authorized", role_arn) == (document["state"], document["role_arn"])
        assert begun["authorization"] == document["authorization"]

    give_up = {"command": "deauthorize_role", "role_arn": role_arn}
    _survived(ground, agents, Point.ROLE_BEFORE_REMOVED, give_up)
    assert [] == ground.roles()
    _wait_for_identity(ground, agents)
    second = ground.command(command="authorize_role")["result"]
    assert begun["external_id"] != second["external_id"]
    named = {"command": "deauthorize_role", "authorization": second["authorization"]}
    _survived(ground, agents, Point.ROLE_REMOVED, named)
    assert [] == ground.roles()


def _wait_for_identity(ground: Field, agents: Agents) -> None:
    """Wait until this very process tells whose keys it has: a beginning asks for that."""
    agents.wait_until_reporting()
    ground.wait_for_identities()


def _survived(ground: Field, agents: Agents, point: Point, command: Document) -> Document:
    """Have the agent die at a point of a command; return the result after it came back."""
    (agent,) = agents.all
    plain = agent.spec
    agent.spec = replace(plain, environment={**plain.environment, CRASH_VARIABLE: point.value})
    agent.restart()
    if point is Point.ROLE_BEGUN:
        _wait_for_identity(ground, agents)
    commands = ground.client["backstay"]["commands"]
    order = commands.insert_one(dict(command)).inserted_id
    assert -signal.SIGKILL == agent.wait(60)
    assert point.value == agent.logs()[-1]["point"]
    died = commands.find_one({"_id": order}) or {}
    assert "running" == died["state"]

    agent.spec = plain
    agent.restart()
    at_end = {"_id": order, "state": {"$in": [str(state) for state in END_STATES]}}
    found = eventually(lambda: commands.find_one(at_end), 90)
    assert "done" == found["state"], found
    result: Document = found["result"]
    return result
