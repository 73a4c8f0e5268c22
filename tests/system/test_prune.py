"""Real agents prune a real storage: what retention lets go, and nothing else."""

import json

import pytest

from agent.model import keys
from tests.system.barrier import barrier
from tests.system.exactness import holds_only_what_manifests_name, restore_and_compare, shop
from tests.system.protected import WITHOUT_ARCHIVE, Protected, error_of, protected, result_of
from tests.system.storages import BucketStorage, manifest_keys
from tests.system.writer import seed_documents
from tests.testbed.agents import Settings
from tests.testbed.clients import Document
from tests.testbed.hashes import Contents
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

pytestmark = pytest.mark.timeout(240)

QUICK_ARCHIVE: Settings = {"oplog": {"upload_interval_s": 0.5}}


def test_a_prune_removes_what_it_foretold_and_the_rest_restores(
    replica_set: ReplicaSet, storage: BucketStorage
) -> None:
    """Two of four backups stay, as they were, and any time since the older one."""
    seed_documents(replica_set.client(), 500)
    with protected(replica_set, storage, QUICK_ARCHIVE) as cluster:
        made, held = _backups(cluster, 4, archived=True)
        cluster.control["schedules"].insert_one({"_id": "two", "retention": {"keep_last": 2}})
        before = set(storage.list())

        told = cluster.done("prune", dry_run=True)
        assert before <= set(storage.list())
        assert made[:2] == [each["backup"] for each in told["going"]]
        assert made[:1:-1] == [each["backup"] for each in told["kept"]]
        assert "two: keep_last 2" in told["kept"][1]["why"]
        shown = cluster.agents.all[0].verb("prune", "--dry-run", "--json")
        assert 0 == shown.exit_status, shown.stderr
        assert 2 == json.loads(shown.stdout)["result"]["backups"]

        result = cluster.done("prune")
        assert (2, 0, "none") == (result["backups"], result["left"], result["old_versions"])
        assert result["segments"] >= told["segments"] > 0
        assert made[2:] == _of_manifests(storage)
        assert made[2:] == [
            each["backup"] for each in cluster.control["backups"].find().sort("_id", 1)
        ]
        gone = before - set(storage.list())
        assert all(
            f"/{made[0]}/" in key or f"/{made[1]}/" in key or "/oplog/" in key for key in gone
        )

        for backup, contents in zip(made[2:], held[2:], strict=True):
            restore_and_compare(cluster, backup, contents)
        assert "done" == cluster.run("restore", to="latest", overwrite=True)["state"]
        _is_refused_while_a_schedule_makes_no_sense(cluster)


@pytest.mark.slow
def test_killed_within_a_backup_the_next_coordinator_ends_it(
    replica_set: ReplicaSet, storage: BucketStorage
) -> None:
    """The manifest is gone and all else of it is not: no backup is half there at the end."""
    seed_documents(replica_set.client(), 500)
    with protected(replica_set, storage, WITHOUT_ARCHIVE) as cluster:
        made, held = _backups(cluster, 3, archived=False)
        cluster.control["schedules"].insert_one({"_id": "one", "retention": {"keep_last": 1}})
        with barrier(cluster) as stands:
            stands.put_before("delete", "backups")
            order = cluster.order("prune")
            stands.wait_until_met()
            assert made[1:] == _of_manifests(storage)
            assert [key for key in storage.list() if f"/{made[0]}/data/" in key]
            victim = cluster.coordinator()
            victim.kill()
        document = cluster.end_of(order)
        result = result_of(document)
        assert document["coordinator"] != victim.spec.node.address
        assert made[:2] == [each["backup"] for each in result["going"]]
        assert made[2:] == _of_manifests(storage)
        assert made[2:] == [each["backup"] for each in cluster.control["backups"].find()]
        holds_only_what_manifests_name(cluster)
        restore_and_compare(cluster, made[2], held[2])


def _backups(cluster: Protected, count: int, *, archived: bool) -> tuple[list[str], list[Contents]]:
    """Make backups of data that changes in between; return their ids and what they hold."""
    made: list[str] = []
    held: list[Contents] = []
    for number in range(count):
        cluster.client["shop"]["items"].update_many({}, {"$inc": {"n": 1}})
        cluster.client["shop"]["rounds"].insert_one({"_id": number})
        held.append(shop(cluster))
        made.append(str(cluster.done("backup")["backup"]))
        if archived:
            _wait_for_archive(cluster)
    return made, held


def _wait_for_archive(cluster: Protected) -> None:
    """Wait until what was written so far is stored."""
    marked: Document = cluster.client.admin.command("appendOplogNote", data={"test": "mark"})
    mark = marked["operationTime"]

    def is_archived() -> bool:
        status = cluster.control["status"].find_one({"_id": "cluster"}) or {}
        oplog = status.get("oplog") or {}
        return bool(oplog) and oplog["archived_to"] >= mark

    cluster.client["shop"]["rounds"].update_one({"_id": 0}, {"$inc": {"n": 1}})
    cluster.client["shop"]["rounds"].update_one({"_id": 0}, {"$unset": {"n": 1}})
    eventually(is_archived, 60, message="it is archived")


def _of_manifests(storage: BucketStorage) -> list[str]:
    """Return the ids of the backups that are there, oldest first."""
    found = (keys.parse_manifest(key) for key in manifest_keys(storage))
    return sorted(each[1] for each in found if each is not None)


def _is_refused_while_a_schedule_makes_no_sense(cluster: Protected) -> None:
    """It may have promised something; the document is named."""
    # As before there was a validator, or past it.
    cluster.client["backstay"].command(
        "insert",
        "schedules",
        documents=[{"_id": "odd", "retention": {"keep_lots": 1}}],
        bypassDocumentValidation=True,
    )
    code, message, hint = error_of(cluster.run("prune"), "rejected")
    assert "retention_unclear" == code
    assert "'odd'" in message
    assert hint
