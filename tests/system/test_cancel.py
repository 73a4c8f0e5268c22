"""What is cancelled half-way leaves no trace."""

import pytest

from tests.system.faults import held_by_transaction, slow_inserts, slow_reads
from tests.system.observed import of_users
from tests.system.protected import error_of, protected
from tests.system.storages import BucketStorage
from tests.system.writer import seed_documents
from tests.testbed.hashes import contents, differences
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually


@pytest.mark.timeout(180)
def test_cancelled_jobs_leave_no_trace(replica_set: ReplicaSet, storage: BucketStorage) -> None:
    """A backup leaves no object, a restore no temporary collection and the data untouched."""
    client = replica_set.client()
    seed_documents(client, 5000)
    with protected(replica_set, storage) as cluster:
        with slow_reads(replica_set.nodes, "shop.items", 500):
            order = cluster.order("backup")
            cluster.reaches(order, "reading")
            assert "done" == cluster.run("cancel", target=order)["state"]
            assert "canceled" == cluster.end_of(order)["state"]
        eventually(lambda: [] == list(storage.list()) or None, 20, message="no object is left")
        cluster.check_clean()
        assert not list(cluster.control["backups"].find())

        backup = cluster.done("backup")["backup"]
        client["shop"]["orders"].delete_many({"_id": {"$lt": 100}})
        changed = contents(client, databases=["shop"])
        with slow_inserts(replica_set.nodes):
            order = cluster.order("restore", backup=backup, overwrite=True)
            cluster.reaches(order, "loading")
            assert "done" == cluster.run("cancel", target=order)["state"]
        assert "canceled" == cluster.end_of(order)["state"]
        assert [] == differences(changed, of_users(contents(client, databases=["shop"])))
        cluster.check_clean()


@pytest.mark.timeout(180)
def test_switch_cannot_be_cancelled(replica_set: ReplicaSet, storage: BucketStorage) -> None:
    """Once collections are being renamed, a cancel is refused and the restore ends done."""
    client = replica_set.client()
    seed_documents(client, 100)
    wanted = contents(client, databases=["shop"])
    with protected(replica_set, storage) as cluster:
        backup = cluster.done("backup")["backup"]
        client["shop"]["orders"].delete_many({"_id": {"$lt": 10}})
        with held_by_transaction(replica_set, "shop", "orders"):
            order = cluster.order("restore", backup=backup, overwrite=True)
            cluster.reaches(order, "switching")
            refusal = cluster.run("cancel", target=order)
        _, message, hint = error_of(refusal, "rejected")
        assert message
        assert hint
        assert "done" == cluster.end_of(order)["state"]
        assert [] == differences(wanted, contents(client, databases=["shop"]))
        cluster.check_clean()


def test_command_that_waits_is_cancelled_at_once(
    replica_set: ReplicaSet, storage: BucketStorage
) -> None:
    """A command behind another one ends cancelled without having begun."""
    client = replica_set.client()
    seed_documents(client, 5000)
    with protected(replica_set, storage) as cluster:
        with slow_reads(replica_set.nodes, "shop.items", 500):
            first = cluster.order("backup")
            cluster.reaches(first, "reading")
            second = cluster.order("backup")
            assert "done" == cluster.run("cancel", target=second)["state"]
            document = cluster.end_of(second)
            assert "canceled" == document["state"]
            assert "started_at" not in document
            assert "running" == cluster.document(first)["state"]
        assert "done" == cluster.end_of(first)["state"]
