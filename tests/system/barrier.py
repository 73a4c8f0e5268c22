"""Points that agents do not get past, so that one can be killed exactly there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.system.protected import Protected
from tests.testbed.clients import Document
from tests.testbed.mongod import Node
from tests.testbed.waiting import eventually

_FAIL_POINT = "failCommand"


class Barrier:
    """One kind of command that the primary takes from no agent.

    Each try breaks the connection, and the agent tries again: so nothing of it can come to pass
    after the agent's death, as it could if the command were only delayed.
    """

    def __init__(self, primary: Node) -> None:
        self._primary = primary
        self._met_count = 0

    def put_before(self, command: str, collection: str | None = None) -> None:
        """Stand before a command, on one of the agents' own collections; no longer elsewhere."""
        data: Document = {
            "failCommands": [command],
            "closeConnection": True,
            "appName": "backstay",
        }
        if collection is not None:
            data["namespace"] = f"backstay.{collection}"
        self._met_count = int(self._set({"mode": "alwaysOn", "data": data})["count"])

    def wait_until_met(self) -> None:
        """Wait until an agent has come to where the barrier stands now."""
        self._primary.client().admin.command({
            "waitForFailPoint": _FAIL_POINT,
            "timesEntered": self._met_count + 1,
            "maxTimeMS": 30_000,
        })

    def lift(self) -> None:
        """Let everything pass. Idempotent."""
        self._set({"mode": "off"})

    def _set(self, how: Document) -> Document:
        return self._primary.client().admin.command({"configureFailPoint": _FAIL_POINT, **how})


@contextmanager
def barrier(cluster: Protected) -> Iterator[Barrier]:
    """Yield a barrier that stands nowhere yet, and lift it in the end."""
    made = Barrier(cluster.replica_set.primary())
    try:
        yield made
    finally:
        made.lift()


@contextmanager
def held_notes(cluster: Protected, order: object) -> Iterator[Callable[[], None]]:
    """Keep the coordinator from replacing the notes of a command's job, which are there.

    Yields what waits until it tries. Its try is void: it ends before the notes are let go.
    """
    tries: Document = {
        "appName": "backstay",
        "command.findAndModify": "tasks",
        "command.query._id.notes": order,
    }

    def running() -> list[Document]:
        return list(cluster.client.admin.aggregate([{"$currentOp": {}}, {"$match": tries}]))

    def wait_until_met() -> None:
        eventually(running, 30, message="the notes are to be replaced")

    def end_all() -> bool:
        left = running()
        for operation in left:
            cluster.client.admin.command("killOp", op=operation["opid"])
        return not left

    with cluster.client.start_session() as session:
        session.start_transaction()
        notes = {"_id": {"notes": order}}
        touched = cluster.control["tasks"].update_one(notes, {"$set": {"x": 1}}, session=session)
        assert 1 == touched.matched_count
        try:
            yield wait_until_met
        finally:
            eventually(end_all, message="nobody tries to replace the notes")
            session.abort_transaction()
