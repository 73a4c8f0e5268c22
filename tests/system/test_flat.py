"""An agent that has done many jobs holds no more than one that has done some."""

import secrets
from collections.abc import Iterator
from contextlib import closing

import psutil
import pytest

from tests.system.protected import Protected, error_of, protected
from tests.system.storages import BucketStorage
from tests.testbed.agents import Agent
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import Bucket, FastS3Server
from tests.testbed.waiting import eventually

# As many connections may be open as there were requests at the same time, which is chance.
_MORE_FILES = 4
# A client of MongoDB's begins to measure round trips some seconds after it was opened.
_MORE_THREADS = 2
# What forty jobs leave: their events in the log, and the server's statistics in its clients.
_MORE_BYTES = 12 * 2**20
_GONE = "20200101T000000Z"
_QUICK = {"control": {"poll_interval_s": 0.1}}


@pytest.fixture
def cluster() -> Iterator[Protected]:
    """One agent beside the only node, and a real S3 server."""
    with FastS3Server.start() as server, ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        bucket = Bucket(server=server, name=server.create_bucket(), prefix=secrets.token_hex(4))
        replica_set.client()["shop"]["items"].insert_many([{"_id": each} for each in range(300)])
        options = {"checksums": "when_required", "conditional_puts": False}
        with (
            closing(BucketStorage(bucket, **options)) as storage,
            protected(replica_set, storage, _QUICK) as cluster,
        ):
            yield cluster


def _round(cluster: Protected) -> int:
    """Do each kind of job once, and have each kind fail; return how many there were."""
    backup = cluster.done("backup")["backup"]
    copy = {"namespaces": ["shop.*"], "rename": [{"from": "shop.*", "to": "copy.*"}]}
    cluster.done("verify", backup=backup, depth="content")
    cluster.done("restore", backup=backup, overwrite=True, **copy)
    cluster.done("check")
    cluster.done("prune")
    refused = [
        cluster.run("backup", storage="nowhere"),
        cluster.run("prune", storage="nowhere"),
        cluster.run("verify", backup=_GONE),
        cluster.run("restore", backup=_GONE, **copy),
        cluster.run("restore", backup=backup, **copy),
    ]
    for each in refused:
        error_of(each, "rejected")
    return 5 + len(refused)


@pytest.mark.timeout(240)
def test_many_jobs_leave_no_more_than_ten(cluster: Protected) -> None:
    """Threads, open files and memory of the agent, whether jobs were done or refused."""
    (agent,) = cluster.agents.all
    process = psutil.Process(agent.pid)
    done = _round(cluster)
    threads = process.num_threads() + _MORE_THREADS
    files, resident = process.num_fds(), _resident(process)
    while done < 40:
        done += _round(cluster)

    assert _told(agent) >= done
    eventually(lambda: process.num_threads() <= threads, 30, message="no thread is left of a job")
    assert process.num_fds() <= files + _MORE_FILES
    assert _resident(process) <= resident + _MORE_BYTES


def _resident(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def _told(agent: Agent) -> int:
    """Return how many jobs the agent's log tells the end of."""
    return sum(line.get("event") == "job ended" for line in agent.logs())
