"""The role flow with real agents: from keys that may do nothing to a backup through a role."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from bson import ObjectId

from agent.model.states import END_STATES
from tests.testbed.agents import Agents, Settings
from tests.testbed.aws import ACCOUNT, AwsServer, Keys, allow, bucket_access, trust
from tests.testbed.aws_shell import run_lines
from tests.testbed.clients import Client
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import REGION
from tests.testbed.waiting import eventually

# The server of the testbed wants it; AWS does not, in the account of the role.
MAY_ASSUME = allow("sts:AssumeRole", on="*")


@dataclass
class Field:
    """A replica set, a bucket, and a user that may do nothing in it."""

    aws: AwsServer
    replica_set: ReplicaSet
    bucket: str
    keys: Keys
    running: list[Agents] = field(default_factory=list)

    @property
    def client(self) -> Client:
        """The replica set."""
        return self.replica_set.client()

    def start(self, role: Mapping[str, str] | None = None) -> Agents:
        """Start an agent beside every node, after those that ran were stopped."""
        self.stop()
        s3 = {
            "region": REGION,
            "bucket": self.bucket,
            "prefix": "prod",
            "endpoint_url": self.aws.endpoint_url,
            "force_path_style": True,
            **({"role": dict(role)} if role else {"awaits_role": True}),
        }
        storage: Settings = {"label": "main", "type": "s3", "s3": s3}
        environment = {**self.aws.environment(), **self.keys.environment()}
        agents = Agents.start(self.replica_set, storage, environment=environment)
        self.running.append(agents)
        return agents

    def stop(self) -> None:
        """Stop all agents, in order, so that those to come need not wait for their leases."""
        while self.running:
            agents = self.running.pop()
            for agent in agents.all:
                if agent.is_running:
                    agent.terminate()
            agents.stop()

    def wait_for_identities(self) -> None:
        """Wait until every agent tells as whom it reaches the bucket."""
        status = self.client["backstay"]["status"]
        told = {"kind": "agent", "access.identity": self.keys.arn}
        count = len(self.replica_set.data_nodes())
        eventually(lambda: status.count_documents(told) == count, timeout_s=60)

    def command(self, **options: object) -> dict[str, Any]:
        """Insert a command as an operator does, and return it at its end."""
        commands = self.client["backstay"]["commands"]
        inserted: ObjectId = commands.insert_one(options).inserted_id
        at_end = {"_id": inserted, "state": {"$in": [str(state) for state in END_STATES]}}
        found: dict[str, Any] = eventually(lambda: commands.find_one(at_end), timeout_s=90)
        return found

    def roles(self) -> list[dict[str, Any]]:
        """Return the authorizations."""
        return list(self.client["backstay"]["status"].find({"kind": "role"}))


@pytest.fixture
def ground(replica_set: ReplicaSet, aws_server: AwsServer) -> Iterator[Field]:
    """Everything but agents."""
    ground = Field(
        aws=aws_server,
        replica_set=replica_set,
        bucket=aws_server.create_bucket(),
        keys=aws_server.create_user(MAY_ASSUME),
    )
    yield ground
    ground.stop()


@pytest.mark.timeout(240)
def test_a_role_is_set_up_used_and_taken_back(ground: Field) -> None:
    """Begin, paste the lines, complete, configure, back up, take it out, deauthorize."""
    ground.client["shop"]["orders"].insert_many([{"_id": n} for n in range(100)])
    agents = ground.start()
    ground.wait_for_identities()
    denied = ground.command(command="backup")
    assert denied["error"]["code"] == "storage_denied"

    begun = _begun(ground)
    (document,) = ground.roles()
    assert document["_id"] == f"role:{begun['result']['authorization']}"
    assert document["state"] == "in progress"
    assert document["principals"] == [ground.keys.arn]
    for name in ("external_id", "trust_policy", "permission_policy", "cli"):
        assert document[name] == begun["result"][name]
    shown = agents.all[0].verb("authorize-role")
    assert shown.exit_status == 0, shown.stderr
    assert [line for line in document["cli"]["create"] if line not in shown.stdout] == []

    role_arn = run_lines(ground.aws, document["cli"]["create"]).splitlines()[-1]
    done = ground.command(command="authorize_role", role_arn=role_arn)
    assert done["state"] == "done", done
    assert done["result"]["warnings"] == []
    (document,) = ground.roles()
    assert (document["state"], document["role_arn"]) == ("authorized", role_arn)

    role = yaml.safe_load(done["result"]["configuration"])["role"]
    agents = ground.start(role)
    using = {"kind": "agent", "access.role": role_arn, "storage.ok": True}
    status = ground.client["backstay"]["status"]
    count = len(ground.replica_set.data_nodes())
    eventually(lambda: status.count_documents(using) == count, timeout_s=60)
    backup = ground.command(command="backup")
    assert backup["state"] == "done", backup
    assert backup["result"]["docs"] >= 100
    refused = ground.command(command="deauthorize_role", role_arn=role_arn)
    assert (refused["state"], refused["error"]["code"]) == ("rejected", "role_in_use")
    for agent in agents.all:
        assert agent.spec.node.address in refused["error"]["message"]
    listed = agents.all[0].verb("roles")
    assert role_arn in listed.stdout
    assert "authorized" in listed.stdout

    agents = ground.start()
    ground.wait_for_identities()
    eventually(lambda: status.count_documents({"access.role": role_arn}) == 0, timeout_s=60)
    gone = agents.all[0].verb("deauthorize-role", role_arn)
    assert gone.exit_status == 0, gone.stderr
    assert ground.roles() == []


def _begun(ground: Field) -> dict[str, Any]:
    """Begin after every mistake that can be made, and after one that was given up."""
    mistakes = {"backstay": "bad_command", f"arn:aws:iam::{ACCOUNT}:role/x": "nothing_in_progress"}
    for role_arn, code in mistakes.items():
        wrong = ground.command(command="authorize_role", role_arn=role_arn)
        assert (wrong["state"], wrong["error"]["code"]) == ("rejected", code)
    first = ground.command(command="authorize_role")["result"]
    assert ground.command(command="authorize_role")["result"] == first
    removed = ground.command(command="deauthorize_role", authorization=first["authorization"])
    assert removed["result"]["removed"] == [first["authorization"]]
    assert ground.roles() == []
    begun = ground.command(command="authorize_role")
    assert begun["state"] == "done", begun
    assert begun["result"]["external_id"] != first["external_id"]
    return begun


@pytest.mark.timeout(180)
def test_a_role_is_completed_though_its_coordinator_is_killed(ground: Field) -> None:
    """While it is being tried out, and before that is written down: the next one goes on."""
    agents = ground.start()
    ground.wait_for_identities()
    begun = ground.command(command="authorize_role")["result"]
    role_arn = ground.aws.create_role(
        bucket_access(ground.bucket), trusted=trust(ground.keys.arn, external_id="not yet")
    )
    commands = ground.client["backstay"]["commands"]
    order = {"command": "authorize_role", "role_arn": role_arn}
    inserted = commands.insert_one(order).inserted_id
    running = {"_id": inserted, "state": "running"}
    coordinator = eventually(lambda: commands.find_one(running), timeout_s=30)["coordinator"]
    for agent in agents.all:
        if agent.spec.node.address == coordinator:
            agent.kill()
    ground.aws.set_trust(role_arn, trust(ground.keys.arn, external_id=begun["external_id"]))

    done = {"_id": inserted, "state": "done"}
    found = eventually(lambda: commands.find_one(done), timeout_s=90)
    assert found["coordinator"] != coordinator
    (document,) = ground.roles()
    assert (document["state"], document["role_arn"]) == ("authorized", role_arn)
    assert document["authorization"] == begun["authorization"]
