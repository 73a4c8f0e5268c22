"""A disk that is full on the target of a restore."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agent.core.errors import PermanentError
from tests.integration.restoring import Desk, temporaries
from tests.testbed.clients import Client
from tests.testbed.hashes import contents, differences
from tests.testbed.replica_set import ReplicaSet

_OUT_OF_DISK_SPACE = 14031


@pytest.fixture
def desk(replica_set: ReplicaSet) -> Desk:
    """A desk before the replica set of this module, with some data."""
    client = replica_set.client()
    client["shop"]["orders"].insert_many([{"_id": n, "a": n} for n in range(2000)])
    client["shop"]["orders"].create_index("a")
    client["shop"]["items"].insert_many([{"_id": n} for n in range(100)])
    return Desk(client=client)


@contextmanager
def _full(client: Client, command: str, *, skip: int) -> Iterator[None]:
    """Refuse a command as a server does whose disk is full, after the first few of them."""
    data = {"failCommands": [command], "errorCode": _OUT_OF_DISK_SPACE}
    fault = {"configureFailPoint": "failCommand", "mode": {"skip": skip}, "data": data}
    client.admin.command(fault)
    try:
        yield
    finally:
        client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.mark.parametrize(
    ("command", "skip"), [("create", 1), ("insert", 0), ("insert", 1), ("createIndexes", 0)]
)
def test_a_full_disk_fails_the_restore_and_changes_nothing(
    desk: Desk, command: str, skip: int
) -> None:
    """Its temporary collections are removed, which makes room again; the next restore succeeds."""
    desk.backup()
    original = contents(desk.client, databases=["shop"])
    desk.client["shop"]["orders"].delete_many({"_id": {"$lt": 10}})
    before = contents(desk.client, databases=["shop"])
    with _full(desk.client, command, skip=skip), pytest.raises(PermanentError) as caught:
        desk.restore(overwrite=True)
    assert "mongodb_disk_full" == caught.value.code
    assert [] == differences(before, contents(desk.client, databases=["shop"]))
    assert () == temporaries(desk.client)
    desk.restore(token=2, overwrite=True)
    assert [] == differences(original, contents(desk.client, databases=["shop"]))
