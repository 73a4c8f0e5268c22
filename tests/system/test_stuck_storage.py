"""A storage that takes connections and never answers, or a byte a second: only its work waits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

import pytest
from pymongo.synchronous.database import Database

from tests.system.protected import END_STATES, QUICK
from tests.testbed.agents import Agent, AgentSpec, s3_storage
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import Bucket
from tests.testbed.slow_line import SlowLine
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# Shorter than the default, which is a minute: what is seen is the same, sooner.
ANSWER_S = 8


@pytest.fixture(scope="module")
def small_set() -> Iterator[ReplicaSet]:
    """One node with something to back up."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        replica_set.client()["shop"]["items"].insert_many([
            {"_id": number, "text": "x" * 1000} for number in range(200)
        ])
        yield replica_set


@pytest.fixture
def line(bucket: Bucket) -> Iterator[SlowLine]:
    """The line to the S3 server."""
    port = urlsplit(bucket.server.endpoint_url).port
    assert port is not None
    with SlowLine(port) as line:
        yield line


@contextmanager
def agent_on(line: SlowLine, small_set: ReplicaSet, bucket: Bucket) -> Iterator[Agent]:
    """An agent whose storage is at the other end of the line."""
    settings = s3_storage(
        bucket.server,
        bucket.name,
        bucket.prefix,
        endpoint_url=f"http://127.0.0.1:{line.port}",
        read_timeout_s=ANSWER_S,
    )
    agent = Agent.start(AgentSpec(node=small_set.nodes[0], storage=settings, settings=QUICK))
    try:
        yield agent
    except BaseException as error:
        error.add_note(agent.text()[-4000:])
        raise
    finally:
        agent.kill()


@pytest.mark.parametrize("kind", ["never", "a byte a second"])
def test_a_stuck_storage_holds_up_nothing_but_its_own_work(
    kind: str, line: SlowLine, small_set: ReplicaSet, bucket: Bucket
) -> None:
    """Heartbeats and leases go on, the status says what is wrong, and a SIGTERM ends the agent."""
    control = small_set.client()["backstay"]
    control.client.drop_database("backstay")
    with agent_on(line, small_set, bucket) as agent:
        name = f"agent:{small_set.nodes[0].address}"

        def own() -> Document:
            return control["status"].find_one({"_id": name}) or {}

        def lease() -> Document:
            return control["leases"].find_one({"_id": "coordinator"}) or {}

        eventually(lambda: own().get("pid") == agent.pid, 60, message="the agent reports")
        ended = {"state": {"$in": sorted(END_STATES)}}
        eventually(lambda: control["commands"].find_one(ended), 60, message="the resync is over")
        token = lease()["token"]

        line.is_held, line.trickles = kind == "never", kind != "never"
        order = control["commands"].insert_one({"command": "backup"}).inserted_id
        eventually(lambda: _told(control)["running"], 60, message="the status tells of the job")
        # Longer than a lease, and than a heartbeat that was held up.
        _goes_on(lambda: own()["updated_at"], timedelta(seconds=20))
        _goes_on(lambda: _told(control)["updated_at"], timedelta(seconds=5))
        assert token == lease()["token"], "the lease was never lost"
        assert order == _told(control)["running"]["command_id"]
        eventually(lambda: not own()["storage"]["ok"], 90, message="the agent tells")
        eventually(lambda: "storage_unreachable" in _codes(control), 30, message="a problem stands")
        assert 0 == agent.terminate(timeout_s=12)


def _told(control: Database[Document]) -> Document:
    return control["status"].find_one({"_id": "cluster"}) or {"running": None, "problems": ()}


def _codes(control: Database[Document]) -> set[str]:
    return {each["code"] for each in _told(control)["problems"]}


def _goes_on(beat: Callable[[], datetime], span: timedelta) -> None:
    """Wait until the beats have come so far, none of them late."""
    begun = last = beat()
    while last - begun < span:
        last = eventually(partial(_later_than, last, beat), 10, message="the next beat")


def _later_than(last: datetime, beat: Callable[[], datetime]) -> datetime | None:
    found = beat()
    return found if found > last else None
