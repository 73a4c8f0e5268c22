"""Keys that end while agents work, and sources that do not renew them."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC
from pathlib import Path

import pytest
from pymongo.collection import Collection

from tests.system.observed import of_users
from tests.system.protected import END_STATES, QUICK, WITHOUT_ARCHIVE, result_of
from tests.testbed.agents import Agent, AgentSpec, Settings
from tests.testbed.aws import AwsServer, bucket_access
from tests.testbed.clients import Document
from tests.testbed.federated import FederatedS3Server
from tests.testbed.hashes import contents, differences
from tests.testbed.metadata import InstanceMetadata, rotating
from tests.testbed.mongod import Node
from tests.testbed.process import remove_directory
from tests.testbed.relay import relaying
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import REGION
from tests.testbed.waiting import eventually

COLLECTION_COUNT = 20


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """What ends with the test."""
    with ExitStack() as stack:
        yield stack


def _start(
    running: ExitStack, node: Node, url: str, bucket: str, environment: dict[str, str]
) -> Agent:
    storage: Settings = {
        "label": "main",
        "type": "s3",
        "s3": {"region": REGION, "bucket": bucket, "endpoint_url": url},
    }
    settings = {**QUICK, **WITHOUT_ARCHIVE, "backup": {"workers": 1}}
    agent = Agent.start(
        AgentSpec(node=node, storage=storage, settings=settings, environment=environment)
    )
    running.callback(remove_directory, agent.directory)
    running.callback(agent.kill)
    return agent


@pytest.mark.timeout(180)
def test_a_backup_goes_on_across_three_expiries(
    replica_set: ReplicaSet, aws_server: AwsServer, running: ExitStack
) -> None:
    """Four sets of keys sign its uploads, each to its end; the restore is exact."""
    client = replica_set.client()
    for number in range(COLLECTION_COUNT):
        client["shop"][f"c{number}"].insert_many([{"_id": n, "v": number} for n in range(50)])
    before = of_users(contents(client, databases=["shop"]))
    bucket = aws_server.create_bucket()
    role = aws_server.create_role(bucket_access(bucket))
    instance = running.enter_context(InstanceMetadata.start())
    first = aws_server.assume(role, duration_s=5)
    instance.keys = lambda: first
    relay = running.enter_context(relaying(aws_server.endpoint_url, put_delay_s=0.8))
    environment = {**aws_server.environment(), **instance.environment()}
    _start(running, replica_set.primary(), relay.url, bucket, environment)
    control = client["backstay"]
    eventually(lambda: control["status"].find_one({"kind": "agent"}), 30)

    every = [aws_server.assume(role, duration_s=life_s) for life_s in (5, 9, 13, 900)]
    instance.keys = rotating(every)
    asked = instance.count(instance.role_path)
    order = control["commands"].insert_one({"command": "backup"}).inserted_id
    ended = _end_of(control["commands"], order)
    backup = result_of(ended)["backup"]
    ends = [keys.expires_at for keys in every[:3] if keys.expires_at is not None]
    assert [end for end in ends if ended["started_at"].replace(tzinfo=UTC) < end] == ends
    assert [end for end in ends if ended["finished_at"].replace(tzinfo=UTC) > end] == ends
    signers = {
        found[1]
        for each in relay.requests
        if each.method == "PUT" and backup in each.path
        for found in [re.search(r"Credential=([^/]+)/", each.headers["authorization"])]
        if found is not None
    }
    assert {keys.access_key_id for keys in every} <= signers
    assert instance.count(instance.role_path) - asked >= 3

    for number in range(COLLECTION_COUNT):
        client["shop"][f"c{number}"].delete_many({"_id": {"$lt": 10}})
    options = {"command": "restore", "backup": backup, "overwrite": True}
    order = control["commands"].insert_one(options).inserted_id
    result_of(_end_of(control["commands"], order))
    assert [] == differences(before, of_users(contents(client, databases=["shop"])))


def _end_of(commands: Collection[Document], order: object) -> Document:
    wanted = {"_id": order, "state": {"$in": list(END_STATES)}}
    return eventually(lambda: commands.find_one(wanted), 90, message="the command ends")


@pytest.mark.timeout(180)
def test_a_metadata_service_in_trouble_is_a_named_problem_while_the_keys_last(
    replica_set: ReplicaSet, aws_server: AwsServer, running: ExitStack
) -> None:
    """Gone, slow, and with keys that are over: one at each node, all of them well before and after.

    The old keys serve to their end; then the storage cannot be used for want of credentials.
    """
    bucket = aws_server.create_bucket()
    role = aws_server.create_role(bucket_access(bucket))
    instances = {}
    for node in replica_set.nodes:
        instance = running.enter_context(InstanceMetadata.start())
        keys = aws_server.assume(role, duration_s=24)
        instance.keys = lambda keys=keys: keys  # type: ignore[misc]
        environment = {**aws_server.environment(), **instance.environment()}
        _start(running, node, aws_server.endpoint_url, bucket, environment)
        instances[node.address] = instance
    status = replica_set.client()["backstay"]["status"]
    good = {"kind": "agent", "storage.ok": True, "storage.credential_source": "instance profile"}
    eventually(lambda: status.count_documents(good) == 3, 30, message="all agents have keys")
    gone, slow, over = instances.values()
    gone.vanish()
    slow.delay_s = 4.0
    over.expired = True

    def named(code: str) -> Document | None:
        found = status.find_one({"_id": "cluster"}) or {}
        messages = [each["message"] for each in found.get("problems", []) if each["code"] == code]
        is_each_named = all(any(name in text for text in messages) for name in instances)
        return found if is_each_named else None

    def works_and_warns() -> bool:
        found = named("credentials_expiring")
        return found is not None and status.count_documents(good) == 3

    eventually(works_and_warns, 40, interval_s=0.2, message="all are named while they work")
    failing = eventually(lambda: named("credentials_failing"), 60, message="the keys are over")
    codes = {each["code"] for each in failing["problems"]}
    assert "storage_unreachable" not in codes
    assert all(
        "instance profile" in each["message"]
        for each in failing["problems"]
        if each["code"].startswith("credentials_")
    )

    longer = aws_server.assume(role)
    for instance in instances.values():
        instance.keys, instance.delay_s, instance.expired = lambda: longer, 0.0, False
    gone.come_back()

    def is_well() -> bool:
        found = status.find_one({"_id": "cluster"}) or {}
        codes = {each["code"] for each in found.get("problems", [])}
        return not codes & {"credentials_failing", "credentials_expiring"}

    eventually(is_well, 40, message="the problems are gone")
    assert status.count_documents(good) == 3


@pytest.mark.timeout(120)
def test_a_token_that_is_not_renewed_any_more_is_a_named_problem_until_it_is(
    replica_set: ReplicaSet,
    federated_server: FederatedS3Server,
    running: ExitStack,
    tmp_path: Path,
) -> None:
    """Web identity alone: keys of 4 s are renewed with each new token, by an idle agent too."""
    server, token = federated_server, tmp_path / "token"

    def project(life_s: float) -> None:
        token.write_text(server.issuer.token("agent", life_s=life_s))

    project(3600)
    status = replica_set.client()["backstay"]["status"]
    bucket, environment = server.create_bucket(), server.environment(token)
    _start(running, replica_set.primary(), server.endpoint_url, bucket, environment)
    good = {"storage.ok": True, "storage.credential_source": "web identity"}
    first = eventually(lambda: status.find_one(good), 30)["storage"]
    later = {**good, "storage.expires_at": {"$gt": first["expires_at"]}}
    eventually(lambda: status.find_one(later), 30, message="an idle agent renews its keys")

    project(-60)
    problem = {"problems": {"$elemMatch": {"code": "credentials_failing", "level": "error"}}}
    found = eventually(lambda: status.find_one(problem), 60, message="it is a problem")
    (failing,) = [each for each in found["problems"] if each["code"] == "credentials_failing"]
    assert "(source: web identity)" in failing["message"]
    assert "ExpiredTokenException" in failing["hint"]
    assert status.find_one({"storage.error_code": "web_identity_expired"}) is not None

    project(3600)
    well = {"_id": "cluster", "problems.code": {"$nin": ["credentials_failing"]}}
    eventually(lambda: status.find_one(well), 60, message="a fresh token heals it")
    assert token.read_text() not in str(list(status.find()))
