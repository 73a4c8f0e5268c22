"""Agents whose only way to the bucket is a role, and agents that have none."""

from collections.abc import Iterator

import pytest

from tests.testbed.agents import Agent, AgentSpec, Settings
from tests.testbed.aws import AwsServer, bucket_access
from tests.testbed.loopback import HOST, free_port
from tests.testbed.metadata import InstanceMetadata
from tests.testbed.process import remove_directory
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import REGION
from tests.testbed.scraping import scrape, serves
from tests.testbed.waiting import eventually


@pytest.fixture
def instance() -> Iterator[InstanceMetadata]:
    """An instance metadata service without a role."""
    with InstanceMetadata.start() as endpoint:
        yield endpoint


def _storage(server: AwsServer, bucket: str) -> Settings:
    s3 = {
        "region": REGION,
        "bucket": bucket,
        "endpoint_url": server.endpoint_url,
        "force_path_style": True,
    }
    return {"label": "main", "type": "s3", "s3": s3}


def test_the_status_tells_whose_keys_are_used(
    replica_set: ReplicaSet, aws_server: AwsServer, instance: InstanceMetadata
) -> None:
    """Source, identity and expiry of an instance profile; nothing secret."""
    bucket = aws_server.create_bucket()
    keys = aws_server.assume(aws_server.create_role(bucket_access(bucket)))
    instance.keys = lambda: keys
    node, port = replica_set.primary(), free_port()
    spec = AgentSpec(
        node=node,
        storage=_storage(aws_server, bucket),
        settings={"metrics": {"listen": f"{HOST}:{port}"}},
        environment={**aws_server.environment(), **instance.environment()},
    )
    status = replica_set.client()["backstay"]["status"]
    agent = Agent.start(spec)
    try:
        found = eventually(
            lambda: status.find_one({"kind": "agent", "storage.identity": keys.arn}),
            timeout_s=30,
        )
        eventually(lambda: serves(port), 30)
        metrics = scrape(port)
    finally:
        agent.kill()
        text = agent.text()
        remove_directory(agent.directory)
    assert keys.expires_at is not None
    storage = found["storage"]
    assert storage["ok"]
    assert storage["credential_source"] == "instance profile"
    assert storage["expires_at"].timestamp() == int(keys.expires_at.timestamp())
    ends_at = metrics.value("backstay_credentials_expiry_timestamp_seconds", storage="main")
    assert ends_at == int(keys.expires_at.timestamp())
    assert 0 == metrics.value("backstay_credentials_renewal_failing", storage="main")
    assert bucket not in metrics.text
    for secret in (keys.secret_access_key, str(keys.session_token), keys.arn):
        assert secret not in metrics.text
    assert keys.secret_access_key not in text + str(found)
    assert str(keys.session_token) not in text + str(found)


def test_an_agent_without_credentials_ends_with_every_source(
    replica_set: ReplicaSet, aws_server: AwsServer, instance: InstanceMetadata
) -> None:
    """Soon after its start, though the metadata address swallows packets."""
    instance.swallow()
    spec = AgentSpec(
        node=replica_set.primary(),
        storage=_storage(aws_server, aws_server.create_bucket()),
        environment={**aws_server.environment(), **instance.environment()},
    )
    agent = Agent.start(spec)
    try:
        assert agent.wait() != 0
        text = agent.text()
    finally:
        agent.kill()
        remove_directory(agent.directory)
    assert "no source gives AWS credentials: " in text
    for source in ("configuration", "environment", "web identity", "instance profile"):
        assert f"{source}: " in text
