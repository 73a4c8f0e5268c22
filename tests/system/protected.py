"""A replica set with an agent beside each node, as an operator at a mongosh sees it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pymongo.errors import PyMongoError

from tests.system.observed import TEMPORARY
from tests.system.storages import Storage
from tests.testbed.agents import Agent, Agents, Settings
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

END_STATES = frozenset({"done", "failed", "canceled", "rejected", "expired"})
QUICK: Settings = {"control": {"poll_interval_s": 0.2}}
"""Agents that look for commands more often than an operator needs."""
WITHOUT_ARCHIVE: Settings = {"oplog": {"enabled": False}}
"""For tests that count the objects of a backup, its own oplog among them."""


class Protected:
    """Commands are inserted, documents are read: nothing else."""

    def __init__(self, replica_set: ReplicaSet, agents: Agents, storage: Storage) -> None:
        self.replica_set = replica_set
        self.agents = agents
        self.storage = storage
        self.client = replica_set.client()
        self.control = self.client["backstay"]

    def order(self, command: str, **options: object) -> object:
        """Insert a command and return its `_id`."""
        return self.control["commands"].insert_one({"command": command, **options}).inserted_id

    def document(self, order: object) -> Document:
        """Return a command as it is now."""
        found = self.control["commands"].find_one({"_id": order})
        assert found is not None
        return found

    def end_of(self, order: object, timeout_s: float = 90.0) -> Document:
        """Wait until a command has ended, however it did, and return its document."""

        def ended() -> Document | None:
            document = self.document(order)
            return document if document.get("state") in END_STATES else None

        try:
            return eventually(ended, timeout_s, message=f"command {order} ends")
        except AssertionError as error:
            error.add_note(f"it stands at {self.document(order)}")
            raise

    def run(self, command: str, **options: object) -> Document:
        """Insert a command and wait until it has ended."""
        return self.end_of(self.order(command, **options))

    def done(self, command: str, **options: object) -> Document:
        """Insert a command, wait until it is done, and return its result."""
        return result_of(self.run(command, **options))

    def reaches(self, order: object, *phases: str, timeout_s: float = 60.0) -> None:
        """Wait until a command is in one of these phases; fail if it ends first."""

        def reached() -> bool:
            document = self.document(order)
            if document.get("state") in END_STATES:
                raise RuntimeError(f"it ended before it was in {phases}: {document}")
            return document.get("progress", {}).get("phase") in phases

        eventually(reached, timeout_s, interval_s=0.01, message=f"the command is in {phases}")

    def coordinator(self) -> Agent:
        """Wait for an agent that holds the lease of the coordinator, and return it."""

        def holding() -> Agent | None:
            lease = self.control["leases"].find_one({"_id": "coordinator"}) or {}
            return self.agent(lease.get("holder"))

        return eventually(holding, 30, message="there is a coordinator")

    def agent(self, name: str | None) -> Agent | None:
        """Return the agent of this name, if there is one."""
        return next((each for each in self.agents.all if each.spec.node.address == name), None)

    def task_owner(self) -> Agent:
        """Wait until an agent works on a task, and return it."""

        def working() -> Agent | None:
            task = self.control["tasks"].find_one({"state": "running"}) or {}
            return self.agent(task.get("holder"))

        return eventually(working, 30, interval_s=0.01, message="an agent works on a task")

    def temporaries(self) -> list[str]:
        """Return the temporary collections of restores that are there."""
        return [
            f"{database}.{name}"
            for database in self.client.list_database_names()
            for name in self.client[database].list_collection_names()
            if TEMPORARY in name
        ]

    def check_clean(self) -> None:
        """Wait until jobs have left nothing behind; raise AssertionError that names what is left.

        A command is done a moment before its tasks go.
        """

        def is_clean() -> bool:
            left = [*self.temporaries(), *self.control["tasks"].find({}, {"_id": 1})]
            assert [] == left
            return True

        eventually(is_clean, 20, message="nothing is left of the jobs")


@contextmanager
def protected(
    replica_set: ReplicaSet,
    storage: Storage,
    settings: Settings | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Protected]:
    """Run an agent beside each node of a replica set."""
    with Agents.start(
        replica_set,
        storage.settings,
        settings={**QUICK, **(settings or {})},
        environment=environment,
    ) as all_:
        yield Protected(replica_set, all_, storage)


def result_of(document: Document) -> Document:
    """Return the result of a command that is done."""
    assert "done" == document["state"], document
    result: Document = document["result"]
    return result


def error_of(document: Document, state: str) -> tuple[str, str, str]:
    """Return code, message and hint of a command that ended in this state."""
    assert state == document["state"], document
    error: dict[str, Any] = document["error"]
    return error["code"], error["message"], error["hint"]


def patiently(call: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Repeat a call until it goes through, over an election for example."""

    def went_through() -> bool:
        try:
            call()
        except PyMongoError:
            return False
        return True

    eventually(went_through, timeout_s, message="the call goes through")
