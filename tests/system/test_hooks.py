"""Hooks and a webhook of real agents: broken ones are problems, and the work is done."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.http_server import Answer, Request
from tests.system.protected import WITHOUT_ARCHIVE, Protected, protected
from tests.system.storages import DirectoryStorage
from tests.system.writer import seed_documents
from tests.testbed import secrecy
from tests.testbed.clients import Document
from tests.testbed.endpoint import Endpoint
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class Receiver(Endpoint):
    """Whoever is told what happens."""

    def __init__(self) -> None:
        """Nothing has arrived."""
        super().__init__()
        self.bodies: list[dict[str, Any]] = []

    def environment(self) -> dict[str, str]:
        """Return none: it stands in the configuration."""
        return {}

    def told(self, event: str, what: str) -> list[dict[str, Any]]:
        """Return what arrived of a command, or of the problems of a code."""
        return [
            each
            for each in tuple(self.bodies)
            if each["event"] == event
            and what in {each.get("problem", {}).get("code"), each.get("command", {}).get("id")}
        ]

    def _answer(self, request: Request) -> Answer:
        self.bodies.append(json.loads(request.body))
        return Answer()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver that is not there yet."""
    with Receiver() as receiver:
        yield receiver


def _notify(receiver: Receiver) -> Document:
    return {"url": f"{receiver.url}/{secrecy.keep('hook-token-of-this-test')}", "timeout_s": 5}


def _script(path: Path, lines: str) -> str:
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def _fail_a_backup(cluster: Protected) -> None:
    """Leave a command as a backup that failed does."""
    cluster.control["commands"].insert_one({
        "_id": "of yesterday",
        "command": "backup",
        "state": "failed",
        "finished_at": cluster.client.admin.command("hello")["localTime"],
        "error": {"code": "oplog_rolled", "message": "why", "hint": "do this"},
    })


def _hints(cluster: Protected) -> dict[str, str]:
    """Return the hint of each problem that the status shows, by its message."""
    status = cluster.control["status"].find_one({"_id": "cluster"}) or {}
    return {each["message"]: each["hint"] for each in status.get("problems", ())}


def test_broken_hooks_and_a_receiver_that_is_away_are_problems_and_no_more(
    replica_set: ReplicaSet, directory: DirectoryStorage, receiver: Receiver, tmp_path: Path
) -> None:
    """The backup is done; each problem goes once it is mended.

    A new coordinator tells the receiver what it does not know yet, and nothing that it knows.
    """
    ran, fails = tmp_path / "ran", tmp_path / "fails"
    fails.touch()
    after = _script(
        tmp_path / "after",
        f"if [ -e {fails} ]; then echo no room; exit 3; fi; env > {ran}.new; mv {ran}.new {ran}",
    )
    hooks = {"before_backup": [str(tmp_path / "before")], "after_backup": [after, "an argument"]}
    settings = {**WITHOUT_ARCHIVE, "notify": _notify(receiver), "hooks": hooks}
    with protected(replica_set, directory, settings) as cluster:
        seed_documents(cluster.client)
        cluster.done("backup")
        webhook = f"notices do not reach {receiver.url.removeprefix('http://')}"
        broken = {"the hook before_backup fails", "the hook after_backup fails"}
        eventually(lambda: {*broken, webhook} == _hints(cluster).keys(), 60)
        found = _hints(cluster)
        assert "No such file or directory" in found["the hook before_backup fails"]
        assert "ended with status 3; it printed: no room" in found["the hook after_backup fails"]
        assert "Connection refused" in found[webhook]

        receiver.come_back()
        eventually(lambda: receiver.told("problem_begun", "notify_failing"), 90)
        eventually(lambda: broken == _hints(cluster).keys(), message="notices arrive")

        receiver.vanish()
        _fail_a_backup(cluster)
        failed = "the last backup failed (command of yesterday)"
        eventually(lambda: {*broken, failed} <= _hints(cluster).keys(), message="it is shown")
        victim = cluster.coordinator()
        victim.kill()
        receiver.come_back()
        eventually(lambda: receiver.told("problem_begun", "backup_failed"), 90)
        eventually(lambda: receiver.told("problem_begun", "agent_missing"), 90)
        begun = [each["id"] for each in receiver.told("problem_begun", "hook_failing")]
        assert 2 == len(set(begun)) == len(begun)
        victim.restart()
        eventually(lambda: receiver.told("problem_ended", "agent_missing"), 60)

        _script(tmp_path / "before", "exit 0")
        fails.unlink()
        order = cluster.order("backup")
        backup = cluster.end_of(order)["result"]["backup"]
        eventually(lambda: not _hints(cluster), message="everything is mended")
        eventually(lambda: 2 == len(receiver.told("problem_ended", "hook_failing")), 30)
        eventually(lambda: receiver.told("problem_ended", "backup_failed"), 30)
        (notice,) = eventually(lambda: receiver.told("command_done", str(order)), 30)
        assert backup == notice["command"]["result"]["backup"]
        told = dict(line.split("=", 1) for line in ran.read_text().splitlines())
        expected = {
            "BACKSTAY_EVENT": "after_backup",
            "BACKSTAY_STATE": "done",
            "BACKSTAY_COMMAND_ID": str(order),
            "BACKSTAY_BACKUP_ID": backup,
        }
        assert expected.items() <= told.items()
        for name in ("status", "commands", "events"):
            secrecy.check(str(list(cluster.control[name].find())), name)


def test_a_hook_that_hangs_holds_up_its_job_alone(
    replica_set: ReplicaSet, directory: DirectoryStorage, tmp_path: Path
) -> None:
    """Heartbeats, leases and other jobs go on; SIGTERM ends it; the next agent does the backup."""
    hung = tmp_path / "hung"
    before = _script(tmp_path / "before", f"echo $$ > {hung}; exec sleep 600")
    settings = {"hooks": {"before_backup": [before], "timeout_s": 3600}}
    with protected(replica_set, directory, settings) as cluster:
        seed_documents(cluster.client)
        order = cluster.order("backup")
        pid = int(eventually(lambda: hung.read_text() if hung.exists() else "", 30))
        leader = cluster.coordinator()
        _goes_on(cluster)
        cluster.done("check")
        assert "running" == cluster.document(order)["state"]
        began = time.monotonic()
        assert 0 == leader.terminate()
        assert time.monotonic() - began < 10
        eventually(lambda: not Path(f"/proc/{pid}").exists(), message="the hook has ended too")
        assert "done" == cluster.end_of(order)["state"]
        assert cluster.coordinator() is not leader


def _goes_on(cluster: Protected) -> None:
    """Wait until every document of the status was written anew."""
    status = cluster.control["status"]
    first = {each["_id"]: each["updated_at"] for each in status.find()}

    def is_newer() -> bool:
        now = {each["_id"]: each["updated_at"] for each in status.find()}
        return all(now[name] > moment for name, moment in first.items())

    eventually(is_newer, 30, message="every status is written anew")
