"""Nodes whose oplogs do not reach back equally far."""

import pytest
from bson.timestamp import Timestamp
from pymongo.write_concern import WriteConcern

from tests.system.protected import Protected, protected
from tests.system.storages import Storage
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

_SMALL_MB = 16
_SIZES_MB = (_SMALL_MB, _SMALL_MB, 256)
_LARGE = 2


def _roll(cluster: Protected, archived: Timestamp) -> None:
    """Write on all nodes until the small oplogs do not have what is archived any more."""
    junk = cluster.client["junk"].get_collection("junk", write_concern=WriteConcern(3))
    oplogs = [node.client()["local"]["oplog.rs"] for node in cluster.replica_set.nodes]

    def has_rolled() -> bool:
        junk.insert_one({"much": b"\0" * 2**20})
        first = [each.find_one(sort=[("$natural", 1)]) for each in oplogs]
        times = [each["ts"] for each in first if each is not None]
        return bool(min(times[:_LARGE]) > archived > times[_LARGE])

    eventually(has_rolled, 90, 0.1, "the small oplogs have rolled")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_one_oplog_has_lost_is_archived_from_another(storage: Storage) -> None:
    """Whoever comes first after an outage gives no entries up that another node still has."""
    spec = ReplicaSetSpec(oplog_sizes_mb=_SIZES_MB, checkpoint_s=1)
    with ReplicaSet.start(spec) as replica_set, protected(replica_set, storage) as cluster:
        agents = [cluster.agents.beside(node) for node in replica_set.nodes]
        eventually(lambda: _all_tell_their_oplog(cluster), 30)
        cluster.done("backup")
        archived = _see_archived(cluster, "first")
        for agent in agents:
            agent.kill()
        _roll(cluster, archived)
        others = agents[:_LARGE]
        for agent in others:
            agent.restart()
        eventually(lambda: any("oplog_elsewhere" in each.text() for each in others), 60)
        agents[_LARGE].restart()
        _see_archived(cluster, "last")
        assert not list(cluster.control["events"].find({"code": "oplog_gap"}))


def _all_tell_their_oplog(cluster: Protected) -> bool:
    told = list(cluster.control["status"].find({"kind": "agent"}))
    return len(told) == len(_SIZES_MB) and all(each.get("oplog_from") for each in told)


def _see_archived(cluster: Protected, name: str) -> Timestamp:
    """Write, and wait until the archive has come so far, without a gap; return the time of it."""
    with cluster.client.start_session() as session:
        cluster.client["shop"][name].insert_one({}, session=session)
        written = session.operation_time
    assert written is not None

    def is_archived() -> bool:
        oplog = (cluster.control["status"].find_one({"_id": "cluster"}) or {}).get("oplog") or {}
        assert [] == oplog.get("gaps", [])
        return oplog.get("archived_to") is not None and bool(oplog["archived_to"] >= written)

    eventually(is_archived, 90, 0.5, "the archive has come up")
    return written
