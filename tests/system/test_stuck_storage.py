"""A storage that takes connections and never answers, or a byte a second: no wait is endless."""

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

# Shorter than the defaults, a minute and two: what is seen is the same, sooner.
ANSWER_S = 8
IMPATIENT = {"read_timeout_s": 2, "retries": {"limit_s": 1}}


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
def agent_on(
    line: SlowLine, small_set: ReplicaSet, bucket: Bucket, **changes: object
) -> Iterator[Agent]:
    """A new agent, whose storage is at the other end of the line."""
    small_set.client().drop_database("backstay")
    url = f"http://127.0.0.1:{line.port}"
    extra = {"endpoint_url": url, "read_timeout_s": ANSWER_S, **changes}
    storage = s3_storage(bucket.server, bucket.name, bucket.prefix, **extra)
    agent = Agent.start(AgentSpec(node=small_set.nodes[0], storage=storage, settings=QUICK))
    try:
        yield agent
    except BaseException as error:
        error.add_note(agent.text()[-4000:])
        raise
    finally:
        agent.kill()


def test_a_stuck_storage_holds_up_nothing_but_its_own_work(
    line: SlowLine, small_set: ReplicaSet, bucket: Bucket
) -> None:
    """Heartbeats and leases go on, the status tells of the job, and a SIGTERM ends the agent."""
    control = small_set.client()["backstay"]
    with agent_on(line, small_set, bucket) as agent:

        def lease() -> Document:
            return control["leases"].find_one({"_id": "coordinator"}) or {}

        ended = {"state": {"$in": sorted(END_STATES)}}
        eventually(lambda: control["commands"].find_one(ended), 60, message="the resync is over")
        token = lease()["token"]

        line.is_held = True
        order = control["commands"].insert_one({"command": "backup"}).inserted_id
        eventually(lambda: _told(control)["running"], 60, message="the status tells of the job")
        # Longer than a lease, and than a heartbeat that was held up.
        _goes_on(lambda: _of_agent(control)["updated_at"], timedelta(seconds=20))
        _goes_on(lambda: _told(control)["updated_at"], timedelta(seconds=5))
        assert token == lease()["token"], "the lease was never lost"
        assert order == _told(control)["running"]["command_id"]
        assert 0 == agent.terminate(timeout_s=12)


def test_a_storage_that_trickles_fails_what_needs_it_and_is_told(
    line: SlowLine, small_set: ReplicaSet, bucket: Bucket
) -> None:
    """Nothing waits for more than its time; when the storage answers again, all goes on."""
    control = small_set.client()["backstay"]
    line.trickles = True
    with agent_on(line, small_set, bucket, **IMPATIENT):
        failed = {"command": "resync", "state": "failed"}
        first = eventually(
            lambda: control["commands"].find_one(failed), 90, message="the resync has failed"
        )
        assert "storage_too_slow" == first["error"]["code"]
        assert "4 KiB" in first["error"]["hint"]
        eventually(lambda: not _of_agent(control)["storage"]["ok"], 30, message="the agent tells")
        eventually(lambda: "storage_unreachable" in _codes(control), 30, message="a problem stands")
        _goes_on(lambda: _of_agent(control)["updated_at"], timedelta(seconds=5))

        line.trickles = False
        eventually(lambda: _of_agent(control)["storage"]["ok"], 60, message="the storage is back")
        order = control["commands"].insert_one({"command": "backup"}).inserted_id
        is_done = {"_id": order, "state": "done"}
        eventually(lambda: control["commands"].find_one(is_done), 60, message="a backup is done")
        eventually(lambda: (_told(control).get("oplog") or {}).get("archived_to"), 60)


def _of_agent(control: Database[Document]) -> Document:
    found = control["status"].find_one({"kind": "agent"})
    return found or {"storage": {"ok": True}}


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
