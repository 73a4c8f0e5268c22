"""The documents of the control database, as people and monitoring read them."""

import concurrent.futures
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import Int64, ObjectId, Timestamp
from pymongo.synchronous.database import Database

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Recoverable, Span
from agent.model.outcome import Failure, Outcome
from agent.model.progress import Progress
from agent.model.states import State
from agent.model.status import LastBackup, NextRun, OplogStatus, Running
from agent.model.verdict import Verdict
from agent.mongo.backups import MongoBackups
from agent.mongo.commands import MongoCommands
from agent.mongo.connect import Client, Document, open_cluster, open_node, own_node
from agent.mongo.control import COMMANDS, prepare
from agent.mongo.events import MongoEvents
from agent.mongo.status import MongoStatus
from tests.contract.test_control import ARCHIVE, CLUSTER, NOW, agent_status, entry
from tests.testbed.replica_set import ReplicaSet

A = Outcome(coordinator="a:1")


def connect(replica_set: ReplicaSet) -> Client:
    """Open a client as an agent does."""
    uri = replica_set.nodes[0].uri
    with open_node(uri) as node:
        own = own_node(node)
    return open_cluster(uri, own.hosts, own.replset)


@pytest.fixture
def database(replica_set: ReplicaSet) -> Iterator[Database[Document]]:
    """The control database, prepared."""
    with connect(replica_set) as client:
        prepare(client["backstay"])
        yield client["backstay"]


class TestPreparing:
    """Every agent creates what is missing at its start."""

    def test_three_agents_may_start_at_once(self, replica_set: ReplicaSet) -> None:
        """On an empty replica set, and again on one that is prepared."""
        with connect(replica_set) as client:
            database = client["backstay"]
            for _ in range(2):
                with concurrent.futures.ThreadPoolExecutor(6) as pool:
                    list(pool.map(prepare, [database] * 6))
            names = sorted(database.list_collection_names())
            expected = ["backups", "commands", "events", "leases"]
            assert names == [*expected, "schedules", "status", "tasks"]
            events = next(iter(database.list_collections(filter={"name": "events"})))
            assert events["options"]["capped"]
            assert events["options"]["size"] == 16 * 1024 * 1024

    def test_a_prepared_database_is_left_alone(self, database: Database[Document]) -> None:
        """A start must not run DDL, which would disturb whoever lists the catalogue."""
        oplog = database.client["local"]["oplog.rs"]
        changes = {"op": "c", "ns": "backstay.$cmd"}
        before = oplog.count_documents(changes)
        prepare(database)
        assert before == oplog.count_documents(changes)

    def test_an_older_validator_is_brought_up_to_date(self, replica_set: ReplicaSet) -> None:
        """Also where a collection has none, and commands that it would refuse can still end."""
        with connect(replica_set) as client:
            database = client["backstay"]
            odd = database[COMMANDS].insert_one({"command": "backup", "odd": 1}).inserted_id
            prepare(database)
            board = MongoCommands(database)
            with pytest.raises(PermanentError):
                board.insert({"command": "backup", "odd": 1})
            record = board.get(odd)
            assert record is not None
            assert board.move(record, State.REJECTED, 1, A)

    def test_a_name_taken_by_something_else_is_refused(self, replica_set: ReplicaSet) -> None:
        """Nothing of the operator's is dropped."""
        with connect(replica_set) as client:
            client["backstay"].create_collection("events")
            with pytest.raises(PermanentError, match=r"backstay\.events"):
                prepare(client["backstay"])


class TestCommandDocuments:
    """What agents write into a command."""

    def test_a_whole_life(self, database: Database[Document]) -> None:
        """Times are dates of the server, cluster times Timestamps, counts longs."""
        board = MongoCommands(database)
        command_id = board.insert({"command": "backup"})
        assert isinstance(command_id, ObjectId)
        for state in (State.ACCEPTED, State.RUNNING):
            record = board.get(command_id)
            assert record is not None
            assert board.move(record, state, 7, A)
        board.report(command_id, 7, Progress(phase="reading", done_bytes=1, total_bytes=4), 2.5)
        running = board.get(command_id)
        assert running is not None
        result = {"backup": "x", "consistent_at": ClusterTime(5, 6), "nodes": ("a:1",)}
        assert board.move(running, State.DONE, 7, replace(A, result=result))
        found = database[COMMANDS].find_one({"_id": command_id})
        assert found is not None
        times = {name: found.pop(name) for name in ("created_at", "started_at", "finished_at")}
        assert times["created_at"] == command_id.generation_time
        assert times["started_at"] <= times["finished_at"]
        progress = found.pop("progress")
        assert isinstance(progress.pop("updated_at"), datetime)
        assert progress == {
            "phase": "reading",
            "done_bytes": 1,
            "total_bytes": 4,
            "done_docs": 0,
            "total_docs": 0,
            "percent": 25.0,
            "eta_s": 2.5,
        }
        assert found == {
            "_id": command_id,
            "command": "backup",
            "state": "done",
            "lease_token": Int64(7),
            "coordinator": "a:1",
            "result": {"backup": "x", "consistent_at": Timestamp(5, 6), "nodes": ["a:1"]},
        }

    def test_a_failure_is_a_code_a_message_and_a_hint(self, database: Database[Document]) -> None:
        """And a command of the operator's own id gets the time when it was first seen."""
        board = MongoCommands(database)
        board.insert({"_id": "x", "command": "backup"})
        record = board.get("x")
        assert record is not None
        assert record.created_at is None
        failure = Failure(code="c", message="m", hint="h")
        assert board.move(record, State.REJECTED, 1, replace(A, failure=failure))
        found = database[COMMANDS].find_one({"_id": "x"})
        assert found is not None
        assert found["error"] == {"code": "c", "message": "m", "hint": "h"}
        # The server looks at its clock once for each field.
        assert abs(found["created_at"] - found["finished_at"]) < timedelta(seconds=1)

    def test_thousands_of_ended_commands_cost_a_poll_nothing(
        self, database: Database[Document]
    ) -> None:
        """An index leads to the open ones."""
        ended = [{"command": "backup", "state": "done"} for _ in range(3000)]
        database[COMMANDS].insert_many(ended)
        MongoCommands(database).insert({"command": "backup"})
        query = {"state": {"$in": [None, "accepted", "running"]}}
        plan = database.command(
            "explain", {"find": COMMANDS, "filter": query}, verbosity="executionStats"
        )
        assert plan["executionStats"]["totalDocsExamined"] == 1
        assert len(MongoCommands(database).open_commands()) == 1

    @pytest.mark.parametrize(
        "command_id", [5, 2.5, b"x", {"a": {"b.c": 1}}, True, Timestamp(1, 2), ClusterTime(1, 2)]
    )
    def test_ids_of_any_type_work(self, database: Database[Document], command_id: object) -> None:
        """An operator may choose one."""
        board = MongoCommands(database)
        board.insert({"_id": command_id, "command": "backup"})
        (record,) = board.open_commands()
        assert board.move(record, State.ACCEPTED, 1, A)
        found = board.get(record.command_id)
        assert found is not None
        assert found.state is State.ACCEPTED


class TestStatusDocuments:
    """The contract with monitoring."""

    def test_the_cluster_document_has_every_field(self, database: Database[Document]) -> None:
        """What does not exist yet is null or empty, not missing."""
        at = ClusterTime(1795302427, 3)
        status = replace(
            CLUSTER,
            last_backup=LastBackup(
                backup_id="x", consistent_at=at, finished_at=NOW, stored_bytes=2**40
            ),
            recoverable=(Recoverable(begin=at, last=at),),
            running=Running(
                command_id="c", command="backup", phase="reading", percent=12.5, eta_s=None
            ),
            archiver="b:1",
            oplog=OplogStatus(
                archived_to=at,
                archived_at=NOW,
                lag_s=1.5,
                window_s=3600.0,
                headroom_s=3598.5,
                gaps=(Span(begin=ClusterTime(1795302000, 1), last=ClusterTime(1795302100, 2)),),
            ),
            next_runs=(NextRun(schedule="nightly", at=NOW, command="backup"),),
        )
        MongoStatus(database).write_cluster(status, 7)
        found = database["status"].find_one({"_id": "cluster"})
        assert found is not None
        assert is_recent(found.pop("updated_at"), database)
        assert found == {
            "_id": "cluster",
            "kind": "cluster",
            "replset": "rs0",
            "state": "warning",
            "problems": [
                {"code": "p", "level": "warning", "message": "m", "hint": "h", "since": NOW}
            ],
            "coordinator": "a:1",
            "archiver": "b:1",
            "last_backup": {
                "id": "x",
                "consistent_at": Timestamp(1795302427, 3),
                "finished_at": NOW,
                "stored_bytes": 2**40,
            },
            "recoverable": [{"from": Timestamp(1795302427, 3), "to": Timestamp(1795302427, 3)}],
            "oplog": {
                "archived_to": Timestamp(1795302427, 3),
                "archived_at": NOW,
                "lag_s": 1.5,
                "window_s": 3600.0,
                "headroom_s": 3598.5,
                "gaps": [{"from": Timestamp(1795302000, 1), "to": Timestamp(1795302100, 2)}],
            },
            "running": {
                "command_id": "c",
                "command": "backup",
                "phase": "reading",
                "percent": 12.5,
                "eta_s": None,
            },
            "next_runs": [{"schedule": "nightly", "at": NOW, "command": "backup"}],
            "told": [],
            "lease_token": 7,
        }

    def test_an_agents_document_has_every_field(self, database: Database[Document]) -> None:
        """Under an id that names the agent."""
        MongoStatus(database).write_agent(agent_status("a:1"))
        found = database["status"].find_one({"_id": "agent:a:1"})
        assert found is not None
        assert is_recent(found.pop("updated_at"), database)
        assert found.pop("storage") == {
            "label": "main",
            "ok": False,
            "bucket": "b",
            "credential_source": "environment",
            "identity": "arn",
            "expires_at": NOW,
            "error": "e",
            "error_code": "c",
            "renewal_error": "r",
        }
        assert found == {
            "_id": "agent:a:1",
            "kind": "agent",
            "name": "a:1",
            "node_state": "SECONDARY",
            "node_lag_s": 0.5,
            "priority": 1,
            "server_version": "6.0.5",
            "agent_version": "0.1.0",
            "pid": 4711,
            "started_at": NOW,
            "archive": None,
            "access": [],
            "clock_skew_s": None,
            "node_state_since": None,
            "oplog_from": None,
        }

    def test_what_does_not_exist_is_null(self, database: Database[Document]) -> None:
        """Before anything was archived; monitoring need not ask whether a field is there."""
        MongoStatus(database).write_cluster(CLUSTER, 7)
        found = database["status"].find_one({"_id": "cluster"})
        assert found is not None
        empty = {name: found[name] for name in ("archiver", "last_backup", "oplog", "running")}
        assert empty == dict.fromkeys(empty)

    def test_the_archive_in_an_agents_document_has_every_field(
        self, database: Database[Document]
    ) -> None:
        """Ranges are written as everywhere in the status."""
        status = replace(agent_status("a:1"), archive=ARCHIVE)
        MongoStatus(database).write_agent(status)
        found = database["status"].find_one({"_id": "agent:a:1"})
        assert found is not None
        spans = found["archive"].pop("spans")
        assert {"from": Timestamp(1795302400, 1), "to": Timestamp(1795302410, 2**31)} == spans[0]
        (other,) = found["archive"].pop("others")
        assert "65f0000000000000000000bb" == other["replset_id"]
        assert [{"from": Timestamp(1795200000, 1), "to": Timestamp(1795200900, 7)}] == other[
            "spans"
        ]
        assert found["archive"] == {
            "replset_id": ARCHIVE.replset_id,
            "archived_to": Timestamp(1795302427, 3),
            "archived_at": NOW,
            "lag_s": 1.5,
            "window_s": None,
            "error": "no answer",
        }

    @pytest.mark.parametrize("change", [{"$set": {"storage.more": 1}}, {"$unset": {"pid": 1}}])
    def test_an_agent_of_another_version_is_passed_over(
        self, database: Database[Document], change: Document
    ) -> None:
        """What one newer agent writes must not end all the older ones."""
        board = MongoStatus(database)
        board.write_agent(agent_status("a:1"))
        board.write_agent(agent_status("b:1"))
        database["status"].update_one({"_id": "agent:b:1"}, change)
        assert ["a:1"] == [each.name for each in board.agents()]

    @pytest.mark.parametrize("change", [{"$unset": {"docs": 1}}, {"$set": {"consistent_at": "x"}}])
    def test_an_entry_that_somebody_changed_is_passed_over(
        self, database: Database[Document], change: Document
    ) -> None:
        """The catalogue is a copy for people, who may do what they like with it."""
        backups = MongoBackups(database)
        for number in (1, 2):
            backups.put(entry(number))
        database["backups"].update_one({"backup": entry(2).backup_id}, change)
        assert [entry(1)] == list(backups.entries())

    def test_an_entry_of_an_older_agent_was_never_verified(
        self, database: Database[Document]
    ) -> None:
        """And can be from now on: agents of two versions work side by side."""
        backups = MongoBackups(database)
        backups.put(entry(1))
        database["backups"].update_one({}, {"$unset": {"verified": True}})
        assert [None] == [each.verdict for each in backups.entries()]
        found = Verdict(depth="content", checked_at=NOW, is_sound=True)
        backups.judge(entry(1).backup_id, "main", found)
        assert [found] == [each.verdict for each in backups.entries()]
        document = database["backups"].find_one({}) or {}
        assert {"content": {"verdict": "sound", "checked_at": NOW}} == document["verified"]

    def test_backups_have_times_for_people(self, database: Database[Document]) -> None:
        """The cluster time as it is, and as a date."""
        MongoBackups(database).put(entry(1))
        found = database["backups"].find_one({"backup": entry(1).backup_id})
        assert found is not None
        assert found["consistent_at"] == Timestamp(1795302428, 3)
        assert found["consistent_at_wall"] == datetime(2026, 11, 21, 23, 7, 8, tzinfo=UTC)
        assert found["finished_at"] == NOW

    def test_events_have_the_servers_time(self, database: Database[Document]) -> None:
        """With their facts, those of unknown types as text."""
        MongoEvents(database, "a:1").write("warning", "c", "m", at=ClusterTime(1, 2), odd={1})
        (found,) = database["events"].find({})
        assert is_recent(found.pop("at"), database)
        del found["_id"]
        assert found == {
            "level": "warning",
            "code": "c",
            "message": "m",
            "agent": "a:1",
            "facts": {"at": Timestamp(1, 2), "odd": "{1}"},
        }


def is_recent(time: Any, database: Database[Document]) -> bool:
    """Whether a time is the server's of just now."""
    now = MongoStatus(database).server_now()
    return isinstance(time, datetime) and abs(now - time) < timedelta(seconds=10)
