"""Encryption in the bucket, by the whole of an agent; and storages by their labels.

Each storage is a bucket of its own, with keys that open no other one. Two buckets have a policy
that denies what is not encrypted as they want.
"""

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from bson import json_util

from tests.fakes.http_server import Request, Server
from tests.system.observed import of_users
from tests.system.protected import END_STATES, QUICK, error_of, result_of
from tests.testbed.agents import Agent, AgentSpec
from tests.testbed.aws import AwsServer, Policy, bucket_access, policy
from tests.testbed.clients import Client, Document
from tests.testbed.hashes import contents, differences
from tests.testbed.process import remove_directory
from tests.testbed.relay import relaying
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import REGION
from tests.testbed.waiting import eventually

KEY = bytes(range(32))
KMS_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"
LABELS = ["own-key", "s3-keys", "kms-key", "account-key"]


def _own_key(key: bytes) -> dict[str, str]:
    return {
        "sse_customer_algorithm": "AES256",
        "sse_customer_key": base64.b64encode(key).decode(),
    }


def _denying(bucket: str, algorithm: str) -> Policy:
    """Return the two statements that deny uploads which are not encrypted so."""

    def deny(condition: Policy) -> Policy:
        return {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": condition,
        }

    header = "s3:x-amz-server-side-encryption"
    return policy(deny({"Null": {header: "true"}}), deny({"StringNotEquals": {header: algorithm}}))


@dataclass
class Encrypted:
    """One node with one agent, and what each of its storages is."""

    aws: AwsServer
    client: Client
    agent: Agent
    blocks: dict[str, dict[str, Any]]
    relay: Server

    def order(self, command: str, **options: object) -> object:
        """Insert a command and return its `_id`."""
        commands = self.client["backstay"]["commands"]
        return commands.insert_one({"command": command, **options}).inserted_id

    def run(self, command: str, **options: object) -> Document:
        """Insert a command, and return its document when it has ended."""
        order, ends = self.order(command, **options), {"$in": list(END_STATES)}
        commands = self.client["backstay"]["commands"]
        wanted = {"_id": order, "state": ends}
        return eventually(lambda: commands.find_one(wanted), 90, message=f"{command} ends")

    def heads(self, label: str, below: str = "") -> dict[str, Any]:
        """Return what the server tells of each object in a storage."""
        bucket, s3 = self.blocks[label]["bucket"], self.aws.client()
        with_key: Any = {}
        if label == "own-key":
            with_key = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
        listed = s3.list_objects_v2(Bucket=bucket, Prefix=f"test/{below}").get("Contents", [])
        found = {
            each["Key"]: s3.head_object(Bucket=bucket, Key=each["Key"], **with_key)
            for each in listed
        }
        s3.close()
        return found


@pytest.fixture(scope="module")
def node() -> Iterator[ReplicaSet]:
    """One node, for this module."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        yield replica_set


@pytest.fixture(scope="module")
def encrypted(aws_server: AwsServer, node: ReplicaSet) -> Iterator[Encrypted]:
    """An agent with a storage for each kind of encryption, and two that lack it."""
    keys = [aws_server.create_key() for _ in range(2)]

    def as_amazon_does(request: Request) -> dict[str, str]:
        # Amazon takes the account's own key where none is named; the server has none.
        headers = dict(request.headers)
        if headers.get("x-amz-server-side-encryption") == "aws:kms":
            headers.setdefault(KMS_HEADER, keys[1])
        return headers

    with ExitStack() as running:
        relay = running.enter_context(relaying(aws_server.endpoint_url, as_amazon_does))
        blocks = {
            "own-key": _block(aws_server, _own_key(KEY)),
            "s3-keys": _block(aws_server, {"algorithm": "AES256"}, denying="AES256"),
            "kms-key": _block(
                aws_server, {"algorithm": "aws:kms", "kms_key_id": keys[0]}, denying="aws:kms"
            ),
            "account-key": _block(
                aws_server,
                {"algorithm": "aws:kms", "bucket_key_enabled": True},
                denying="aws:kms",
                endpoint_url=relay.url,
            ),
            "none": _block(aws_server, None, denying="AES256"),
            "other": _block(aws_server, {"algorithm": "AES256"}, denying="aws:kms"),
        }
        storages = [{"label": name, "type": "s3", "s3": s3} for name, s3 in blocks.items()]
        (own,) = node.nodes
        agent = Agent.start(
            AgentSpec(
                node=own,
                storage=storages[0],
                settings={
                    **QUICK,
                    "extra_storages": storages[1:],
                    "oplog": {"upload_interval_s": 0.2},
                },
                environment=aws_server.environment(),
            )
        )
        running.callback(remove_directory, agent.directory)
        running.callback(agent.kill)
        client = node.client()
        client["shop"]["orders"].insert_many([{"_id": n, "text": "x" * 50} for n in range(500)])
        status = client["backstay"]["status"]
        eventually(lambda: status.find_one({"kind": "agent"}), 30, message="the agent reports")
        yield Encrypted(aws_server, client, agent, blocks, relay)


def _block(
    server: AwsServer, encryption: object, *, denying: str | None = None, **more: object
) -> dict[str, Any]:
    bucket = server.create_bucket()
    user = server.create_user(bucket_access(bucket))
    if denying is not None:
        server.set_bucket_policy(bucket, _denying(bucket, denying))
    return {
        "region": REGION,
        "bucket": bucket,
        "prefix": "test",
        "endpoint_url": server.endpoint_url,
        "credentials": {
            "access_key_id": user.access_key_id,
            "secret_access_key": user.secret_access_key,
        },
        **({} if encryption is None else {"server_side_encryption": encryption}),
        **more,
    }


@pytest.mark.parametrize("label", LABELS)
def test_a_backup_is_written_and_read_with_the_encryption(encrypted: Encrypted, label: str) -> None:
    """Every object, also where the bucket denies others; then listed anew, restored, deleted."""
    orders = encrypted.client["shop"]["orders"]
    before = of_users(contents(encrypted.client, databases=["shop"]))
    backup = result_of(encrypted.run("backup", storage=label))["backup"]
    heads = encrypted.heads(label, f"rs0/backups/{backup}/")
    assert len(heads) >= 2
    wanted = encrypted.blocks[label]["server_side_encryption"]
    for head in heads.values():
        assert head.get("ServerSideEncryption") == wanted.get("algorithm")
        assert head.get("SSECustomerAlgorithm") == wanted.get("sse_customer_algorithm")
        assert label != "kms-key" or head["SSEKMSKeyId"] == wanted["kms_key_id"]
    encrypted.client["backstay"]["backups"].delete_many({})
    result_of(encrypted.run("resync", storage=label))
    orders.delete_many({"_id": {"$lt": 100}})
    result_of(encrypted.run("restore", backup=backup, storage=label, overwrite=True))
    after = of_users(contents(encrypted.client, databases=["shop"]))
    assert [] == differences(before, after)
    result_of(encrypted.run("delete", backup=backup, storage=label, force=True))
    assert {} == encrypted.heads(label, f"rs0/backups/{backup}/")


def test_a_bucket_key_is_asked_for_with_every_upload(encrypted: Encrypted) -> None:
    """The server does not keep it; no key is named, so that it is the account's own."""
    result_of(encrypted.run("backup", storage="account-key"))
    uploads = [each.headers for each in encrypted.relay.requests if each.method == "PUT"]
    assert uploads
    for headers in uploads:
        assert headers["x-amz-server-side-encryption-bucket-key-enabled"] == "true"
        assert KMS_HEADER not in headers


@pytest.mark.parametrize(
    ("label", "setting"),
    [
        ("none", "set storage.s3.server_side_encryption"),
        ("other", "correct storage.s3.server_side_encryption.algorithm"),
    ],
)
def test_without_the_encryption_that_a_bucket_wants_the_setting_is_named(
    encrypted: Encrypted, label: str, setting: str
) -> None:
    """The bucket's policy denies the upload, and S3 does not say why."""
    code, message, hint = error_of(encrypted.run("backup", storage=label), "failed")
    assert code == "storage_denied"
    assert "explicit deny" in message
    assert setting in hint
    assert {} == encrypted.heads(label)


def test_a_label_that_is_not_configured_is_refused(encrypted: Encrypted) -> None:
    """It names those that are."""
    for command in ({"command": "backup"}, {"command": "resync"}):
        code, message, hint = error_of(encrypted.run(**command, storage="else"), "rejected")
        assert code == "unknown_storage"
        assert "'else'" in message
        assert all(label in hint for label in LABELS)


@pytest.mark.timeout(180)
def test_the_archive_is_encrypted_too_and_another_key_opens_nothing(encrypted: Encrypted) -> None:
    """A restore to the latest time reads segments; with another key each read is an error."""
    client, orders = encrypted.client, encrypted.client["shop"]["orders"]
    result_of(encrypted.run("backup"))
    with client.start_session() as session:
        orders.insert_one({"_id": "after the backup"}, session=session)
        written = session.operation_time
    segments = eventually(lambda: encrypted.heads("own-key", "rs0/oplog/"), 30)
    assert {"AES256"} == {each.get("SSECustomerAlgorithm") for each in segments.values()}
    with pytest.raises(ClientError):
        encrypted.aws.client().get_object(
            Bucket=encrypted.blocks["own-key"]["bucket"], Key=next(iter(segments))
        )
    status = client["backstay"]["status"]
    archived = {"_id": "cluster", "oplog.archived_to": {"$gte": written}}
    eventually(lambda: status.find_one(archived), 40, message="all is archived")
    before = of_users(contents(client, databases=["shop"]))
    orders.delete_many({})
    result_of(encrypted.run("restore", to=written, overwrite=True))
    assert [] == differences(before, of_users(contents(client, databases=["shop"])))

    encrypted.agent.terminate()
    settings = yaml.safe_load(encrypted.agent.config.read_text())
    settings["storage"]["s3"]["server_side_encryption"] = _own_key(KEY[::-1])
    settings["oplog"]["enabled"] = False
    encrypted.agent.config.write_text(yaml.safe_dump(settings))
    encrypted.agent.restart()
    ended = encrypted.run("restore", overwrite=True)
    code, _, hint = error_of(ended, ended["state"])
    assert code == "storage_customer_key"
    assert "sse_customer_key" in hint
    control = client["backstay"]
    every = [list(control[name].find()) for name in control.list_collection_names()]
    text = encrypted.agent.text() + json_util.dumps(every)
    assert str(ended["_id"]) in text
    for key in (KEY, KEY[::-1]):
        assert base64.b64encode(key).decode() not in text
