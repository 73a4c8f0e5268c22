"""Real agents run what is due, whoever of them dies; operators change schedules meanwhile."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from agent.model.schedules import run_of
from tests.system.protected import WITHOUT_ARCHIVE, Protected, protected
from tests.system.storages import DirectoryStorage
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

MINUTELY: Document = {
    "_id": "minutely",
    "cron": "* * * * *",
    "command": {"command": "backup", "namespaces": ["shop.*"]},
}
LATER: Document = {"_id": "later", "command": {"command": "resync"}}


@pytest.fixture
def cluster(replica_set: ReplicaSet, directory: DirectoryStorage) -> Iterator[Protected]:
    """One small collection, and agents."""
    replica_set.client()["shop"]["items"].insert_many([{"_id": number} for number in range(10)])
    with protected(replica_set, directory, WITHOUT_ARCHIVE) as cluster:
        yield cluster


def test_schedules_run_whoever_dies_and_are_changed_live(cluster: Protected) -> None:
    """One command for each due time over a SIGKILL; an edit, a switch, and a night without agents.

    All in one test, since cron knows nothing shorter than a minute.
    """
    schedules = cluster.control["schedules"]
    schedules.insert_many([
        MINUTELY,
        {**MINUTELY, "_id": "nowhere", "timezone": "Europe/Wienna"},
        {**MINUTELY, "_id": "lost", "cron": "0 0 1 1 *", "command": {"command": "check"}},
        {"_id": "far", "retention": {"keep_last": 1}, "storage": "mian"},
    ])
    _is_told(cluster)

    first = eventually(lambda: _runs(cluster, "minutely"), 90, message="the first run is there")[0]
    victim = cluster.coordinator()
    victim.kill()
    schedules.update_one({"_id": "minutely"}, {"$set": {"command.tags": {"edited": "yes"}}})
    assert "done" == cluster.end_of(first)["state"]
    assert "tags" not in cluster.document(first)
    edited = {**_of("minutely"), "tags": {"edited": "yes"}, "state": "done"}
    eventually(lambda: cluster.control["commands"].find_one(edited), 180, message="a later run")
    assert cluster.coordinator() is not victim

    minute = (_now(cluster).minute + 30) % 60
    schedules.update_one({"_id": "minutely"}, {"$set": {"enabled": False}})
    schedules.insert_one({**LATER, "cron": f"{minute} * * * *"})
    eventually(lambda: ["later", "lost"] == _next_runs(cluster), 30, message="the change shows")
    made = _runs(cluster, "minutely")
    _each_made_one_backup(cluster, made)

    _no_agent_lives_for_hours(cluster)
    for agent in cluster.agents.all:
        agent.restart()
    caught_up = eventually(lambda: _runs(cluster, "later"), 60, message="what was missed")
    assert "done" == cluster.end_of(caught_up[0])["state"]
    (run,) = map(run_of, _runs(cluster, "later"))
    assert run is not None
    assert timedelta(0) < _now(cluster) - run.due_at < timedelta(hours=1)
    assert made == _runs(cluster, "minutely"), "a schedule that is off makes up for nothing"


def _is_told(cluster: Protected) -> None:
    """The status and the command line know when what is due, and what is wrong."""
    expected = {("bad_schedule", "'nowhere'"), ("schedule_storage_unknown", "'far'")}

    def told() -> Document | None:
        status = cluster.control["status"].find_one({"_id": "cluster"}) or {}
        found = [(each["code"], each["message"]) for each in status.get("problems", [])]
        assert all(any(code == c and name in m for c, m in found) for code, name in expected)
        return status

    status = eventually(told, 30, message="the problems are told")
    runs = status["next_runs"]
    assert [("minutely", "backup"), ("lost", "check")] == [
        (each["schedule"], each["command"]) for each in runs
    ]
    assert (0, 0) == (runs[0]["at"].second, runs[0]["at"].microsecond)
    shown = cluster.agents.all[0].verb("schedules", "--json")
    listed = {each["schedule"]: each for each in json.loads(shown.stdout)}
    assert ["far", "lost", "minutely", "nowhere"] == sorted(listed)
    assert ["bad_schedule"] == [each["code"] for each in listed["nowhere"]["problems"]]
    assert "  next  " in cluster.agents.all[0].verb("status").stdout


def _runs(cluster: Protected, schedule: str) -> list[str]:
    """Return the ids of the commands of a schedule, by due time."""
    return sorted(each["_id"] for each in cluster.control["commands"].find(_of(schedule)))


def _of(schedule: str) -> Document:
    return {"_id": {"$regex": f"^{schedule}@"}}


def _next_runs(cluster: Protected) -> list[str]:
    status = cluster.control["status"].find_one({"_id": "cluster"}) or {}
    return [each["schedule"] for each in status["next_runs"]]


def _now(cluster: Protected) -> datetime:
    found: datetime = cluster.client.admin.command("hello")["localTime"]
    return found.replace(tzinfo=UTC)


def _each_made_one_backup(cluster: Protected, made: list[str]) -> None:
    """But for those that had to give way: takeovers may take longer than a minute."""
    ended = [cluster.end_of(each) for each in made]
    assert {each["state"] for each in ended} <= {"done", "canceled"}
    done = [each for each in ended if each["state"] == "done"]
    backups = {each["result"]["backup"] for each in done}
    assert len(done) == len(backups) == cluster.control["backups"].count_documents({})
    assert len(done) > 1


def _no_agent_lives_for_hours(cluster: Protected) -> None:
    """Kill all agents, and let the marks be as old as if that had been five hours ago."""
    for agent in cluster.agents.all:
        agent.kill()
    assert [] == _runs(cluster, "later")
    cluster.control["schedules"].update_many(
        {"handled_to": {"$exists": True}},
        {"$set": {"handled_to": _now(cluster) - timedelta(hours=5)}},
    )
