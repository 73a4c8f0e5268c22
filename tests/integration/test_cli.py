"""The command line on a real replica set, with a real agent."""

import json
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId, Timestamp

from agent.cli.console import Documents
from agent.model.cluster_time import ClusterTime
from agent.mongo.console import MongoDocuments
from tests.testbed.agents import COMMAND, Agent, Agents, filesystem_storage
from tests.testbed.clients import Client
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def small_set() -> Iterator[ReplicaSet]:
    """A replica set of one node with a little data."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        orders = replica_set.client()["shop"]["orders"]
        orders.insert_many([{"_id": number, "note": "x" * 100} for number in range(2_000)])
        yield replica_set


@pytest.fixture(scope="module")
def client(small_set: ReplicaSet) -> Client:
    """A client of that set."""
    return small_set.client()


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that is the storage."""
    return tmp_path_factory.mktemp("backups")


@pytest.fixture(scope="module")
def agent(small_set: ReplicaSet, backups: Path) -> Iterator[Agent]:
    """The agent of its node, with one backup made."""
    with Agents.start(small_set, filesystem_storage(backups)) as agents:
        done = agents.all[0].verb("backup", "--note", "the first")
        assert 0 == done.exit_status, done.stdout + done.stderr
        yield agents.all[0]


def _json(agent: Agent, *arguments: str) -> Any:
    return json.loads(agent.verb(*arguments, "--json").stdout)


def test_backup_inserts_what_an_operator_would(agent: Agent, client: Client) -> None:
    """The command's document is the very one of mongosh, and its end is exit status 0."""
    done = agent.verb("backup", "-n", "shop.*", "--tag", "by=ada", "--json")
    shown = json.loads(done.stdout)
    found = client["backstay"]["commands"].find_one({"_id": ObjectId(shown["_id"])})
    assert found is not None
    asked = {key: found[key] for key in ("command", "namespaces", "tags")}
    assert {"command": "backup", "namespaces": ["shop.*"], "tags": {"by": "ada"}} == asked
    assert (0, "done", "") == (done.exit_status, found["state"], done.stderr)


def test_result_of_a_backup_can_be_restored_to(agent: Agent) -> None:
    """The time that `list` shows is one that `restore --to` understands."""
    (*_, first) = _json(agent, "list")
    time = first["consistent_at"]
    done = agent.verb("restore", "--to", time, "--dry-run", "--overwrite", "--json")
    shown = json.loads(done.stdout)
    assert (0, time) == (done.exit_status, shown["to"])
    assert first["backup"] == shown["result"]["plan"]["backup"]


def test_restore_over_data_is_rejected(agent: Agent) -> None:
    """Without --overwrite existing data are in the way: exit status 4, a message and a hint."""
    done = agent.verb("restore")
    assert 4 == done.exit_status, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert ["error:", "hint:"] == [line.split()[0] for line in lines[-2:]]


def test_restore_brings_data_back_under_another_name(agent: Agent, client: Client) -> None:
    """The rename of the command line is that of the command."""
    done = agent.verb("restore", "--rename", "shop.*=shop2.*", "-n", "shop.*")
    assert 0 == done.exit_status, done.stdout + done.stderr
    assert 2_000 == client["shop2"]["orders"].count_documents({})


def test_what_the_server_refuses_is_an_error(agent: Agent) -> None:
    """A pattern that means nothing is rejected, and the exit status says so."""
    done = agent.verb("backup", "-n", "nonsense")
    assert 4 == done.exit_status, done.stdout + done.stderr
    assert "nonsense" in done.stderr


def test_status_is_safe_after_a_backup(agent: Agent) -> None:
    """The first line says it, and so does the exit status."""
    done = agent.verb("status")
    assert (0, "Safe: ") == (done.exit_status, done.stdout[:6]), done.stdout


def test_report_shows_what_is_there(agent: Agent, tmp_path: Path) -> None:
    """One page, written whole, with the answer and every backup that `list` shows."""
    file = tmp_path / "report.html"
    done = agent.verb("report", "--html", str(file), "--json")
    assert 0 == done.exit_status, done.stdout + done.stderr
    text = file.read_text(encoding="utf-8")
    assert json.loads(done.stdout)["safe"]
    assert "<h1>Safe" in text
    for entry in _json(agent, "list")[:10]:
        assert entry["backup"] in text


def test_list_draws_what_can_be_restored(agent: Agent) -> None:
    """The last line says what the signs mean."""
    done = agent.verb("list")
    assert (0, True) == (done.exit_status, "backup" in done.stdout.splitlines()[-1])
    assert "recoverable: " in done.stdout


def test_show_finds_commands_and_backups(agent: Agent) -> None:
    """Both kinds of ids are texts on the command line."""
    command = _json(agent, "backup")
    assert command["_id"] == _json(agent, "show", command["_id"])["_id"]
    backup = command["result"]["backup"]
    assert backup == _json(agent, "show", backup)["backup"]


def test_delete_asks_for_a_backup_that_exists(agent: Agent) -> None:
    """A wrong id is rejected; a right one is gone from the list."""
    assert 4 == agent.verb("delete", "19990101T000000Z").exit_status
    backup = _json(agent, "backup")["result"]["backup"]
    assert 0 == agent.verb("delete", backup).exit_status
    assert backup not in [entry["backup"] for entry in _json(agent, "list")]


def test_verify_tells_a_whole_backup_from_a_damaged_one(agent: Agent, backups: Path) -> None:
    """The exit status says so, and then the list and the status do."""
    backup = _json(agent, "backup")["result"]["backup"]
    done = agent.verb("verify", backup, "--depth", "content")
    assert (0, "verify done") == (done.exit_status, done.stdout[:11]), done.stdout + done.stderr
    assert _json(agent, "show", backup)["verdict"]["is_sound"]
    chunk = max(backups.glob(f"*/backups/{backup}/data/**/*.zst"), key=lambda at: at.stat().st_size)
    chunk.write_bytes(chunk.read_bytes()[:-1])
    done = agent.verb("verify", backup)
    assert 3 == done.exit_status
    assert f"{chunk.relative_to(backups)}: it is cut off" in done.stdout
    assert "DAMAGED" in agent.verb("list").stdout
    eventually(lambda: agent.verb("status").exit_status == 8, 60, message="it is not safe")
    assert 0 == agent.verb("delete", backup).exit_status
    eventually(lambda: agent.verb("status").exit_status == 0, 60, message="it is safe again")


def test_cancel_of_an_ended_command_is_rejected(agent: Agent) -> None:
    """The id goes to the agents as what it is, an ObjectId."""
    command = _json(agent, "resync")
    done = agent.verb("cancel", command["_id"])
    assert 4 == done.exit_status, done.stdout + done.stderr


def test_a_terminal_shows_a_bar(agent: Agent) -> None:
    """At a terminal progress is a bar, which is gone at the end."""
    ours, theirs = pty.openpty()
    command: list[str | Path] = [COMMAND, "backup", "--config", agent.config]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = _read_all(ours)
    assert 0 == process.returncode, shown
    assert "━" in shown
    assert "backup done" in shown


def test_watch_draws_again_until_ctrl_c(agent: Agent) -> None:
    """On 80 columns by 24 lines, in place; it ends as the status would then."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    command: list[str | Path] = [COMMAND, "status", "--watch", "--config", agent.config]
    shown = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        while shown.count(b"Safe: ") < 3:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(timeout=60), shown
    os.close(theirs)
    os.close(ours)
    # Between one picture and the next there is no more than the screen can be moved back by.
    pictures = shown.split(b"Safe: ")[1:-1]
    assert all(0 < picture.count(b"\r\n") < 24 for picture in pictures)


def _read_all(descriptor: int) -> str:
    parts = []
    with os.fdopen(descriptor, "rb", buffering=0) as terminal:
        while True:
            try:
                part = terminal.read(4096)
            except OSError:  # Linux says so when the other end is closed
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts).decode(errors="replace")


def test_interrupt_leaves_the_command(agent: Agent, client: Client) -> None:
    """Ctrl-C ends the terminal's part alone: the command waits on for an agent."""
    agent.terminate()
    try:
        command: list[str | Path] = [COMMAND, "resync", "--config", agent.config]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            commands = client["backstay"]["commands"]
            left = eventually(
                lambda: commands.find_one({"command": "resync", "state": None}), timeout_s=60
            )
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
        assert (130, True) == (process.returncode, f"backstay cancel {left['_id']}" in told)
    finally:
        agent.restart()
    assert 0 == agent.verb("show", str(left["_id"]), "--follow", timeout_s=120).exit_status


def test_sigterm_ends_the_agent_in_order(agent: Agent) -> None:
    """SIGTERM is no failure, and takes seconds, on a busy machine too."""
    try:
        assert 0 == agent.terminate(timeout_s=20)
    finally:
        agent.restart()


def test_wrong_configuration_is_one_line(agent: Agent, tmp_path: Path) -> None:
    """The agent says what is wrong and ends with exit status 78."""
    wrong = tmp_path / "config.yaml"
    wrong.write_text(agent.config.read_text().replace("storage:", "storrage:"))
    done = subprocess.run(
        [COMMAND, "run", "--config", wrong], capture_output=True, text=True, check=False
    )
    assert 78 == done.returncode
    assert 1 == len(done.stderr.splitlines())
    assert "did you mean storage?" in done.stderr
    assert "" == done.stdout


def test_init_prepares_a_control_database(agent: Agent, client: Client, tmp_path: Path) -> None:
    """All control collections are there before the first agent starts, and twice does no harm."""
    other = tmp_path / "config.yaml"
    other.write_text(f"{agent.config.read_text()}control: {{database: other_control}}\n")
    for _ in range(2):
        done = subprocess.run(
            [COMMAND, "init", "--config", other], capture_output=True, text=True, check=False
        )
        assert 0 == done.returncode, done.stderr
    names = set(client["other_control"].list_collection_names())
    assert {"commands", "status", "backups", "events", "tasks", "leases"} <= names
    assert '"db": "other_control"' in done.stdout
    client.drop_database("other_control")


def test_documents_are_plain_values(client: Client) -> None:
    """Ids are found by their texts, whether ObjectIds or texts; values have no BSON types."""
    commands = client["plain"]["commands"]
    number = ObjectId()
    commands.insert_many([{"_id": number, "list": [number]}, {"_id": "nightly-1"}])
    documents: Documents = MongoDocuments(client["plain"])
    assert number == documents.command_id(str(number))
    assert "nightly-1" == documents.command_id("nightly-1")
    assert documents.command_id("nonsense") is None
    assert {"_id": str(number), "list": [str(number)]} == documents.command(number)
    assert documents.cluster() is None
    client["plain"]["status"].insert_one({"_id": "cluster", "at": Timestamp(7, 3)})
    assert {"_id": "cluster", "at": ClusterTime(7, 3)} == documents.cluster()
    client.drop_database("plain")
