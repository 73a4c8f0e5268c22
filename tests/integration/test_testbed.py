"""The testbed does what the other tests take for granted."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError
from bson.int64 import Int64
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure
from pymongo.write_concern import WriteConcern

from tests.testbed import secrecy
from tests.testbed.agents import Agent, AgentSpec, filesystem_storage
from tests.testbed.clients import Client, Document
from tests.testbed.hashes import contents, database_hashes, differences
from tests.testbed.mongod import Node, NodeSpec
from tests.testbed.process import remove_directory
from tests.testbed.programs import REPOSITORY
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import Bucket, FastS3Server
from tests.testbed.shell import run_mongosh
from tests.testbed.waiting import eventually


@pytest.fixture
def lonely() -> Iterator[ReplicaSet]:
    """A replica set of one, of the test's own."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        yield replica_set


def test_three_nodes_come_up_and_take_majority_writes(replica_set: ReplicaSet) -> None:
    """A write that three nodes acknowledged is read back from a secondary."""
    shop = replica_set.client().get_database("shop", write_concern=WriteConcern(w=3))
    shop["orders"].insert_one({"_id": 1})

    assert ["PRIMARY", "SECONDARY", "SECONDARY"] == sorted(replica_set.states().values())
    assert [{"_id": 1}] == list(replica_set.secondaries()[0].client()["shop"]["orders"].find())


def test_step_down_moves_the_primary(replica_set: ReplicaSet) -> None:
    """After a step-down another member takes the writes."""
    old = replica_set.primary()

    new = replica_set.step_down()

    assert old is not new
    new.client()["shop"]["orders"].insert_one({"_id": 1})
    assert not old.client().admin.command("hello")["isWritablePrimary"]


def test_killed_node_comes_back_with_its_data(replica_set: ReplicaSet) -> None:
    """A node that was killed keeps port and data, and catches up."""
    orders = replica_set.client()["shop"]["orders"]
    orders.with_options(write_concern=WriteConcern(w=3)).insert_one({"_id": 1})
    killed = replica_set.secondaries()[0]
    address, pid = killed.address, killed.pid

    killed.kill()
    assert not psutil.pid_exists(pid)
    orders.with_options(write_concern=WriteConcern("majority")).insert_one({"_id": 2})
    killed.start()
    replica_set.wait_until_healthy()

    assert address == killed.address
    found = killed.client()["shop"]["orders"]
    eventually(lambda: [1, 2] == sorted(found.distinct("_id")), message="the node caught up")


def test_frozen_primary_is_replaced(replica_set: ReplicaSet) -> None:
    """A primary that stalls is no longer primary when it goes on."""
    old = replica_set.primary()
    others = [(node, node.client().admin) for node in replica_set.nodes if node is not old]

    old.pause()
    new = eventually(
        lambda: next((node for node, admin in others if _takes_writes(admin)), None),
        timeout_s=30,
        message="another member is primary",
    )
    old.resume()

    admin = old.client().admin
    eventually(lambda: not _takes_writes(admin), timeout_s=30)
    assert replica_set.primary() is new


def test_authentication_is_demanded_when_on() -> None:
    """With `auth`, a stranger reads nothing and the testbed's user reads all."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, auth=True)) as replica_set:
        stranger: Client = MongoClient(f"mongodb://{replica_set.nodes[0].address}/")
        with stranger, pytest.raises(OperationFailure, match="requires authentication"):
            stranger["shop"]["orders"].find_one()

        replica_set.client()["shop"]["orders"].insert_one({"_id": 1})


def test_arbiter_holds_no_data() -> None:
    """The last of three is an arbiter, and is not among the seeds."""
    with ReplicaSet.start(ReplicaSetSpec(arbiter=True)) as replica_set:
        arbiter = replica_set.nodes[-1]

        assert "ARBITER" == replica_set.states()[arbiter.address]
        assert arbiter.address not in replica_set.uri


def test_standalone_is_no_replica_set() -> None:
    """A node without a replica set's name is a standalone mongod."""
    node = Node(NodeSpec())
    try:
        node.start()

        assert "setName" not in node.client().admin.command("hello")
    finally:
        node.remove()


def test_server_5_0_starts() -> None:
    """Server 5.0 runs with the OpenSSL that the testbed brings, and three nodes form a set."""
    with ReplicaSet.start(ReplicaSetSpec(version="5.0")) as replica_set:
        version = replica_set.client().admin.command("buildInfo")["version"]

        assert version.startswith("5.0.")


def test_parameters_reach_the_server() -> None:
    """A start parameter of the test's wins over the server's default."""
    spec = ReplicaSetSpec(nodes=1, parameters={"minSnapshotHistoryWindowInSeconds": 7})
    with ReplicaSet.start(spec) as replica_set:
        answer = replica_set.client().admin.command({
            "getParameter": 1,
            "minSnapshotHistoryWindowInSeconds": 1,
        })

        assert 7 == answer["minSnapshotHistoryWindowInSeconds"]


def test_hash_at_a_cluster_time_does_not_see_later_writes(lonely: ReplicaSet) -> None:
    """`dbHash` can be asked for a cluster time of the past."""
    client = lonely.client()
    first = client["shop"].command({"insert": "orders", "documents": [{"_id": 1}]})
    before = database_hashes(client["shop"])
    client["shop"]["orders"].insert_one({"_id": 2})

    assert before == database_hashes(client["shop"], at=first["operationTime"])
    assert before != database_hashes(client["shop"])


def test_contents_tell_types_of_equal_numbers_apart(lonely: ReplicaSet) -> None:
    """Two indexes that differ in the type of a number alone are not the same."""
    client = lonely.client()
    client["left"]["orders"].create_index({"at": 1}, name="at", expireAfterSeconds=60)
    client["right"]["orders"].create_index({"at": Int64(1)}, name="at", expireAfterSeconds=60)

    left = contents(client, databases=["left"])
    right = contents(client, databases=["right"])

    assert [] == differences(left, left)
    assert left.indexes["left.orders"]["at"]["key"] != right.indexes["right.orders"]["at"]["key"]


def test_differences_name_what_is_lost(lonely: ReplicaSet) -> None:
    """A changed document and a lost index are each named."""
    client = lonely.client()
    client["shop"]["orders"].insert_one({"_id": 1, "sum": 1})
    client["shop"]["orders"].create_index("sum")
    before = contents(client)

    client["shop"]["orders"].update_one({"_id": 1}, {"$set": {"sum": 1.0}})
    client["shop"]["orders"].drop_index("sum_1")

    kinds = [line.split(":")[0] for line in differences(before, contents(client))]
    assert ["hash of shop.orders", "indexes of shop.orders"] == kinds


def test_s3_refuses_to_create_an_object_twice(bucket: Bucket) -> None:
    """`If-None-Match: *` stores the first object and refuses the second."""
    client = bucket.server.client()
    key = f"{bucket.prefix}/object"
    client.put_object(Bucket=bucket.name, Key=key, Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=bucket.name, Key=key, Body=b"second", IfNoneMatch="*")

    assert "PreconditionFailed" == refused.value.response["Error"]["Code"]
    assert b"first" == client.get_object(Bucket=bucket.name, Key=key)["Body"].read()


def test_s3_refuses_a_wrong_checksum(bucket: Bucket) -> None:
    """An upload whose checksum does not fit its body is not stored."""
    client = bucket.server.client()
    with pytest.raises(ClientError):
        client.put_object(
            Bucket=bucket.name,
            Key=f"{bucket.prefix}/object",
            Body=b"body",
            ChecksumSHA256="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        )


def test_fast_s3_server_keeps_objects_over_a_kill() -> None:
    """The bench's S3 server stores objects and has them after SIGKILL."""
    with FastS3Server.start() as server:
        bucket = server.create_bucket()
        server.client().put_object(Bucket=bucket, Key="a/b", Body=b"body")

        server.kill()
        server.start_again()

        assert b"body" == server.client().get_object(Bucket=bucket, Key="a/b")["Body"].read()


def test_mongosh_answers(lonely: ReplicaSet) -> None:
    """A script's output and exit status come back from the real mongosh."""
    done = run_mongosh(lonely.uri, "print(db.hello().isWritablePrimary)")
    failed = run_mongosh(lonely.uri, "throw new Error('no such order')")

    assert ("true", 0) == (done.stdout.strip(), done.exit_status)
    assert failed.exit_status != 0
    assert "no such order" in failed.stderr


def test_servers_die_with_the_process_that_started_them() -> None:
    """Not even SIGKILL of a test run leaves a server or its files behind."""
    script = (
        "import json, sys, os, signal\n"
        "from tests.testbed.mongod import Node, NodeSpec\n"
        "node = Node(NodeSpec())\n"
        "node.start()\n"
        "print(json.dumps([node.pid, str(node.directory)]), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, check=False
    )
    pid, directory = json.loads(run.stdout)

    eventually(lambda: not psutil.pid_exists(pid), message="mongod is dead")
    eventually(lambda: not (REPOSITORY / directory).exists(), message="its files are gone")


def _takes_writes(admin: Database[Document]) -> bool:
    return bool(admin.command("hello")["isWritablePrimary"])


def test_a_secret_that_an_agent_writes_is_found(lonely: ReplicaSet, tmp_path: Path) -> None:
    """In its log, and in what a verb prints; wherever the secret was handed out."""
    agent = Agent.start(AgentSpec(node=lonely.nodes[0], storage=filesystem_storage(tmp_path)))
    try:
        secret = "not-to-be-written-anywhere"
        secrecy.check(secret, "what nobody handed out")
        secrecy.keep_all({"s3": {"credentials": {"secret_access_key": secret}}})
        with pytest.raises(AssertionError, match="what backstay list printed holds a secret"):
            agent.verb("list", secret)
        with (agent.directory / "log").open("a") as log:
            log.write(f"oops: {secret}")
        with pytest.raises(AssertionError, match="the log of an agent holds a secret"):
            agent.kill()
    finally:
        remove_directory(agent.directory)
        agent.kill()
