"""Connections that were opened while a node was not in place."""

from collections.abc import Iterator

import pytest

from agent.core.clock import SystemClock
from agent.core.errors import TransientError
from agent.core.flow import Stop
from agent.model.cluster_time import ClusterTime
from agent.mongo.connect import open_cluster, open_node
from agent.mongo.node_link import NodeLink
from agent.mongo.oplog import MongoOplogReader
from agent.mongo.reader import MongoNodeReader
from agent.mongo.source import MongoClusterSource
from agent.ports import Read
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually


@pytest.fixture
def link(replica_set: ReplicaSet) -> Iterator[NodeLink]:
    """The way to a secondary, first gone when that was recovering."""
    secondary = replica_set.secondaries()[0]
    with open_node(secondary.uri) as operator:
        link = NodeLink(lambda: open_node(secondary.uri))
        operator.admin.command("replSetMaintenance", True)
        try:
            assert "RECOVERING" == _reader(link).facts().state
        finally:
            operator.admin.command("replSetMaintenance", False)
        eventually(lambda: _reader(link).facts().state == "SECONDARY", 30)
        yield link
        link.close()


def _reader(link: NodeLink) -> MongoNodeReader:
    return MongoNodeReader(link, "host:27017", priority=1, clock=SystemClock())


def _marked(replica_set: ReplicaSet) -> tuple[ClusterTime, Read]:
    """Write a document; return the time of it and how to read its collection then."""
    replica_set.client()["shop"]["link"].insert_one({"_id": 1})
    hosts = [node.address for node in replica_set.nodes]
    with open_cluster(f"mongodb://{hosts[0]}/", hosts, replica_set.spec.name) as client:
        source = MongoClusterSource(client, control_database="backstay", stop=Stop())
        time = source.write_note("a time")
        (found,) = (each for each in source.collections() if each.namespace.collection == "link")
    return time, Read(collection=found, at=time)


def test_a_node_that_was_recovering_is_read_as_soon_as_it_is_back(
    replica_set: ReplicaSet, link: NodeLink
) -> None:
    """The first read may meet the old connection; after it no other does."""
    time, read = _marked(replica_set)
    reader, tail = _reader(link), MongoOplogReader(link)
    with pytest.raises(TransientError) as caught:
        list(reader.read(read))
    assert "mongodb_interrupted" == caught.value.code
    assert 1 == sum(batch.docs for batch in reader.read(read))
    found = tail.position(time)
    assert found is not None
    assert time == found.time


def test_calls_under_way_on_the_old_connections_may_be_tried_again(link: NodeLink) -> None:
    """Whoever holds the client that another thread found unfit is told that it passes."""
    old = link.client
    link.renew(old)
    link.renew(old)
    with pytest.raises(TransientError) as caught:
        _reader(NodeLink.over(old)).facts()
    assert "mongodb_interrupted" == caught.value.code
    assert "SECONDARY" == _reader(link).facts().state
