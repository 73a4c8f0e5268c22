"""The archive of real agents goes on through everything that happens to them."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from bson.timestamp import Timestamp

from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived, Span, gaps, spans
from tests.system.faults import slow_inserts, slow_reads
from tests.system.protected import Protected, protected
from tests.system.storages import BucketStorage, DirectoryStorage, Storage
from tests.system.writer import seed_documents
from tests.testbed.agents import Agent
from tests.testbed.clients import Document
from tests.testbed.hashes import contents, differences
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import Bucket, FastS3Server
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# 20 s are promised; a shared machine gets some more.
_GOING_AGAIN_S = 30.0


@pytest.fixture
def cluster(replica_set: ReplicaSet, directory: DirectoryStorage) -> Iterator[Protected]:
    """Agents that archive each second, and an archive that has begun."""
    with _archiving(replica_set, directory) as cluster:
        yield cluster


@contextmanager
def _archiving(replica_set: ReplicaSet, storage: Storage) -> Iterator[Protected]:
    with protected(replica_set, storage, {"oplog": {"upload_interval_s": 1}}) as cluster:
        eventually(
            lambda: cluster.control["status"].find_one({"archive": {"$type": "object"}}),
            40,
            message="the archive has begun",
        )
        _is_archived(cluster, _write(cluster), 15)
        yield cluster


def test_a_killed_archiver_is_followed_without_a_gap(cluster: Protected) -> None:
    """Another agent is there within seconds of the end of its lease."""
    victim = _archiver(cluster)
    victim.kill()
    killed_at = time.monotonic()
    _is_archived(cluster, _write(cluster), _GOING_AGAIN_S)
    assert time.monotonic() - killed_at < _GOING_AGAIN_S
    assert _archiver(cluster) is not victim
    _has_no_gap(cluster)


def test_an_archiver_that_stalls_does_no_harm(cluster: Protected) -> None:
    """Frozen beyond its lease it is replaced; what it does when it thaws leaves no gap."""
    frozen = _archiver(cluster)
    frozen.send(signal.SIGSTOP)
    stopped_at = time.monotonic()
    _is_archived(cluster, _write(cluster), _GOING_AGAIN_S)
    eventually(lambda: time.monotonic() - stopped_at >= 20, 30)
    frozen.send(signal.SIGCONT)
    for _ in range(5):
        _is_archived(cluster, _write(cluster), 15)
    assert frozen.is_running
    assert _archiver(cluster) is not frozen
    _has_no_gap(cluster)


def test_a_restart_of_all_agents_leaves_no_gap(cluster: Protected) -> None:
    """What was written while nobody archived is archived by the first that is back."""
    for agent in cluster.agents.all:
        agent.kill()
    seed_documents(cluster.client, 500)
    last = _write(cluster)
    for agent in cluster.agents.all:
        agent.restart()
    _is_archived(cluster, last, 2 * _GOING_AGAIN_S)
    _has_no_gap(cluster)


def test_the_archive_goes_on_while_jobs_run(cluster: Protected) -> None:
    """A backup and a restore take their time; what is written meanwhile is stored at once."""
    seed_documents(cluster.client, 4000)
    nodes = cluster.replica_set.nodes
    with slow_reads(nodes, "shop.items", 500):
        order = cluster.order("backup")
        cluster.reaches(order, "reading")
        _is_archived(cluster, _write(cluster), 10)
        assert "running" == cluster.document(order)["state"]
    backup = cluster.end_of(order)["result"]["backup"]
    with slow_inserts(nodes, 5000):
        order = cluster.order("restore", backup=backup, overwrite=True)
        cluster.reaches(order, "loading")
        with cluster.client.start_session() as session:
            cluster.client["elsewhere"]["marks"].update_one(
                {"_id": 1}, {"$set": {"n": 1}}, upsert=True, session=session
            )
            last = _time(session.operation_time)
        _is_archived(cluster, last, 10)
        assert "running" == cluster.document(order)["state"]
    assert "done" == cluster.end_of(order)["state"]
    _is_archived(cluster, _write(cluster), 10)
    _has_no_gap(cluster)


def test_a_storage_that_dies_and_comes_back_leaves_no_gap(replica_set: ReplicaSet) -> None:
    """What was written meanwhile is stored within seconds; until then the status says why not."""
    # The other server takes half a minute to come back.
    with FastS3Server.start() as server:
        bucket = Bucket(server=server, name=server.create_bucket(), prefix="cluster")
        with (
            closing(BucketStorage(bucket, checksums="when_required")) as storage,
            _archiving(replica_set, storage) as cluster,
        ):
            server.kill()
            seed_documents(cluster.client, 2000)
            _write(cluster)
            told = eventually(
                lambda: cluster.control["status"].find_one({"archive.error": {"$type": "string"}}),
                30,
                message="the archiver tells of its storage",
            )
            assert told["archive"]["lag_s"] > 0
            server.start_again()
            _is_archived(cluster, _write(cluster), _GOING_AGAIN_S)
            _has_no_gap(cluster)
            eventually(
                lambda: cluster.control["status"].find_one({
                    "archive.archived_to": {"$exists": True},
                    "archive.error": None,
                }),
                15,
                message="nothing is wrong any more",
            )


def test_a_lost_cluster_comes_back_by_its_storage_alone(
    cluster: Protected, directory: DirectoryStorage
) -> None:
    """An empty set lists the lost one's backups and times, and restores what that had archived."""
    seed_documents(cluster.client, 500)
    backup = cluster.done("backup")["backup"]
    cluster.client["shop"]["items"].delete_many({"_id": {"$lt": 100}})
    expected = contents(cluster.client, databases=["shop", "elsewhere"])
    last = _write(cluster)
    _is_archived(cluster, last, 15)
    cluster.agents.stop()
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1)) as fresh,
        protected(fresh, directory, {"oplog": {"upload_interval_s": 1}}) as heir,
    ):
        eventually(
            lambda: any(_time(each["to"]) >= last for each in _recoverable(heir)),
            60,
            message="the lost set's times are recoverable",
        )
        assert [backup] == [each["_id"]["id"] for each in heir.control["backups"].find()]
        result = heir.done("restore", to=Timestamp(last.seconds, last.increment - 1))
        assert result["replayed_ops"] >= 100
        assert [] == differences(expected, contents(heir.client, databases=["shop", "elsewhere"]))
        eventually(lambda: len(_archived_ids(heir)) == 2, 20, message="both archives stand")


def _recoverable(cluster: Protected) -> list[Document]:
    status = cluster.control["status"].find_one({"_id": "cluster"}) or {}
    found: list[Document] = status.get("recoverable", [])
    return found


def _archived_ids(cluster: Protected) -> set[str]:
    parsed = map(keys.parse_segment, cluster.storage.list())
    return {each[1] for each in parsed if each is not None}


def _archiver(cluster: Protected) -> Agent:
    """Wait for an agent that holds the lease, and return it."""

    def holding() -> Agent | None:
        lease = cluster.control["leases"].find_one({"_id": "archiver"}) or {}
        return cluster.agent(lease.get("holder"))

    return eventually(holding, 30, message="there is an archiver")


def _write(cluster: Protected) -> ClusterTime:
    """Write something, acknowledged by a majority, and return its time."""
    with cluster.client.start_session() as session:
        cluster.client["elsewhere"]["marks"].insert_one({}, session=session)
        return _time(session.operation_time)


def _time(stamp: Timestamp | None) -> ClusterTime:
    assert stamp is not None
    return ClusterTime(stamp.time, stamp.inc)


def _is_archived(cluster: Protected, last: ClusterTime, timeout_s: float) -> None:
    eventually(
        lambda: any(segment.last >= last for segment in _segments(cluster)),
        timeout_s,
        message=f"{last} is archived",
    )


def _segments(cluster: Protected) -> list[Archived]:
    found = []
    for key in cluster.storage.list():
        parsed = keys.parse_segment(key)
        if parsed is not None:
            *_, begin, last = parsed
            found.append(Archived(key=key, begin=begin, last=last, stored_bytes=0))
    return found


def _has_no_gap(cluster: Protected) -> None:
    found: tuple[Span, ...] = gaps(spans(_segments(cluster)))
    assert () == found
    assert None is cluster.control["events"].find_one({"code": "oplog_gap"})
