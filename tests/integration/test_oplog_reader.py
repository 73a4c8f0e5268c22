"""The oplog of one node: exact ranges, and what is no longer there."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from agent.codec import documents, framing
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.model.cluster_time import ClusterTime
from agent.mongo.connect import Client, open_cluster, open_node
from agent.mongo.node_link import NodeLink
from agent.mongo.oplog import MongoOplogReader
from agent.mongo.source import MongoClusterSource
from agent.ports import Batch
from tests.testbed.mongod import Node
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually


@pytest.fixture
def source(replica_set: ReplicaSet) -> Iterator[MongoClusterSource]:
    """The shared replica set through its primary."""
    with closing(_cluster(replica_set)) as client:
        yield MongoClusterSource(client, control_database="backstay", stop=Stop())


@pytest.fixture
def secondary(replica_set: ReplicaSet) -> Iterator[MongoOplogReader]:
    """The oplog of one of its secondaries."""
    with closing(open_node(replica_set.secondaries()[0].uri)) as client:
        yield MongoOplogReader(NodeLink.over(client))


def _cluster(replica_set: ReplicaSet) -> Client:
    hosts = [node.address for node in replica_set.data_nodes()]
    return open_cluster(f"mongodb://{hosts[0]}/", hosts, replica_set.spec.name)


def _entries(batches: Iterator[Batch]) -> list[bytes]:
    found = []
    for batch in batches:
        documents.check(batch.data, batch.docs)
        found += [bytes(each) for each in framing.documents(batch.data)]
    return found


def _times(entries: list[bytes]) -> list[ClusterTime]:
    return [documents.cluster_time(each, "ts") or ClusterTime(0, 0) for each in entries]


def test_a_range_is_exact(
    replica_set: ReplicaSet, source: MongoClusterSource, secondary: MongoOplogReader
) -> None:
    """All entries after the begin, up to and with the last, in order and raw."""
    begin = source.write_note("begin")
    replica_set.client().shop.things.insert_many([{"_id": n, "p": "x" * 400} for n in range(9000)])
    last = source.write_note("last")
    replica_set.client().shop.things.insert_one({"_id": "later"})
    source.write_note("more")
    entries = _entries(secondary.read(begin, last))
    times = _times(entries)
    assert times == sorted(times)
    assert begin < times[0]
    assert last == times[-1]
    inserted = [
        documents.subdocument(each, "o")
        for each in entries
        if documents.field(each, "op") == "i" and documents.field(each, "ns") == "shop.things"
    ]
    assert [documents.encode({"_id": n, "p": "x" * 400}) for n in range(9000)] == inserted
    last_but_one = times[-2]
    assert [last] == _times(_entries(secondary.read(last_but_one, last)))
    assert [] == _entries(secondary.read(last, last))


def test_nodes_agree(replica_set: ReplicaSet, source: MongoClusterSource) -> None:
    """The same range is the same bytes on every member."""
    begin = source.write_note("begin")
    replica_set.client().shop.things.insert_many([{"_id": n} for n in range(100)])
    last = source.write_note("last")

    def read(node: Node) -> list[bytes]:
        with closing(open_node(node.uri)) as client:
            return _entries(MongoOplogReader(NodeLink.over(client)).read(begin, last))

    first, *others = (read(node) for node in replica_set.nodes)
    assert all(first == each for each in others)


def test_the_read_waits_for_its_end(replica_set: ReplicaSet, source: MongoClusterSource) -> None:
    """Trap 66: a node that is behind is never read as if its oplog ended there."""
    node = replica_set.secondaries()[0]
    admin = node.client().admin
    mode = {"configureFailPoint": "stopReplProducer", "mode": "alwaysOn"}
    with closing(open_node(node.uri)) as client:
        begin = source.write_note("begin")
        admin.command(mode)
        try:
            last = source.write_note("last")
            with pytest.raises(TransientError) as caught:
                _entries(MongoOplogReader(NodeLink.over(client), reach_ms=500).read(begin, last))
            assert "node_behind" == caught.value.code
        finally:
            admin.command({**mode, "mode": "off"})
        assert (
            last == _times(_entries(MongoOplogReader(NodeLink.over(client)).read(begin, last)))[-1]
        )
        ahead = ClusterTime(last.seconds + 1000, 1)
        with pytest.raises(TransientError) as caught:
            _entries(MongoOplogReader(NodeLink.over(client), reach_ms=500).read(begin, ahead))
        assert "node_behind" == caught.value.code


def test_an_oplog_that_rolled_on_is_told(
    source: MongoClusterSource, secondary: MongoOplogReader
) -> None:
    """Trap 10: a begin before the oldest entry is a gap, never a shorter answer."""
    last = source.write_note("last")
    with pytest.raises(PermanentError) as caught:
        _entries(secondary.read(ClusterTime(1, 1), last))
    assert "oplog_rolled" == caught.value.code


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_oplog_that_rolls_under_the_read_is_told() -> None:
    """Entries that fall out of the oplog behind an open cursor end the read."""
    spec = ReplicaSetSpec(nodes=1, parameters={"oplogInitialFindMaxSeconds": 60}, oplog_size_mb=990)
    with (
        ReplicaSet.start(spec) as private,
        closing(_cluster(private)) as client,
        closing(open_node(private.nodes[0].uri)) as own,
    ):
        source = MongoClusterSource(client, control_database="backstay", stop=Stop())
        user = private.client()
        fill = [{"p": "x" * 100_000} for _ in range(100)]
        begin = source.write_note("begin")
        for _ in range(10):
            user.shop.things.insert_many([dict(each) for each in fill])
        last = source.write_note("last")
        reader = MongoOplogReader(NodeLink.over(own))
        batches = reader.read(begin, last)
        next(batches)

        def has_rolled() -> bool:
            for _ in range(10):
                user.shop.things.insert_many([dict(each) for each in fill])
            source.write_note("more")
            try:
                next(reader.read(begin, last))
            except PermanentError as error:
                assert "oplog_rolled" == error.code  # noqa: PT017 - polled for
                return True
            return False

        eventually(has_rolled, 200, 0.1, "the oplog has rolled past the begin")
        with pytest.raises(PermanentError) as caught:
            _entries(batches)
        assert "oplog_rolled" == caught.value.code
