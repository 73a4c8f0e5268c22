"""Shared servers, and rules that hold for every test."""

import secrets
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest
import structlog
from bson import json_util
from hypothesis import HealthCheck, settings

from tests.testbed import secrecy
from tests.testbed.aws import AwsServer
from tests.testbed.clients import Client, closing_clients
from tests.testbed.federated import FederatedS3Server
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import Bucket, S3Server
from tests.testbed.waiting import eventually

_DATABASES_OF_THE_SERVER = {"admin", "config", "local"}


# How long an example takes says how busy the machine is.
settings.register_profile(
    "busy", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("busy")


def pytest_configure() -> None:
    """Let SIGTERM end a test run as Ctrl-C does: in order, with servers stopped."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session", autouse=True)
def _no_client_outlives_the_run() -> Iterator[None]:
    """Fail the run, not a test, when somebody's MongoClient was never closed."""
    yield

    def left() -> list[str]:
        return [each.name for each in threading.enumerate() if each.name.startswith("pymongo_")]

    eventually(lambda: not left(), timeout_s=15, message="every MongoClient is closed")


@pytest.fixture(scope="module", autouse=True)
def _no_client_outlives_its_module() -> Iterator[None]:
    with closing_clients():
        yield


@pytest.fixture(autouse=True)
def _no_client_outlives_its_test(_no_client_outlives_its_module: None) -> Iterator[None]:
    with closing_clients():
        yield


@pytest.fixture(autouse=True)
def _no_thread_outlives_its_test() -> Iterator[None]:
    """Fail a test that leaves a non-daemon thread behind."""
    before = set(threading.enumerate())
    yield

    def left() -> list[threading.Thread]:
        return [each for each in set(threading.enumerate()) - before if not each.daemon]

    eventually(lambda: not left(), timeout_s=10, message=f"threads have ended: {left()}")


@pytest.fixture(autouse=True)
def _no_log_outlives_its_test() -> Iterator[None]:
    """What a test set up would go on to a stream that is captured no more."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def shared_replica_set() -> Iterator[ReplicaSet]:
    """Three nodes of 6.0 for the whole run; tests use `replica_set`, which cleans up."""
    with ReplicaSet.start() as replica_set:
        yield replica_set


@pytest.fixture
def replica_set(shared_replica_set: ReplicaSet) -> Iterator[ReplicaSet]:
    """Three healthy nodes of 6.0 without any user's databases, users or roles.

    A test may kill, freeze and step down members: they are put right afterwards. One that changes
    server parameters starts a set of its own.
    """
    yield shared_replica_set
    for node in shared_replica_set.nodes:
        node.start(wait=False)
        node.resume()
    for node in shared_replica_set.nodes:
        node.wait_until_ready()
    shared_replica_set.wait_until_healthy()
    with shared_replica_set.client() as client:
        control = client["backstay"]
        for name in control.list_collection_names():
            secrecy.check(json_util.dumps(control[name].find()), f"the collection {name}")
        _empty(client)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for the whole run; it is not emptied between tests."""
    with S3Server.start() as server:
        yield server


@pytest.fixture(scope="session")
def _shared_bucket(s3_server: S3Server) -> str:
    return s3_server.create_bucket()


@pytest.fixture
def bucket(s3_server: S3Server, _shared_bucket: str) -> Bucket:
    """A prefix of the test's own in a bucket that all tests share."""
    return Bucket(server=s3_server, name=_shared_bucket, prefix=f"test-{secrets.token_hex(6)}")


@pytest.fixture(scope="session")
def aws_server() -> Iterator[AwsServer]:
    """One S3, STS, IAM and KMS that enforce policies, for the whole run; it is not emptied."""
    with AwsServer.start() as server:
        yield server


@pytest.fixture(scope="session")
def federated_server() -> Iterator[FederatedS3Server]:
    """One S3 and STS with an issuer of web identity tokens; keys live for 4 s."""
    with FederatedS3Server.start() as server:
        yield server


def _empty(client: Client) -> None:
    for name in client.list_database_names():
        if name not in _DATABASES_OF_THE_SERVER:
            client.drop_database(name)
    # Users and roles outlive the database that they belong to.
    for name in client["admin"]["system.users"].distinct("db"):
        client[name].command("dropAllUsersFromDatabase")
    for name in client["admin"]["system.roles"].distinct("db"):
        client[name].command("dropAllRolesFromDatabase")
