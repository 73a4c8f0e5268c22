"""Backups are verified by real agents, while others are made."""

import pytest
from pymongo.synchronous.database import Database

from tests.system.faults import slow_reads
from tests.system.protected import error_of, protected
from tests.system.storages import BucketStorage, chunk_keys
from tests.system.writer import seed_documents
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually


def problems(control: Database[Document]) -> list[str]:
    """Return the codes of the problems that the coordinator tells of."""
    status = control["status"].find_one({"_id": "cluster"}) or {}
    return [each["code"] for each in status.get("problems", [])]


@pytest.mark.timeout(180)
def test_a_damaged_chunk_is_named_while_a_backup_runs(
    replica_set: ReplicaSet, storage: BucketStorage
) -> None:
    """The verdict stands in the list and the status until the backup is deleted, and no longer."""
    seed_documents(replica_set.client(), 5000)
    with protected(replica_set, storage) as cluster:
        backup = cluster.done("backup")["backup"]
        sound = cluster.done("verify", backup=backup, depth="content")
        assert sound["docs"] > 5000
        assert 1 + len(chunk_keys(storage)) + sound["segments"] == sound["objects"]

        chunk = max(chunk_keys(storage), key=lambda key: len(storage.read(key)))
        body = bytearray(storage.read(chunk))
        body[len(body) // 2] ^= 1
        storage.write(chunk, bytes(body))
        with slow_reads(replica_set.nodes, "shop.items", 500):
            running = cluster.order("backup")
            cluster.reaches(running, "reading")
            document = cluster.run("verify", backup=backup, depth="content")
            shallow = cluster.done("verify", backup=backup)
            assert "running" == cluster.document(running)["state"]
        code, message, hint = error_of(document, "failed")
        assert "verify_failed" == code
        assert chunk in message
        assert hint
        (bad,) = document["result"]["bad"]
        assert (chunk, "changed" in bad["what"]) == (bad["key"], True)
        assert 0 == shallow["bad_objects"]

        assert "done" == cluster.end_of(running)["state"]
        entry = cluster.control["backups"].find_one({"backup": backup})
        assert entry is not None
        assert {"content": "damaged", "objects": "sound"} == {
            depth: found["verdict"] for depth, found in entry["verified"].items()
        }
        eventually(lambda: "verify_failed" in problems(cluster.control), 20, message="a problem")
        cluster.done("resync")
        assert entry == cluster.control["backups"].find_one({"backup": backup})

        cluster.done("delete", backup=backup)
        assert [] == [key for key in storage.list() if f"/{backup}/" in key]
        eventually(lambda: "verify_failed" not in problems(cluster.control), 20, message="no more")
