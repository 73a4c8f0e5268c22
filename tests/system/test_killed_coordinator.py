"""The coordinator of a backup is killed at named points: the next one ends it done and exact."""

import json
from collections.abc import Iterator

import pytest

from tests.system.barrier import Barrier, barrier, held_notes
from tests.system.exactness import holds_only_what_manifests_name, restore_and_compare, shop
from tests.system.protected import WITHOUT_ARCHIVE, Protected, protected, result_of
from tests.system.storages import BucketStorage, chunk_keys, manifest_keys
from tests.system.writer import seed_documents
from tests.testbed.agents import Agent
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import S3Server
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def cluster(replica_set: ReplicaSet, storage: BucketStorage) -> Iterator[Protected]:
    """Data in a few collections, and agents."""
    seed_documents(replica_set.client())
    with protected(replica_set, storage, WITHOUT_ARCHIVE) as cluster:
        yield cluster


def test_killed_while_it_measures(cluster: Protected) -> None:
    """No task is published yet: the next coordinator plans anew, at a time of its own."""
    with barrier(cluster) as stands:
        stands.put_before("dataSize")
        order = cluster.order("backup")
        stands.wait_until_met()
        victim = _kill_coordinator(cluster)
    assert not _tasks(cluster)
    _change(cluster)
    later = shop(cluster)

    result = _ended_by_another(cluster, order, victim)

    _is_whole(cluster, result)
    restore_and_compare(cluster, result["backup"], later)


def test_killed_after_it_published_and_before_it_wrote_that_down(cluster: Protected) -> None:
    """Tasks that were published, and read, under a plan that is lost are removed and made anew."""
    with barrier(cluster) as stands:
        stands.put_before("dataSize")
        order = cluster.order("backup")
        stands.wait_until_met()
        with held_notes(cluster, order) as wait_until_met:
            stands.lift()
            wait_until_met()
            eventually(lambda: _all_tasks_done(cluster), 30, message="all is read")
            orphans = set(chunk_keys(cluster.storage))
            victim = _kill_coordinator(cluster)
    assert orphans
    _change(cluster)
    later = shop(cluster)

    result = _ended_by_another(cluster, order, victim)

    assert not orphans & set(cluster.storage.list())
    _is_whole(cluster, result)
    restore_and_compare(cluster, result["backup"], later)


def test_killed_before_it_sends_the_manifest(cluster: Protected) -> None:
    """All is read: the next coordinator commits just that, whatever was written since."""
    before = shop(cluster)
    with barrier(cluster) as stands:
        order = _held_in_the_commit(cluster, stands)
        read = set(chunk_keys(cluster.storage))
        victim = _kill_coordinator(cluster)
    assert read
    assert [] == manifest_keys(cluster.storage)
    _change(cluster)

    result = _ended_by_another(cluster, order, victim)

    assert read == set(chunk_keys(cluster.storage)), "nothing was read again"
    _is_whole(cluster, result)
    restore_and_compare(cluster, result["backup"], before)


def test_killed_after_it_stored_oplog_and_before_it_wrote_that_down(cluster: Protected) -> None:
    """The oplog that no note tells of counts, though another agent compresses it otherwise."""
    before = shop(cluster)
    _compress_differently(cluster)
    with barrier(cluster) as stands:
        order = _held_in_the_commit(cluster, stands)
        with held_notes(cluster, order) as wait_until_met:
            stands.lift()
            wait_until_met()
            segments = _segments(cluster)
            victim = _kill_coordinator(cluster)
    assert segments
    _change(cluster)

    result = _ended_by_another(cluster, order, victim)

    assert segments == _segments(cluster)
    _is_whole(cluster, result)
    restore_and_compare(cluster, result["backup"], before)


@pytest.mark.parametrize("phase", ["oplog", "committing"])
def test_killed_while_it_sends(cluster: Protected, s3_server: S3Server, phase: str) -> None:
    """A segment, or the manifest, of the dead that arrives after the takeover does no harm."""
    if phase == "committing":
        # Only a capped collection is read at a time of its own, for which oplog is stored.
        cluster.client["shop"].drop_collection("tail")
    before = shop(cluster)
    with barrier(cluster) as stands:
        order = _held_in_the_commit(cluster, stands)
        s3_server.pause()
        try:
            stands.lift()
            cluster.reaches(order, phase)
            victim = _kill_coordinator(cluster)
            eventually(lambda: cluster.coordinator() is not victim, 40, message="it is replaced")
        finally:
            s3_server.resume()
    _change(cluster)

    result = _ended_by_another(cluster, order, victim)

    _is_whole(cluster, result)
    restore_and_compare(cluster, result["backup"], before)


@pytest.mark.parametrize("collection", ["backups", "commands"])
def test_killed_after_the_manifest(cluster: Protected, collection: str) -> None:
    """Not in the list yet, or not done yet: it ends done with the backup that is there."""
    before = shop(cluster)
    with barrier(cluster) as stands:
        order = _held_after_the_manifest(cluster, stands)
        if collection == "commands":
            stands.put_before("update", "commands")
            eventually(lambda: _listed(cluster), 30, message="the backup is in the list")
            stands.wait_until_met()
        (key,) = manifest_keys(cluster.storage)
        written = cluster.storage.read(key)
        victim = _kill_coordinator(cluster)
    assert "running" == cluster.document(order)["state"]
    assert (collection == "commands") == bool(_listed(cluster))
    _change(cluster)

    result = _ended_by_another(cluster, order, victim)

    _is_whole(cluster, result)
    assert [key] == manifest_keys(cluster.storage)
    assert written == cluster.storage.read(key)
    restore_and_compare(cluster, result["backup"], before)


def test_killed_after_the_command_was_done(cluster: Protected) -> None:
    """What is done stays as it is; the next coordinator removes the tasks that are left."""
    with barrier(cluster) as stands:
        order = _held_after_the_manifest(cluster, stands)
        stands.put_before("delete", "tasks")
        done = cluster.end_of(order)
        stands.wait_until_met()
        victim = _kill_coordinator(cluster)
    assert _tasks(cluster)
    eventually(lambda: cluster.coordinator() is not victim, 40, message="it is replaced")

    _is_whole(cluster, result_of(done))
    assert done == cluster.document(order)


def _held_in_the_commit(cluster: Protected, stands: Barrier) -> object:
    """Order a backup, and hold its coordinator after all is read and before the manifest."""
    # Its look at the tasks: it does not learn that they are done before the barrier moves.
    stands.put_before("aggregate", "tasks")
    order = cluster.order("backup")
    eventually(lambda: _all_tasks_done(cluster), 30, message="all is read")
    # The records of what was read, which make the manifest.
    stands.put_before("find", "tasks")
    stands.wait_until_met()
    return order


def _held_after_the_manifest(cluster: Protected, stands: Barrier) -> object:
    """Order a backup, and hold its coordinator when the manifest is written and all else is not."""
    stands.put_before("update", "backups")
    order = cluster.order("backup")
    stands.wait_until_met()
    return order


def _kill_coordinator(cluster: Protected) -> Agent:
    victim = cluster.coordinator()
    victim.kill()
    return victim


def _ended_by_another(cluster: Protected, order: object, victim: Agent) -> Document:
    document = cluster.end_of(order)
    result = result_of(document)
    assert document["coordinator"] != victim.spec.node.address
    assert not victim.is_running
    return result


def _is_whole(cluster: Protected, result: Document) -> None:
    """There is one backup, it is the one that the result tells of, and nothing is beside it."""
    holds_only_what_manifests_name(cluster)
    (key,) = manifest_keys(cluster.storage)
    manifest = json.loads(cluster.storage.read(key))
    assert result["backup"] == manifest["backup_id"]
    docs = sum(int(each["docs"]["$numberLong"]) for each in manifest["collections"])
    assert result["docs"] == docs
    (listed,) = _listed(cluster)
    assert result["backup"] == listed["backup"]


def _change(cluster: Protected) -> None:
    """Write what must not be in a backup that was read before."""
    cluster.client["shop"]["items"].update_many({}, {"$inc": {"n": 1}})
    cluster.client["shop"]["orders"].delete_many({"_id": {"$gte": 1000}})
    cluster.client["shop"]["later"].insert_one({"_id": 1})


def _tasks(cluster: Protected) -> list[Document]:
    return list(cluster.control["tasks"].find({"kind": "task"}))


def _all_tasks_done(cluster: Protected) -> bool:
    tasks = _tasks(cluster)
    return bool(tasks) and all("done" == task["state"] for task in tasks)


def _compress_differently(cluster: Protected) -> None:
    """Give each agent a compression level of its own, so that each makes other bytes."""
    for agent, level in zip(cluster.agents.all, (1, 9, 19), strict=True):
        block = f"backup:\n  compression:\n    level: {level}\n"
        agent.config.write_text(agent.config.read_text() + block)
        agent.restart()
    cluster.agents.wait_until_reporting()


def _segments(cluster: Protected) -> list[str]:
    return [key for key in cluster.storage.list() if "/oplog/" in key]


def _listed(cluster: Protected) -> list[Document]:
    return list(cluster.control["backups"].find())
