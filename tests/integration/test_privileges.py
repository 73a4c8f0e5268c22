"""The database users that `backstay init` makes: enough for their work, and for nothing else."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import bson
import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from agent.cli.grants import Purpose, script
from agent.model.names import Namespace
from agent.mongo.apply import MongoReplayTarget
from tests.testbed.agents import Agent, Agents, AgentSpec, filesystem_storage
from tests.testbed.clients import Client, Document
from tests.testbed.hashes import contents, differences
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.shell import ShellResult, run_mongosh

_PASSWORD = "the-users-password"
_UNAUTHORIZED = 13

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def guarded() -> Iterator[ReplicaSet]:
    """A replica set that asks who one is, with users made by the scripts."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, auth=True)) as replica_set:
        for purpose in _USERS:
            done = _run_script(replica_set, purpose)
            assert 0 == done.exit_status, done.stdout + done.stderr
        yield replica_set


_USERS: dict[Purpose, str] = {"backup": "backer", "restore": "restorer"}


def _run_script(replica_set: ReplicaSet, purpose: Purpose) -> ShellResult:
    text = script(purpose, user=_USERS[purpose], control="backstay")
    assert 1 == text.count("passwordPrompt()")
    return run_mongosh(replica_set.uri, text.replace("passwordPrompt()", json.dumps(_PASSWORD)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _As:
    """A replica set with data, seen by one of the users."""

    replica_set: ReplicaSet
    root: Client
    purpose: Purpose

    @property
    def uri(self) -> str:
        (node,) = self.replica_set.nodes
        return f"mongodb://{_USERS[self.purpose]}:{_PASSWORD}@{node.address}/?authSource=admin"

    def client(self) -> Client:
        """Open a client of the user; the caller closes it."""
        return MongoClient[Document](self.uri, directConnection=True)

    def agents(self, storage: Path) -> Agents:
        """Start the agent of the only node, logged in as the user."""
        (node,) = self.replica_set.nodes
        spec = AgentSpec(
            node=node,
            storage=filesystem_storage(storage),
            settings={"mongodb": {"uri": self.uri}},
        )
        return Agents(self.replica_set, [Agent.start(spec)])


@pytest.fixture
def data(guarded: ReplicaSet) -> Iterator[Client]:
    """Data of every kind that is backed up or restored in a way of its own."""
    root = guarded.client()
    shop = root["shop"]
    shop["orders"].insert_many([{"_id": number, "state": "new"} for number in range(1000)])
    shop["orders"].create_index("state", expireAfterSeconds=10**8)
    shop.create_collection("log", capped=True, size=10_000)
    shop["log"].insert_many([{"line": number} for number in range(10)])
    shop.create_collection("readings", timeseries={"timeField": "at"})
    shop.create_collection("open", viewOn="orders", pipeline=[{"$match": {"state": "new"}}])
    shop["system.js"].insert_one({"_id": "f", "value": "function() {}"})
    shop.command("createRole", "clerk", privileges=[], roles=["read"])
    shop.command("createUser", "ada", pwd="p", roles=["clerk"])
    yield root
    for name in ("shop", "shop2", "backstay"):
        root.drop_database(name)
    shop.command("dropAllUsersFromDatabase")
    shop.command("dropAllRolesFromDatabase")


def _as(purpose: Purpose, replica_set: ReplicaSet, root: Client) -> _As:
    return _As(replica_set=replica_set, root=root, purpose=purpose)


def _verb(agents: Agents, *arguments: str) -> None:
    done = agents.all[0].verb(*arguments)
    assert 0 == done.exit_status, done.stdout + done.stderr + agents.all[0].text()[-3000:]


@pytest.mark.parametrize("purpose", ["backup", "restore"])
def test_script_may_run_again(guarded: ReplicaSet, purpose: Purpose) -> None:
    """A second run changes neither the password nor what the user may do."""
    before = guarded.client().admin.command("usersInfo", _USERS[purpose], showCredentials=True)
    done = _run_script(guarded, purpose)
    after = guarded.client().admin.command("usersInfo", _USERS[purpose], showCredentials=True)
    assert 0 == done.exit_status, done.stderr
    assert before["users"] == after["users"]


def test_backup_user_can_back_up(guarded: ReplicaSet, data: Client, tmp_path: Path) -> None:
    """An agent with no more than the backup user makes the control collections and a backup."""
    with _as("backup", guarded, data).agents(tmp_path) as agents:
        agents.wait_until_reporting()
        _verb(agents, "init")
        _verb(agents, "backup")
        _verb(agents, "list")
        _verb(agents, "status")
        backup = json.loads(agents.all[0].verb("list", "--json").stdout)[0]["backup"]
        _verb(agents, "verify", backup, "--depth", "content")
        _verb(agents, "check")
        _verb(agents, "resync")
        schedule = {"_id": "hourly", "cron": "0 * * * *", "command": {"command": "backup"}}
        data["backstay"]["schedules"].insert_one({**schedule, "retention": {"keep_last": 1}})
        _verb(agents, "schedules")
        _verb(agents, "prune")
        _verb(agents, "report", "--html", str(tmp_path / "report.html"))
        # As an earlier version has left it.
        data["backstay"].command("collMod", "schedules", validator={})
        data["backstay"]["tasks"].drop_index("claiming")
        agents.all[0].restart()
        agents.wait_until_reporting()
        checked = json.loads(agents.all[0].verb("check", "--json").stdout)
        assert "ok" in {
            row["outcome"]
            for row in checked.get("result", checked)["rows"]
            if row["test"] == "control database"
        }
        _verb(agents, "delete", backup, "--force")


def test_backup_user_cannot_restore(guarded: ReplicaSet, data: Client, tmp_path: Path) -> None:
    """Before anything is touched: it is told what is missing, and who grants it."""
    before = contents(data)
    with _as("backup", guarded, data).agents(tmp_path) as agents:
        agents.wait_until_reporting()
        _verb(agents, "backup")
        done = json.loads(agents.all[0].verb("restore", "--overwrite", "--json").stdout)
        dry = json.loads(agents.all[0].verb("restore", "--dry-run", "--overwrite", "--json").stdout)
        phases = [each["phase"] for each in agents.all[0].logs() if "phase" in each]
    assert ("rejected", "mongodb_privilege_missing") == (done["state"], done["error"]["code"])
    for lacked in ("insert, remove", "on the database shop", "createUser", "on every database"):
        assert lacked in done["error"]["message"]
    assert "backstayRestore" in done["error"]["hint"]
    assert [] == [each for each in phases if each != "reading"], "no restore has begun"
    assert [] == differences(before, contents(data))
    (note,) = [each for each in dry["result"]["plan"]["notes"] if "may not restore" in each]
    assert "insert, remove" in note
    assert "backstayRestore" in note


def test_a_user_may_restore_into_the_databases_that_it_may_write(
    guarded: ReplicaSet, data: Client, tmp_path: Path
) -> None:
    """Who may write to one database alone restores into that one, and is refused any other."""
    data["shop"]["readings"].drop()
    roles: list[Document] = [{"role": role, "db": "shop2"} for role in ("readWrite", "dbAdmin")]
    data["admin"].command("grantRolesToUser", _USERS["backup"], roles=roles)
    try:
        with _as("backup", guarded, data).agents(tmp_path) as agents:
            agents.wait_until_reporting()
            _verb(agents, "backup")
            into = ("restore", "--namespaces", "shop.orders", "--json", "--rename")
            there = json.loads(agents.all[0].verb(*into, "shop.*=shop2.*").stdout)
            elsewhere = json.loads(agents.all[0].verb(*into, "shop.*=shop3.*").stdout)
    finally:
        data["admin"].command("revokeRolesFromUser", _USERS["backup"], roles=roles)
    assert "done" == there["state"], there
    assert 1000 == data["shop2"]["orders"].count_documents({})
    assert "mongodb_privilege_missing" == elsewhere["error"]["code"]
    assert "the database shop3" in elsewhere["error"]["message"]
    assert "shop3" not in data.list_database_names()


def test_restore_user_may_do_what_a_replay_does(guarded: ReplicaSet, data: Client) -> None:
    """Also what few replays need: options, emptying, and a move into another database."""
    moved = Namespace("shop2", "orders")
    with closing(_as("restore", guarded, data).client()) as client:
        target = MongoReplayTarget(client, "6.0.5")
        target.move(Namespace("shop", "orders"), moved)
        target.modify(moved, bson.encode({"validationLevel": "off"}))
        target.empty(Namespace("shop", "log"))
    assert 1000 == data["shop2"]["orders"].count_documents({})
    assert 0 == data["shop"]["log"].count_documents({})


def test_restore_user_can_restore(guarded: ReplicaSet, data: Client, tmp_path: Path) -> None:
    """An agent with the restore user brings everything back: also users, views and time series."""
    before = contents(data)
    with _as("restore", guarded, data).agents(tmp_path) as agents:
        agents.wait_until_reporting()
        _verb(agents, "backup")
        data.drop_database("shop")
        data["shop"].command("dropUser", "ada")
        data["shop2"]["stray"].insert_one({})
        _verb(agents, "restore", "--overwrite")
    assert [] == differences(before, contents(data))
    assert 1 == len(data["shop"].command("usersInfo", "ada")["users"])


_FORBIDDEN_TO_BACKUP: list[tuple[str, Document]] = [
    ("shop", {"insert": "orders", "documents": [{"_id": -1}]}),
    ("shop", {"update": "orders", "updates": [{"q": {}, "u": {"$set": {"x": 1}}}]}),
    ("shop", {"delete": "orders", "deletes": [{"q": {}, "limit": 1}]}),
    ("shop", {"drop": "orders"}),
    ("shop", {"dropDatabase": 1}),
    ("shop", {"create": "other"}),
    ("shop", {"createIndexes": "orders", "indexes": [{"key": {"a": 1}, "name": "a"}]}),
    ("shop", {"collMod": "orders", "validator": {}}),
    ("shop", {"createUser": "eve", "pwd": "p", "roles": []}),
    ("admin", {"renameCollection": "shop.orders", "to": "shop.stolen"}),
    ("admin", {"applyOps": []}),
    ("admin", {"grantRolesToUser": "backer", "roles": ["root"]}),
]
_FORBIDDEN_TO_BOTH: list[tuple[str, Document]] = [
    ("admin", {"shutdown": 1}),
    ("admin", {"replSetStepDown": 1}),
    ("admin", {"setParameter": 1, "logLevel": 1}),
    ("admin", {"fsync": 1, "lock": True}),
]


@pytest.mark.parametrize(("database", "command"), _FORBIDDEN_TO_BACKUP + _FORBIDDEN_TO_BOTH)
def test_backup_user_may_not_change_data(
    guarded: ReplicaSet, data: Client, database: str, command: Document
) -> None:
    """Nothing that changes users' data, users or the server is allowed."""
    with _as("backup", guarded, data).client() as client:
        _is_refused(client, database, command)


@pytest.mark.parametrize(("database", "command"), _FORBIDDEN_TO_BOTH)
def test_restore_user_may_not_rule_the_server(
    guarded: ReplicaSet, data: Client, database: str, command: Document
) -> None:
    """Even who may write everywhere is no administrator of the servers."""
    with _as("restore", guarded, data).client() as client:
        _is_refused(client, database, command)


def _is_refused(client: Client, database: str, command: Document) -> None:
    with pytest.raises(OperationFailure) as caught:
        client[database].command(command)
    assert _UNAUTHORIZED == caught.value.code
