"""The doctor on real nodes: each privilege by name, the node, the control database."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pymongo import MongoClient

from agent.core.clock import SystemClock
from agent.model.check import Finding
from agent.mongo.connect import open_cluster, open_node, own_node
from agent.mongo.control import prepare
from agent.mongo.doctor import MongoDoctor
from agent.mongo.node_link import NodeLink
from agent.mongo.privileges import Need, for_backup, for_restore
from agent.mongo.reader import MongoNodeReader
from tests.testbed.agents import Agent, Agents, AgentSpec, filesystem_storage
from tests.testbed.clients import Client, Document
from tests.testbed.hashes import contents, differences
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

_PASSWORD = "the-users-password"
_EVERYTHING = (*for_backup("backstay"), *for_restore())


@pytest.fixture(scope="module")
def guarded() -> Iterator[ReplicaSet]:
    """A replica set that asks who one is, with a user whose role tests change."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, auth=True)) as replica_set:
        with replica_set.client() as root:
            root.admin.command("createRole", "tested", privileges=[], roles=[])
            root.admin.command("createUser", "tested", pwd=_PASSWORD, roles=["tested"])
        yield replica_set


@pytest.fixture
def data(guarded: ReplicaSet) -> Iterator[Client]:
    """Data of every kind that is read or written in a way of its own."""
    root = guarded.client()
    shop = root["shop"]
    shop["orders"].insert_many([{"_id": number, "state": "new"} for number in range(100)])
    shop["orders"].create_index("state", expireAfterSeconds=10**8)
    shop.create_collection("log", capped=True, size=10_000)
    shop["log"].insert_many([{"line": number} for number in range(10)])
    shop.create_collection("readings", timeseries={"timeField": "at"})
    shop["readings"].insert_one({"at": datetime(2026, 11, 21, tzinfo=UTC)})
    shop.create_collection("open", viewOn="orders", pipeline=[{"$match": {"state": "new"}}])
    shop["system.js"].insert_one({"_id": "f", "value": "function() {}"})
    shop.command("createRole", "clerk", privileges=[], roles=["read"])
    yield root
    for name in ("shop", "backstay"):
        root.drop_database(name)
    shop.command("dropAllRolesFromDatabase")


def _grant(root: Client, needs: Sequence[Need]) -> None:
    privileges = [{"resource": each.resource, "actions": [each.action]} for each in needs]
    root.admin.command("updateRole", "tested", privileges=privileges)


def findings(uri: str) -> list[Finding]:
    """Return what the doctor finds as the user of an address."""
    with ExitStack() as stack:
        node = stack.enter_context(open_node(uri))
        own, way = own_node(node), NodeLink.over(node)
        cluster = stack.enter_context(open_cluster(uri, own.hosts, own.replset))
        doctor = MongoDoctor(
            node=way,
            cluster=cluster,
            own=own,
            reader=MongoNodeReader(way, own.name, priority=1, clock=SystemClock()),
            control_database="backstay",
        )
        return list(doctor.findings())


def _as_user(guarded: ReplicaSet) -> str:
    return f"mongodb://tested:{_PASSWORD}@{guarded.nodes[0].address}/?authSource=admin"


def _bad(found: Sequence[Finding], *tests: str) -> list[tuple[str, str, str | None]]:
    return [
        (each.test, each.outcome, each.missing)
        for each in found
        if each.outcome != "ok" and each.test in tests
    ]


# Not even root may read the definitions of views.
_VIEWS = ("backup privileges", "failed", "find on system.views of every database")
_PRIVILEGES = ("backup privileges", "restore privileges")


def test_each_missing_privilege_is_named(guarded: ReplicaSet) -> None:
    """One by one; the others are found to be there."""
    with guarded.client() as root:
        _grant(root, _EVERYTHING)
        assert [] == _bad(findings(_as_user(guarded)), *_PRIVILEGES)
        # By themselves, because some of a restore include some of these.
        alone = for_backup("backstay")
        for lacking in alone:
            _grant(root, [each for each in alone if each != lacking])
            missing = _bad(findings(_as_user(guarded)), "backup privileges")
            assert [("backup privileges", "failed", str(lacking))] == missing
        for lacking in for_restore():
            _grant(root, [each for each in _EVERYTHING if each != lacking])
            missing = _bad(findings(_as_user(guarded)), *_PRIVILEGES)
            assert [("restore privileges", "warning", str(lacking))] == missing


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        (["root"], [_VIEWS]),
        (
            [{"role": name, "db": "admin"} for name in ("backup", "clusterMonitor")]
            + [{"role": name, "db": "backstay"} for name in ("readWrite", "dbAdmin")],
            [_VIEWS],
        ),
    ],
)
def test_built_in_roles_are_judged_by_what_they_hold(
    guarded: ReplicaSet, roles: list[Document | str], expected: list[tuple[str, str, str]]
) -> None:
    """Whatever the names of the roles are."""
    with guarded.client() as root:
        root.admin.command("createUser", "other", pwd=_PASSWORD, roles=roles)
        try:
            uri = _as_user(guarded).replace("tested:", "other:")
            found = _bad(findings(uri), "backup privileges")
        finally:
            root.admin.command("dropUser", "other")
    assert expected == found


def test_a_user_without_any_right_sees_every_failure(guarded: ReplicaSet) -> None:
    """Tests that are refused are rows, and end no other."""
    with guarded.client() as root:
        _grant(root, [])
    found = findings(_as_user(guarded))
    assert {"node", "oplog window", "control database"} <= {
        each.test for each in found if each.outcome == "failed"
    }
    assert len(for_backup("backstay")) == len(_bad(found, "backup privileges"))


def test_secondary_primary_and_control_database_are_told(replica_set: ReplicaSet) -> None:
    """As they are, and what is missing; without authentication there is one row for it."""
    secondary = next(node for node in replica_set.nodes if node is not replica_set.primary())
    with replica_set.client() as client:
        before = {each.test: each for each in findings(secondary.uri)}
        assert "ok" == before["control database"].outcome
        prepare(client["backstay"])
        client["backstay"]["tasks"].drop_index("claiming")
        client["backstay"].command("collMod", "commands", validator={})
        spoilt = {each.test: each for each in findings(secondary.uri)}
        prepare(client["backstay"])
        after = {each.test: each for each in findings(secondary.uri)}
    assert "tasks lacks the index claiming" in spoilt["control database"].message
    assert "the validator of commands is not of this version" in spoilt["control database"].message
    # By then other tests may have written more than a day's worth into this small oplog.
    assert {each.test for each in after.values() if each.outcome != "ok"} <= {"oplog window"}
    assert "SECONDARY" in after["node"].message
    assert replica_set.primary().address in after["primary"].message
    assert "everybody" in after["user"].message
    assert "backup privileges" not in after


def test_the_doctor_writes_nothing(guarded: ReplicaSet) -> None:
    """No collection, no document: a check from a shell may run beside anything."""
    with guarded.client() as root:
        _grant(root, _EVERYTHING)
        before = sorted(root.list_database_names())
        findings(_as_user(guarded))
        assert before == sorted(root.list_database_names())
    with MongoClient[Document](_as_user(guarded), directConnection=True) as client:
        assert [] == list(client["backstay"].list_collections())


def test_what_the_doctor_asks_for_is_enough(
    guarded: ReplicaSet, data: Client, tmp_path: Path
) -> None:
    """An agent whose user has that alone backs up and restores data of every kind."""
    before = contents(data)
    spec = AgentSpec(
        node=guarded.nodes[0],
        storage=filesystem_storage(tmp_path),
        settings={"mongodb": {"uri": _as_user(guarded)}},
    )
    _grant(data, _EVERYTHING)
    with Agents(guarded, [Agent.start(spec)]) as agents:
        agents.wait_until_reporting()
        for verb in (["check"], ["backup"], ["restore", "--overwrite"]):
            done = agents.all[0].verb(*verb)
            assert 0 == done.exit_status, done.stdout + done.stderr
    assert [] == differences(before, contents(data))


def test_a_user_who_may_only_back_up_is_one_warning(guarded: ReplicaSet) -> None:
    """Short for people; the row names all that is missing."""
    with guarded.client() as root:
        _grant(root, for_backup("backstay"))
    (warning,) = [each for each in findings(_as_user(guarded)) if each.test == "restore privileges"]
    assert "can back up but not restore: it lacks" in warning.message
    assert len(warning.message) < 150
    assert "applyOps, useUUID, forceUUID on the cluster; insert, " in str(warning.missing)


def test_an_agent_that_starts_logs_what_its_user_lacks(
    guarded: ReplicaSet, data: Client, tmp_path: Path
) -> None:
    """Before the first backup fails for it."""
    (lacking,) = [each for each in _EVERYTHING if each.action == "appendOplogNote"]
    _grant(data, [each for each in _EVERYTHING if each != lacking])
    spec = AgentSpec(
        node=guarded.nodes[0],
        storage=filesystem_storage(tmp_path),
        settings={"mongodb": {"uri": _as_user(guarded)}},
    )
    with Agents(guarded, [agent := Agent.start(spec)]) as agents:
        agents.wait_until_reporting()
        told = [line for line in agent.logs() if line["event"] == "found at the start"]
    assert [("backup privileges", f"the user lacks {lacking}")] == [
        (line["test"], line["reason"]) for line in told
    ]
    assert _PASSWORD not in agent.text()
