"""Ways to slow a server down, so that a test can act in the middle of things."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pymongo.errors import PyMongoError

from tests.testbed.clients import Document
from tests.testbed.mongod import Node
from tests.testbed.replica_set import ReplicaSet


@contextmanager
def slow_reads(nodes: Sequence[Node], namespace: str, wait_ms: int) -> Iterator[None]:
    """Make every long read of a collection wait about every 1,000 documents, where it yields."""
    data = {"namespace": namespace, "waitForMillis": wait_ms}
    for node in nodes:
        _set(node, {"mode": "alwaysOn", "data": data})
    try:
        yield
    finally:
        end_slow_reads(nodes)


def end_slow_reads(nodes: Sequence[Node]) -> None:
    """Let reads go at full speed again."""
    for node in nodes:
        if node.is_running:
            _set(node, {"mode": "off"})


@contextmanager
def slow_inserts(nodes: Sequence[Node], wait_ms: int = 3000) -> Iterator[None]:
    """Make every insert command of an agent wait before it begins: a restore loads for long."""
    blocked = {
        "failCommands": ["insert"],
        "blockConnection": True,
        "blockTimeMS": wait_ms,
        "appName": "backstay",
    }
    for node in nodes:
        _set(node, {"mode": "alwaysOn", "data": blocked}, "failCommand")
    try:
        yield
    finally:
        for node in nodes:
            if node.is_running:
                _set(node, {"mode": "off"}, "failCommand")


@contextmanager
def held_by_transaction(replica_set: ReplicaSet, database: str, name: str) -> Iterator[None]:
    """Keep a transaction open on a collection, for which a rename over it has to wait."""
    client = replica_set.client()
    with client.start_session() as session:
        session.start_transaction()
        client[database][name].find_one({}, session=session)
        yield
        try:
            session.abort_transaction()
        except PyMongoError:
            return  # the server had ended it


def _set(node: Node, how: Document, fail_point: str = "setYieldAllLocksWait") -> None:
    node.client().admin.command({"configureFailPoint": fail_point, **how})
