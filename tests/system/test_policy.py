"""Agents under nothing but what `backstay policy` prints, pasted into a server that enforces it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.system.protected import QUICK, Protected, error_of
from tests.system.storages import BucketStorage
from tests.testbed.agents import Agent, Agents, AgentSpec, Settings
from tests.testbed.aws import AwsServer, Policy
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import Bucket
from tests.testbed.waiting import eventually

EXTERNAL_ID = "8d0f4c1e"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A bucket, the role that may use it, and the agents that assume it."""

    aws: AwsServer
    role: str
    console: Agent
    cluster: Protected

    def printed(self, *options: str) -> Policy:
        """Return what the verb prints with the agents' own configuration."""
        return _printed(self.console, *options)


def _printed(console: Agent, *options: str) -> Policy:
    done = console.verb("policy", *options)
    assert 0 == done.exit_status, done.stderr
    found: Policy = json.loads(done.stdout)
    return found


@pytest.fixture
def site(replica_set: ReplicaSet, aws_server: AwsServer) -> Iterator[Site]:
    """Three agents whose source may only assume the role, and a bucket that demands encryption.

    The bucket keeps versions. Each policy is one that the verb printed before.
    """
    bucket = Bucket(server=aws_server, name=aws_server.create_bucket(), prefix="prod")
    root = aws_server.client()
    root.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    root.close()
    source = aws_server.create_user()
    storage = BucketStorage(
        bucket, credentials=None, server_side_encryption={"algorithm": "AES256"}
    )
    node, environment = replica_set.nodes[0], {**aws_server.environment(), **source.environment()}
    first = Agent(AgentSpec(node=node, storage=_block(storage), environment=environment))
    trusted = _printed(
        first, "--role-trust", "external", "--principal", source.arn, "--external-id", EXTERNAL_ID
    )
    permitted = _printed(first, "--versioned", "--require-encryption")
    role = aws_server.create_role(permitted, trusted=trusted)
    aws_server.set_bucket_policy(bucket.name, _printed(first, "--bucket-policy"))
    storage.settings = _block(storage, role={"arn": role, "external_id": EXTERNAL_ID})
    console = Agent(AgentSpec(node=node, storage=storage.settings, environment=environment))
    aws_server._iam.put_user_policy(
        UserName=source.arn.rpartition("/")[2],
        PolicyName="assume",
        PolicyDocument=json.dumps(_printed(console, "--assume-role")),
    )
    with Agents.start(
        replica_set,
        storage.settings,
        settings={**QUICK, "oplog": {"upload_interval_s": 0.2}},
        environment=environment,
    ) as agents:
        cluster = Protected(replica_set, agents, storage)
        yield Site(aws=aws_server, role=role, console=console, cluster=cluster)
    storage.close()


def _block(storage: BucketStorage, **more: object) -> Settings:
    s3 = {**storage.settings["s3"], **more}
    return {**storage.settings, "s3": {k: v for k, v in s3.items() if v is not None}}


@pytest.mark.timeout(240)
def test_agents_need_nothing_but_what_is_printed(site: Site) -> None:
    """Backups, the archive, restores, deletes: nothing is denied; then all but restores is."""
    cluster, orders = site.cluster, site.cluster.client["shop"]["orders"]
    orders.insert_many([{"_id": number, "note": "x" * 100} for number in range(500)])
    first, second = (cluster.done("backup")["backup"] for _ in range(2))
    with cluster.client.start_session() as session:
        orders.delete_many({"_id": {"$gte": 100}}, session=session)
        time = session.operation_time
    reached = {"_id": "cluster", "oplog.archived_to": {"$gte": time}}
    eventually(lambda: cluster.control["status"].find_one(reached), 60, message="it is archived")
    orders.drop()
    cluster.done("delete", backup=first)
    cluster.done("resync")
    cluster.done("verify", backup=second, depth="content")
    cluster.done("restore", to=time, overwrite=True)
    assert orders.count_documents({}) == 100
    assert not [agent.text() for agent in cluster.agents.all if "storage_denied" in agent.text()]
    status = cluster.control["status"].find({"kind": "agent"})
    assert {True} == {each["storage"]["ok"] for each in status}

    site.aws.set_role_policies(site.role, site.printed("--restore-only"))
    orders.drop()
    cluster.done("verify", backup=second)
    cluster.done("restore", backup=second, overwrite=True)
    assert orders.count_documents({}) == 500
    code, _message, hint = error_of(cluster.run("backup"), "failed")
    assert "storage_denied" == code
    assert "allow s3:PutObject" in hint
