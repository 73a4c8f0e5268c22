"""The newest part of a node's oplog: every read proves that it leaves nothing out."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from pymongo import WriteConcern

from agent.codec import documents, framing, oplog
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.model.cluster_time import ClusterTime, Position
from agent.mongo.connect import Client, open_cluster, open_node
from agent.mongo.node_link import NodeLink
from agent.mongo.oplog import MongoOplogReader
from agent.mongo.source import MongoClusterSource
from agent.ports import Batch
from tests.testbed.mongod import Node
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually


@pytest.fixture(scope="module", params=["6.0", "5.0"])
def old_and_new(request: pytest.FixtureRequest) -> Iterator[ReplicaSet]:
    """Three nodes of each version that is supported, for this module alone."""
    spec = ReplicaSetSpec(version=request.param)
    with ReplicaSet.start(spec) as replica_set:
        # Young sets take their time with the first write that a majority must have.
        first = replica_set.client()["shop"].get_collection(
            "first", write_concern=WriteConcern("majority", wtimeout=60_000)
        )
        first.insert_one({})
        yield replica_set


@dataclass(frozen=True, slots=True, kw_only=True)
class Tailed:
    """A secondary whose oplog is read, and the set that it belongs to."""

    replica_set: ReplicaSet
    node: Node
    source: MongoClusterSource
    tail: MongoOplogReader
    user: Client

    def note(self) -> Position:
        """Write a note, wait until the secondary has it, and return its place."""
        return eventually(lambda: self.place(self.source.write_note("here")), 30)

    def place(self, time: ClusterTime) -> Position | None:
        """Return the place of a time; None also if the secondary is behind."""
        try:
            return self.tail.position(time)
        except TransientError:
            return None  # the secondary has not even heard of it

    def reach_the_next_second(self) -> None:
        """Write notes until one is of a later second than now."""
        second = self.note().time.seconds
        eventually(lambda: self.note().time.seconds > second, message="a second passes")

    def scanned(self) -> int:
        """Return how many documents the queries of the secondary have looked at so far."""
        status = self.node.client().admin.command("serverStatus")
        return int(status["metrics"]["queryExecutor"]["scannedObjects"])


@pytest.fixture
def tailed(old_and_new: ReplicaSet) -> Iterator[Tailed]:
    """A secondary, and an empty database ``shop``."""
    node = old_and_new.secondaries()[0]
    hosts = [each.address for each in old_and_new.nodes]
    with (
        closing(open_cluster(f"mongodb://{hosts[0]}/", hosts, old_and_new.spec.name)) as cluster,
        closing(open_node(node.uri)) as own,
    ):
        cluster.drop_database("shop")
        yield Tailed(
            replica_set=old_and_new,
            node=node,
            source=MongoClusterSource(cluster, control_database="backstay", stop=Stop()),
            tail=MongoOplogReader(NodeLink.over(own)),
            user=cluster,
        )


def _entries(batches: Iterator[Batch]) -> list[bytes]:
    """Return all entries but the server's own no-ops, which come at any time."""
    found = []
    for batch in batches:
        documents.check(batch.data, batch.docs)
        found += [bytes(each) for each in framing.documents(batch.data)]
    return [each for each in found if documents.field(each, "o") != {"msg": "periodic noop"}]


def test_what_follows_a_place_begins_right_behind_it(tailed: Tailed) -> None:
    """The entry of the place itself is the proof, and not among what comes."""
    begin = tailed.note()
    tailed.user["shop"]["things"].insert_many([{"_id": n, "p": "x" * 400} for n in range(9000)])
    last = tailed.note()
    whole = _entries(tailed.tail.after(begin))
    assert last == oplog.position(whole[-1])
    times = [oplog.position(each).time for each in whole]
    assert sorted(set(times)) == times
    inserted = [each for each in whole if documents.field(each, "ns") == "shop.things"]
    assert [documents.encode({"_id": n, "p": "x" * 400}) for n in range(9000)] == [
        documents.subdocument(each, "o") for each in inserted if documents.field(each, "op") == "i"
    ]
    middle = oplog.position(inserted[4000])
    assert whole[whole.index(inserted[4000]) + 1 :] == _entries(tailed.tail.after(middle))


def test_behind_the_newest_entry_there_is_nothing(tailed: Tailed) -> None:
    """A place at the end is right: it is there, and nothing follows."""
    tailed.user["shop"]["things"].insert_one({"_id": 1})
    assert [] == _entries(tailed.tail.after(tailed.note()))


def test_a_place_that_the_oplog_has_lost_is_told(tailed: Tailed) -> None:
    """Trap 10: what follows the oldest entry is no answer to what followed an older one."""
    lost = Position(ClusterTime(1, 1), 1)
    with pytest.raises(PermanentError) as caught:
        _entries(tailed.tail.after(lost))
    assert "oplog_rolled" == caught.value.code


def test_a_place_of_another_history_is_told(tailed: Tailed) -> None:
    """Trap 9: an entry of the same time and another term is another entry; so is none at all."""
    here = tailed.note()
    tailed.reach_the_next_second()
    elsewhere = ClusterTime(here.time.seconds, here.time.increment + 100_000)
    for other in (Position(here.time, here.term + 1), Position(elsewhere, here.term)):
        with pytest.raises(PermanentError) as caught:
            _entries(tailed.tail.after(other))
        assert "oplog_diverged" == caught.value.code


def test_a_node_that_is_behind_a_place_is_told(tailed: Tailed) -> None:
    """Trap 66: a find beyond the end of the oplog finds nothing, which proves nothing."""
    here = tailed.note()
    ahead = Position(ClusterTime(here.time.seconds + 1000, 1), here.term)
    with pytest.raises(TransientError) as caught:
        _entries(tailed.tail.after(ahead))
    assert "node_behind" == caught.value.code
    with pytest.raises(TransientError) as caught:
        tailed.tail.position(ahead.time)
    assert "node_behind" == caught.value.code


def test_the_place_of_a_time_without_an_entry_is_none(tailed: Tailed) -> None:
    """Between two entries there is no place, however close the next one is."""
    here = tailed.note()
    tailed.reach_the_next_second()
    assert here == tailed.tail.position(here.time)
    between = ClusterTime(here.time.seconds, here.time.increment + 100_000)
    assert tailed.tail.position(between) is None
    assert tailed.tail.position(ClusterTime(1, 1)) is None


def test_a_barrier_is_known_by_its_time(tailed: Tailed) -> None:
    """An ordinary entry is none, nor is a time that has no entry."""
    note = tailed.note().time
    assert not tailed.tail.has_barrier(note)
    tailed.reach_the_next_second()
    assert not tailed.tail.has_barrier(ClusterTime(note.seconds, note.increment + 100_000))


def test_the_oldest_entry_is_the_one_that_the_server_shows_first(tailed: Tailed) -> None:
    """It tells how far back the oplog reaches."""
    first = tailed.node.client()["local"]["oplog.rs"].find_one(sort=[("$natural", 1)])
    assert first is not None
    oldest = tailed.tail.oldest()
    assert (first["ts"].time, first["ts"].inc, first["t"]) == (
        oldest.time.seconds,
        oldest.time.increment,
        oldest.term,
    )


def test_a_place_is_sought_and_not_scanned_for(tailed: Tailed) -> None:
    """However much the oplog holds before a place, none of it is looked at."""
    tailed.user["shop"]["things"].insert_many([{"_id": n} for n in range(20_000)])
    here = tailed.note()
    before = tailed.scanned()
    assert [] == _entries(tailed.tail.after(here))
    assert here == tailed.tail.position(here.time)
    assert tailed.scanned() - before < 1000
