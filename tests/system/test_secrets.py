"""Nothing secret leaves the configuration file."""

from collections.abc import Iterator

import pytest
import zstandard
from bson import json_util

from tests.system.protected import Protected, protected
from tests.system.storages import BucketStorage, chunk_keys
from tests.testbed import secrecy
from tests.testbed.mongod import PASSWORD
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

_USER_SECRET = "a-secret-of-a-user"


@pytest.fixture
def guarded() -> Iterator[ReplicaSet]:
    """One node that asks for a password."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, auth=True)) as replica_set:
        yield replica_set


def test_no_secret_in_logs_or_in_the_control_database(
    guarded: ReplicaSet, storage: BucketStorage
) -> None:
    """After good and bad commands at the chattiest level, no key and no password is found."""
    client = guarded.client()
    client["shop"]["orders"].insert_one({"_id": 1})
    client.admin.command("createUser", "clerk", pwd=_USER_SECRET, roles=["read"])
    with protected(guarded, storage, {"log": {"level": "debug"}}) as cluster:
        backup = cluster.done("backup")["backup"]
        cluster.done("restore", backup=backup, overwrite=True)
        cluster.run("restore", backup="not there")
        cluster.run("backup", storage="not there")
        (agent,) = cluster.agents.all
        for verb in (
            ["list"],
            ["status"],
            ["show", backup],
            ["backup", "--storage", "nowhere"],
            ["check", "--json"],
            ["check", "--local"],
        ):
            result = agent.verb(*verb)
            _has_no_secret(result.stdout + result.stderr, storage)
        storage.remove(chunk_keys(storage)[0])
        failed = cluster.run("restore", backup=backup, overwrite=True)
        assert "failed" == failed["state"]
        agent.terminate()
        _has_no_secret(agent.text(), storage)
        _has_no_secret(_all_of(cluster), storage)
    for key in storage.list():
        body = storage.read(key)
        content = zstandard.ZstdDecompressor().decompress(body) if key.endswith(".zst") else body
        _has_no_secret(key + content.decode(errors="replace"), storage)


def _has_no_secret(text: str, storage: BucketStorage) -> None:
    server = storage.bucket.server
    assert text
    for secret in (server.secret_access_key, PASSWORD, _USER_SECRET):
        assert secret not in text
    secrecy.check(text, "what was written")


def _all_of(cluster: Protected) -> str:
    return json_util.dumps([
        document
        for name in cluster.control.list_collection_names()
        for document in cluster.control[name].find()
    ])
