"""Three agents, schedules that are due, and every answer to a control write lost, again and again.

The server has applied each of those writes: whoever asked does not know, and has to ask again.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from tests.system.protected import QUICK, Protected, protected
from tests.system.storages import DirectoryStorage, manifest_keys
from tests.testbed.clients import Document, open_client
from tests.testbed.mongo_proxy import Command, ProxiedReplicaSet
from tests.testbed.replica_set import ReplicaSetSpec
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_BACKUP: Document = {"command": "backup", "namespaces": ["shop.*"]}
SCHEDULES: dict[str, Document] = {
    "hourly": _BACKUP,
    "other": {**_BACKUP, "tags": {"other": "yes"}},
    "verifying": {"command": "verify", "backup": "latest"},
    "resyncing": {"command": "resync"},
}
_BACKUPS = 2
# The driver repeats a write once by itself: from two on it is the agents who do.
_IN_A_ROW = 2
_EVERY = 10


class Losing:
    """Of each kind of control write, some answers in a row are lost, and then others arrive.

    The first of each kind is lost. A lost answer costs all connections of who asked, so that with
    many more of them nobody would come to anything.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Counter[tuple[str, str]] = Counter()

    def __call__(self, command: Command) -> bool:
        """Whether this one's answer is lost; asked by the threads of three proxies."""
        if command.database != "backstay" or not command.is_write:
            return False
        with self._lock:
            number = self._seen[command.name, command.collection]
            self._seen[command.name, command.collection] += 1
        return number % _EVERY < _IN_A_ROW


@pytest.fixture
def replica_set() -> Iterator[ProxiedReplicaSet]:
    """Three nodes, each of which is known by a proxy."""
    with ProxiedReplicaSet.start(ReplicaSetSpec(nodes=3)) as replica_set:
        replica_set.client()["shop"]["items"].insert_many([{"_id": each} for each in range(200)])
        yield replica_set


def test_each_due_time_is_run_once_although_answers_are_lost(
    replica_set: ProxiedReplicaSet, tmp_path: Path
) -> None:
    """One command for each, done once: as many backups in the storage as were due."""
    with protected(replica_set, DirectoryStorage(tmp_path), QUICK) as cluster:
        cluster.done("backup")
        _plan(cluster)
        losing = Losing()
        losses = [each.lose(losing, times=10**6) for each in replica_set.proxies]
        _let_them_be_due(cluster, replica_set)
        for name in SCHEDULES:
            (run,) = eventually(partial(_runs, cluster, name), 60, message=f"{name} runs")
            assert "done" == cluster.end_of(run, 120)["state"], cluster.document(run)
        for proxy in replica_set.proxies:
            proxy.lose_nothing()
        _each_was_run_once(cluster)
        lost = Counter(each.collection for loss in losses for each in loss.lost)
        assert {"commands", "schedules", "tasks", "leases", "backups"} <= set(lost)


def _plan(cluster: Protected) -> None:
    """Insert the schedules, due in half an hour, and wait until they are marked as seen."""
    minute = (_now(cluster).minute + 30) % 60
    cluster.control["schedules"].insert_many([
        {"_id": name, "cron": f"{minute} * * * *", "command": command}
        for name, command in SCHEDULES.items()
    ])
    unseen: Document = {"handled_to": {"$exists": False}}
    eventually(
        lambda: not cluster.control["schedules"].count_documents(unseen), 30, message="all are seen"
    )


def _let_them_be_due(cluster: Protected, replica_set: ProxiedReplicaSet) -> None:
    """Let the marks be as old as if no agent had lived for two hours, past the proxies."""
    node = replica_set.primary()
    uri = f"mongodb://{node.host}:{node.port}/?directConnection=true"
    schedules = open_client(uri, selection_timeout_ms=15_000)["backstay"]["schedules"]
    then = _now(cluster) - timedelta(hours=2)
    done = schedules.update_many({}, {"$set": {"handled_to": then}})
    assert len(SCHEDULES) == done.modified_count


def _runs(cluster: Protected, schedule: str) -> list[str]:
    found = cluster.control["commands"].find({"_id": {"$regex": f"^{schedule}@"}})
    return [each["_id"] for each in found]


def _each_was_run_once(cluster: Protected) -> None:
    """One command for each schedule, one backup for each that makes one, nothing left over."""
    commands = list(cluster.control["commands"].find({"_id": {"$regex": "@"}}))
    assert sorted(SCHEDULES) == sorted(each["_id"].split("@")[0] for each in commands)
    made = {each["result"]["backup"] for each in commands if each["command"] == "backup"}
    kept = {key.split("/")[-2] for key in manifest_keys(cluster.storage)}
    assert _BACKUPS == len(made)
    assert made < kept
    assert _BACKUPS + 1 == len(kept) == cluster.control["backups"].count_documents({})
    cluster.check_clean()


def _now(cluster: Protected) -> datetime:
    found: datetime = cluster.client.admin.command("hello")["localTime"]
    return found.replace(tzinfo=UTC)
