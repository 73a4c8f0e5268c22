"""Exact reads of one node: ranges, resumes, DDL under a read, times too old or not yet reached."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import bson
import pytest
from bson import Binary, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.raw_bson import RawBSONDocument

from agent.codec import documents, framing
from agent.core.clock import SystemClock
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.model.catalogue import Collection
from agent.model.cluster_time import ClusterTime
from agent.model.tasks import Range
from agent.mongo.connect import Client, open_cluster, open_node
from agent.mongo.node_link import NodeLink
from agent.mongo.reader import MongoNodeReader
from agent.mongo.source import MongoClusterSource
from agent.ports import Batch, Read
from tests.testbed.mongod import Node
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually


@dataclass
class Site:
    """A replica set with our own clients of it."""

    replica_set: ReplicaSet
    user: Any
    source: MongoClusterSource
    _clients: list[Client] = field(default_factory=list)

    def reader(self, node: Node, *, reach_ms: int = 10_000) -> MongoNodeReader:
        """Read one node; the client is closed with the site."""
        client = open_node(node.uri)
        self._clients.append(client)
        return MongoNodeReader(
            NodeLink.over(client), node.address, priority=1, clock=SystemClock(), reach_ms=reach_ms
        )

    def secondary(self, *, reach_ms: int = 10_000) -> MongoNodeReader:
        """Read a secondary, or the only node."""
        nodes = self.replica_set.secondaries() or (self.replica_set.primary(),)
        return self.reader(nodes[0], reach_ms=reach_ms)

    def collection(self, name: str, database: str = "shop") -> Collection:
        """Return a collection as it is listed now."""
        return next(
            each
            for each in self.source.collections()
            if (each.namespace.database, each.namespace.collection) == (database, name)
        )

    def now(self, *, but: Node | None = None) -> ClusterTime:
        """Return the time of a note that every node, ``but`` one that is held back, has applied."""
        note = self.source.write_note("test")
        held = but.address if but else None

        def everywhere() -> bool:
            members = self.user.admin.command("replSetGetStatus")["members"]
            noted = Timestamp(note.seconds, note.increment)
            return all(each["optime"]["ts"] >= noted for each in members if each["name"] != held)

        assert eventually(everywhere, 60, message="the nodes have applied the note")
        return note

    def close(self) -> None:
        """Close our clients."""
        for client in self._clients:
            client.close()


def _open(replica_set: ReplicaSet) -> Site:
    first = replica_set.nodes[0]
    hosts = [node.address for node in replica_set.data_nodes()]
    client = open_cluster(f"mongodb://{first.address}/", hosts, replica_set.spec.name)
    source = MongoClusterSource(client, control_database="backstay", stop=Stop())
    return Site(replica_set, replica_set.client(), source, [client])


@pytest.fixture
def site(replica_set: ReplicaSet) -> Iterator[Site]:
    """The shared replica set of 6.0."""
    with closing(_open(replica_set)) as opened:
        yield opened


@pytest.fixture(scope="module")
def _old_set() -> Iterator[ReplicaSet]:
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, version="5.0")) as replica_set:
        yield replica_set


@pytest.fixture(params=["6.0", "5.0"])
def any_site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A replica set of each server version that we support."""
    name = "replica_set" if request.param == "6.0" else "_old_set"
    with closing(_open(request.getfixturevalue(name))) as opened:
        opened.user.drop_database("shop")
        yield opened


def _reads_soon(site: "Site", node: Node, request: Read, *, docs: int) -> None:
    """Wait until a node that was held back has caught up, and reads what the others do."""
    reader = site.reader(node, reach_ms=1000)

    def reads() -> bool:
        try:
            return len(_all(reader.read(request))) == docs
        except TransientError:
            return False

    eventually(reads, 90, 0.5, "the node catches up")


def _all(batches: Iterator[Batch]) -> list[bytes]:
    found: list[bytes] = []
    for batch in batches:
        read = [bytes(each) for each in framing.documents(batch.data)]
        assert batch.docs == len(read)
        found += read
    return found


def _ids(raw: Sequence[bytes]) -> list[bytes]:
    return [framing.id_document(each) or b"" for each in raw]


def _id(value: object) -> bytes:
    return bson.encode({"_id": value})


def _insert_raw(site: Site, name: str, raw: Sequence[bytes]) -> None:
    site.user.shop[name].insert_many([RawBSONDocument(each) for each in raw])


# In the server's order: of every type that an _id may have, and equal ones only once.
_MIXED: list[object] = [
    MinKey(),
    None,
    Decimal128("-Infinity"),
    -1.5,
    0.0,
    1,
    1.5,
    Int64(2**40),
    Decimal128("1E+30"),
    "",
    "a",
    "b",
    {"a": 1},
    {"a": 1, "b": 1},
    {"b": 1},
    {"a": {"b": [1, 2]}},
    Binary(b"y", 0),
    Binary(b"x", 2),
    ObjectId("000000000000000000000001"),
    ObjectId("ffffffffffffffffffffffff"),
    False,
    True,
    datetime(1960, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
    Timestamp(1, 1),
    MaxKey(),
]


def _mixed(site: Site) -> tuple[Collection, list[bytes]]:
    site.user.shop.mixed.insert_many([{"_id": value, "x": 1} for value in reversed(_MIXED)])
    return site.collection("mixed"), [_id(value) for value in _MIXED]


def test_documents_come_as_they_are(any_site: Site) -> None:
    """Bytes are kept: doubled fields, undefined, old binary, odd names and all."""
    fields = (
        b"\x06u\0" + b"\x10a\0\x01\0\0\0" + b"\x10a\0\x02\0\0\0" + b"\x01z\0" + bytes(7) + b"\x80"
        b"\x05b\0\x07\0\0\0\x02\x03\0\0\0abc" + b"\x02$x\0\x01\0\0\0\0" + b"\x02.\0\x02\0\0\0\xff\0"
    )
    raw = [
        (len(fields) + 14).to_bytes(4, "little")
        + b"\x10_id\0"
        + bytes([n, 0, 0, 0])
        + fields
        + b"\0"
        for n in range(3)
    ]
    _insert_raw(any_site, "odd", raw)
    request = Read(collection=any_site.collection("odd"), at=any_site.now())
    assert raw == _all(any_site.secondary().read(request))


def test_a_read_stands_at_its_time(any_site: Site) -> None:
    """Inserts, updates and deletes after the time do not show, on any node."""
    things = any_site.user.shop.things
    things.insert_many([{"_id": n, "v": 0} for n in range(3000)])
    at = any_site.now()
    expected = [bson.encode({"_id": n, "v": 0}) for n in range(3000)]
    request = Read(collection=any_site.collection("things"), at=at)
    batches = any_site.secondary().read(request)
    first = next(batches)
    things.update_many({}, {"$set": {"v": 1}})
    things.delete_many({"_id": {"$lt": 1500}})
    things.insert_one({"_id": 5000})
    assert expected == _all(iter([first, *batches]))
    for node in any_site.replica_set.data_nodes():
        assert expected == _all(any_site.reader(node).read(request))


def test_mixed_ids_come_in_the_order_of_the_index(any_site: Site) -> None:
    """A whole read has every type of `_id`, MaxKey last."""
    collection, expected = _mixed(any_site)
    found = _all(any_site.secondary().read(Read(collection=collection, at=any_site.now())))
    assert expected == _ids(found)


def test_ranges_together_are_the_collection(any_site: Site) -> None:
    """Traps 58 and 61: cut anywhere, ranges hold each document once, MaxKey in the last one."""
    collection, expected = _mixed(any_site)
    at = any_site.now()
    reader = any_site.secondary()
    for cut in range(len(expected)):
        for second in range(cut + 1, len(expected), 7):
            bounds = [None, expected[cut], expected[second], None]
            found = [
                each
                for lower, upper in pairwise(bounds)
                for each in _all(
                    reader.read(
                        Read(collection=collection, at=at, range=Range(lower=lower, upper=upper))
                    )
                )
            ]
            assert expected == _ids(found)


def test_a_resume_goes_on_after_any_document(any_site: Site) -> None:
    """A read that goes on after a document has all that follow and not that one."""
    collection, expected = _mixed(any_site)
    at = any_site.now()
    reader = any_site.secondary()
    for position, after in enumerate(expected):
        found = _all(reader.read(Read(collection=collection, at=at, after=after)))
        assert expected[position + 1 :] == _ids(found)
        ranged = Range(lower=after, upper=None)
        again = _all(reader.read(Read(collection=collection, at=at, after=after, range=ranged)))
        assert expected[position + 1 :] == _ids(again)


def test_a_resume_within_a_range_keeps_its_end(site: Site) -> None:
    """The upper bound holds on a resume too."""
    collection, expected = _mixed(site)
    ranged = Range(lower=expected[3], upper=expected[9])
    request = Read(collection=collection, at=site.now(), range=ranged, after=expected[5])
    assert expected[6:9] == _ids(_all(site.secondary().read(request)))


@pytest.mark.parametrize(
    ("before", "after"),
    [(1, 1.0), (Int64(1), Decimal128("1.000")), ({"a": [1]}, {"a": [1.0]}), (0.0, -0.0)],
)
def test_a_resume_knows_an_id_of_another_type(site: Site, before: object, after: object) -> None:
    """Trap 58: the document read last may be there again at a later time as an equal number."""
    things = site.user.shop.things
    things.insert_many([{"_id": before}, {"_id": True}])
    collection = site.collection("things")
    things.delete_one({"_id": before})
    things.insert_one({"_id": after})
    request = Read(collection=collection, at=site.now(), after=_id(before))
    assert [_id(True)] == _ids(_all(site.secondary().read(request)))


def test_a_resume_after_a_deleted_document_skips_nothing(site: Site) -> None:
    """If the document read last is gone at the later time, the next one is not skipped."""
    site.user.shop.things.insert_many([{"_id": n} for n in (1, 3)])
    request = Read(collection=site.collection("things"), at=site.now(), after=_id(2))
    assert [_id(3)] == _ids(_all(site.secondary().read(request)))


def test_a_resume_under_a_collation(site: Site) -> None:
    """Bounds and equality follow the collection's collation: "A" is "a" there."""
    letters = site.user.shop.create_collection("letters", collation={"locale": "en", "strength": 2})
    letters.insert_many([{"_id": each} for each in ("b", "A", "C", "d")])
    collection, at, reader = site.collection("letters"), site.now(), site.secondary()
    assert [_id(each) for each in ("A", "b", "C", "d")] == _ids(
        _all(reader.read(Read(collection=collection, at=at)))
    )
    request = Read(collection=collection, at=at, after=_id("a"))
    assert [_id(each) for each in ("b", "C", "d")] == _ids(_all(reader.read(request)))
    lower = Read(collection=collection, at=at, range=Range(lower=_id("B"), upper=_id("D")))
    assert [_id(each) for each in ("b", "C")] == _ids(_all(reader.read(lower)))


def test_clustered_ranges_hold_max_key_once(site: Site) -> None:
    """On a clustered collection `min` alone does reach MaxKey, which is then not read again."""
    site.user.shop.create_collection(
        "clustered", clusteredIndex={"key": {"_id": 1}, "unique": True}
    )
    ids: list[object] = [*range(50), "a", MaxKey()]
    site.user.shop.clustered.insert_many([{"_id": value} for value in ids])
    collection, at, reader = site.collection("clustered"), site.now(), site.secondary()
    expected = [_id(value) for value in ids]
    for bound in (_id(20), _id("a"), _id(MaxKey())):
        found = [
            each
            for ranged in (Range(lower=None, upper=bound), Range(lower=bound, upper=None))
            for each in _all(reader.read(Read(collection=collection, at=at, range=ranged)))
        ]
        assert expected == _ids(found)
    resumed = reader.read(Read(collection=collection, at=at, after=_id(48)))
    assert expected[49:] == _ids(_all(resumed))


def test_buckets_of_a_time_series(any_site: Site) -> None:
    """Raw buckets are read whole, in ranges, and on a resume, also where no hint is known."""
    any_site.user.shop.create_collection("weather", timeseries={"timeField": "t", "metaField": "m"})
    any_site.user.shop.weather.insert_many([
        {"t": datetime(2026, 1, 1 + n % 28, tzinfo=UTC), "m": n} for n in range(300)
    ])
    buckets = any_site.user.shop["system.buckets.weather"]
    expected = [_id(each["_id"]) for each in buckets.find({}, {"_id": 1}).sort("_id", 1)]
    assert 300 == len(expected)
    collection, at = any_site.collection("system.buckets.weather"), any_site.now()
    reader = any_site.secondary()
    assert expected == _ids(_all(reader.read(Read(collection=collection, at=at))))
    middle = expected[150]
    for ranged, part in (
        (Range(lower=None, upper=middle), expected[:150]),
        (Range(lower=middle, upper=None), expected[150:]),
    ):
        request = Read(collection=collection, at=at, range=ranged)
        assert part == _ids(_all(reader.read(request)))
    request = Read(collection=collection, at=at, after=middle)
    assert expected[151:] == _ids(_all(reader.read(request)))


def test_large_documents_and_small_ones(site: Site) -> None:
    """Batches follow the size of the documents, up to 16 MiB in one."""
    raw = [
        bson.encode({"_id": n, "p": b"x" * (3000 if n % 500 else 2_000_000)}) for n in range(4000)
    ]
    largest = bson.encode({"_id": 4000, "p": b""})
    raw.append(bson.encode({"_id": 4000, "p": b"x" * (16 * 1024 * 1024 - len(largest))}))
    assert 16 * 1024 * 1024 == len(raw[-1])
    for position in range(0, len(raw), 500):
        _insert_raw(site, "large", raw[position : position + 500])
    reader = site.secondary()
    batches = list(reader.read(Read(collection=site.collection("large"), at=site.now())))
    assert raw == _all(iter(batches))
    sizes = sorted(len(batch.data) for batch in batches)
    assert 500_000 < sizes[len(sizes) // 2] < 4_000_000


def test_a_small_collection_takes_one_command(site: Site) -> None:
    """Told the size of a document, a small collection at a time already reached is one trip."""
    site.user.shop.small.insert_many([{"_id": n} for n in range(500)])
    node = site.replica_set.secondaries()[0]
    reader = site.reader(node)
    request = Read(collection=site.collection("small"), at=site.now(), doc_bytes=14)
    _all(reader.read(request))

    def commands() -> int:
        counters = node.client().admin.command("serverStatus")["metrics"]["commands"]
        return sum(int(counters[name]["total"]) for name in ("find", "getMore", "killCursors"))

    before = commands()
    for _ in range(200):
        _all(reader.read(request))
    # Other members may ask this one for its oplog meanwhile, but not as often as we read.
    assert 200 <= commands() - before < 350


def _open_read(site: Site, name: str) -> tuple[Collection, Iterator[Batch], MongoNodeReader]:
    site.user.shop[name].insert_many([{"_id": n, "p": "x" * 500} for n in range(8000)])
    collection = site.collection(name)
    reader = site.secondary()
    batches = reader.read(Read(collection=collection, at=site.now()))
    next(batches)
    return collection, batches, reader


def test_a_drop_under_a_read_is_told(site: Site) -> None:
    """Trap 4: the cursor of a dropped collection ends, and a new one does not open by UUID."""
    collection, batches, reader = _open_read(site, "dropped")
    site.user.shop.dropped.drop()
    later = site.now()
    with pytest.raises(PermanentError) as caught:
        _all(batches)
    assert "collection_gone" == caught.value.code
    with pytest.raises(PermanentError) as caught:
        _all(reader.read(Read(collection=collection, at=later)))
    assert "collection_gone" == caught.value.code
    assert site.source.locate("shop", collection.uuid) is None


def test_a_rename_under_a_read_is_told(site: Site) -> None:
    """Traps 3 and 65: never silently empty; found again by UUID, it is read at a newer time."""
    at = site.now()
    collection, batches, reader = _open_read(site, "named")
    site.user.shop.named.rename("renamed")
    later = site.now()
    with pytest.raises(PermanentError) as caught:
        _all(batches)
    assert "collection_gone" == caught.value.code
    with pytest.raises(PermanentError) as caught:
        _all(reader.read(Read(collection=collection, at=at)))
    assert "snapshot_too_old" == caught.value.code
    found = site.source.locate("shop", collection.uuid)
    assert found is not None
    assert "renamed" == found.collection
    moved = replace(collection, namespace=found)
    assert 8000 == len(_all(reader.read(Read(collection=moved, at=later))))


def test_another_collection_of_the_same_name_is_not_read(site: Site) -> None:
    """Dropped and made again: the old UUID is gone, whatever the name says."""
    site.user.shop.again.insert_one({"_id": 1})
    collection = site.collection("again")
    site.user.shop.again.drop()
    site.user.shop.again.insert_one({"_id": 2})
    with pytest.raises(PermanentError) as caught:
        _all(site.secondary().read(Read(collection=collection, at=site.now())))
    assert "collection_gone" == caught.value.code


def test_an_ended_cursor_is_told_and_resumed(site: Site) -> None:
    """Trap 64: a cursor that the server has ended is opened again after the last document."""
    site.user.shop.idle.insert_many([{"_id": n, "p": "x" * 500} for n in range(8000)])
    collection, at = site.collection("idle"), site.now()
    node = site.replica_set.secondaries()[0]
    reader = site.reader(node)
    batches = reader.read(Read(collection=collection, at=at))
    seen = _all(iter([next(batches)]))
    admin = node.client().admin
    admin.command({"killAllSessions": []})
    with pytest.raises(PermanentError) as caught:
        _all(batches)
    assert "cursor_gone" == caught.value.code
    after = framing.id_document(seen[-1])
    rest = _all(reader.read(Read(collection=collection, at=at, after=after)))
    assert [_id(n) for n in range(8000)] == _ids(seen + rest)


def test_a_closed_read_leaves_no_cursor(site: Site) -> None:
    """Closing the iterator ends the cursor on the server."""
    site.user.shop.idle.insert_many([{"_id": n, "p": "x" * 500} for n in range(8000)])
    collection, at = site.collection("idle"), site.now()
    node = site.replica_set.secondaries()[0]
    reader = site.reader(node)

    def cursors() -> int:
        idle = node.client().admin.aggregate([
            {"$currentOp": {"idleCursors": True, "allUsers": True}},
            {"$match": {"type": "idleCursor", "ns": "shop.idle"}},
        ])
        return len(list(idle))

    batches = reader.read(Read(collection=collection, at=at))
    next(batches)
    assert 1 == cursors()
    batches.close()
    assert 0 == cursors()


def test_reads_at_once_do_not_mix(site: Site) -> None:
    """Trap 64: each read has a session of its own, so its batches may alternate with others'."""
    names = [f"t{n}" for n in range(4)]
    for name in names:
        site.user.shop[name].insert_many([
            {"_id": n, "of": name, "p": "x" * 500} for n in range(5000)
        ])
    at, reader = site.now(), site.secondary()
    reads = [reader.read(Read(collection=site.collection(name), at=at)) for name in names]
    found: list[list[bytes]] = [[] for _ in names]
    while any(len(each) < 5000 for each in found):
        for number, batches in enumerate(reads):
            found[number] += _all(iter([batch for batch in [next(batches, None)] if batch]))
    for name, each in zip(names, found, strict=True):
        assert {name} == {documents.field(document, "of") for document in each}


def test_capped_collections_are_read_in_their_own_order(any_site: Site) -> None:
    """Trap 4: a snapshot of a capped collection is refused; natural order is that of insertion."""
    any_site.user.shop.create_collection("capped", capped=True, size=1_000_000)
    ids = [7, 3, 9, 1, 8]
    any_site.user.shop.capped.insert_many([{"_id": n} for n in ids])
    collection, at = any_site.collection("capped"), any_site.now()
    reader = any_site.secondary()
    with pytest.raises(PermanentError) as caught:
        _all(reader.read(Read(collection=collection, at=at)))
    assert "snapshot_too_old" == caught.value.code
    found = _all(reader.read(Read(collection=collection, at=None)))
    assert [_id(n) for n in ids] == _ids(found)
    with pytest.raises(PermanentError) as caught:
        _all(reader.read(Read(collection=collection, at=None, after=_id(3))))
    assert "not_in_id_order" == caught.value.code


def test_a_capped_collection_that_overtakes_its_read(site: Site) -> None:
    """New documents that push out what is being read end the read, loudly."""
    site.user.shop.create_collection("capped", capped=True, size=3_000_000)
    fill = [{"p": "x" * 1000} for _ in range(2500)]
    site.user.shop.capped.insert_many([dict(each) for each in fill])
    site.now()
    batches = site.secondary().read(Read(collection=site.collection("capped"), at=None))
    next(batches)
    for _ in range(3):
        site.user.shop.capped.insert_many([dict(each) for each in fill])
    site.now()
    with pytest.raises(PermanentError) as caught:
        _all(batches)
    assert "capped_position_lost" == caught.value.code


@pytest.mark.parametrize("version", ["6.0", "5.0"])
def test_a_time_out_of_history_is_too_old(version: Any) -> None:
    """Trap 2: an open read and a new one fail as such, and go on at a newer time."""
    spec = ReplicaSetSpec(
        nodes=1, version=version, parameters={"minSnapshotHistoryWindowInSeconds": 1}
    )
    with ReplicaSet.start(spec) as private, closing(_open(private)) as site:
        collection, batches, reader = _open_read(site, "old")
        at = site.now()

        def is_too_old() -> bool:
            site.user.shop.other.insert_one({"x": time.monotonic()})
            site.now()
            try:
                _all(reader.read(Read(collection=collection, at=at)))
            except PermanentError as error:
                assert "snapshot_too_old" == error.code  # noqa: PT017 - polled for
                return True
            return False

        eventually(is_too_old, 30, 0.2, "the time is out of history")
        with pytest.raises(PermanentError) as caught:
            _all(batches)
        assert "snapshot_too_old" == caught.value.code
        resumed = reader.read(Read(collection=collection, at=site.now(), after=_id(6999)))
        assert [_id(n) for n in range(7000, 8000)] == _ids(_all(resumed))


def test_a_node_that_does_not_reach_the_time_is_behind(site: Site) -> None:
    """A secondary that stopped replicating gives `node_behind` in time; another node reads."""
    site.user.shop.things.insert_one({"_id": 1})
    collection = site.collection("things")
    stuck, other = site.replica_set.secondaries()
    mode = {"configureFailPoint": "stopReplProducer", "mode": "alwaysOn"}
    stuck.client().admin.command(mode)
    try:
        site.user.shop.things.insert_one({"_id": 2})
        request = Read(collection=collection, at=site.now(but=stuck))
        begin = time.monotonic()
        with pytest.raises(TransientError) as caught:
            _all(site.reader(stuck, reach_ms=500).read(request))
        assert "node_behind" == caught.value.code
        assert time.monotonic() - begin < 10
        assert 2 == len(_all(site.reader(other).read(request)))

        behind = site.reader(stuck)

        def lags() -> bool:
            site.user.shop.things.insert_one({})
            facts = behind.facts()
            return facts.lag_s is not None and facts.lag_s >= 1

        eventually(lags, 20, 0.3, "the stuck node shows its lag")
    finally:
        stuck.client().admin.command({**mode, "mode": "off"})
    _reads_soon(site, stuck, request, docs=2)


def test_a_node_that_is_behind_does_not_give_an_old_view_of_a_capped_collection(site: Site) -> None:
    """What was written up to the replay's start is in the read, or another node has to read."""
    site.user.shop.create_collection("capped", capped=True, size=1_000_000)
    site.user.shop.capped.insert_one({"_id": 1})
    collection = site.collection("capped")
    stuck, other = site.replica_set.secondaries()
    mode = {"configureFailPoint": "stopReplProducer", "mode": "alwaysOn"}
    stuck.client().admin.command(mode)
    try:
        # The other two nodes are a majority, so the write and the note are acknowledged.
        site.user.shop.capped.insert_one({"_id": 2})
        request = Read(collection=collection, at=None, since=site.now(but=stuck))
        with pytest.raises(TransientError) as caught:
            _all(site.reader(stuck, reach_ms=500).read(request))
        assert "node_behind" == caught.value.code
        assert 2 == len(_all(site.reader(other).read(request)))
    finally:
        stuck.client().admin.command({**mode, "mode": "off"})
    _reads_soon(site, stuck, request, docs=2)


def test_a_time_nobody_has_reached_is_behind(site: Site) -> None:
    """A cluster time from the future does not hang and is no other error."""
    site.user.shop.things.insert_one({"_id": 1})
    request = Read(
        collection=site.collection("things"), at=ClusterTime(site.now().seconds + 1000, 1)
    )
    with pytest.raises(TransientError) as caught:
        _all(site.secondary(reach_ms=500).read(request))
    assert "node_behind" == caught.value.code


def test_a_killed_node_is_a_transient_error(site: Site) -> None:
    """A node that dies under a read can be replaced by another."""
    site.user.shop.things.insert_many([{"_id": n, "p": "x" * 500} for n in range(8000)])
    node = site.replica_set.secondaries()[0]
    batches = site.reader(node).read(Read(collection=site.collection("things"), at=site.now()))
    next(batches)
    node.kill()
    with pytest.raises(TransientError):
        _all(batches)


def test_a_range_with_regular_expressions_as_ids(site: Site) -> None:
    """An `_id` that is a regular expression is a value in a bound, not a pattern."""
    raw = [_id(Regex("^a")), _id(Regex("^b")), _id(MaxKey())]
    site.user.admin.command({
        "applyOps": [
            {"op": "c", "ns": "shop.$cmd", "o": {"create": "patterns"}},
        ]
    })
    for each in raw:
        site.user.admin.command({
            "applyOps": [{"op": "i", "ns": "shop.patterns", "o": RawBSONDocument(each)}]
        })
    collection, at, reader = site.collection("patterns"), site.now(), site.secondary()
    for position, bound in enumerate(raw):
        request = Read(collection=collection, at=at, after=bound)
        assert raw[position + 1 :] == _ids(_all(reader.read(request)))


def test_facts_of_a_healthy_set(site: Site) -> None:
    """Each node knows its state, and that it is not behind."""
    for node in site.replica_set.nodes:
        facts = site.reader(node).facts()
        expected = site.replica_set.states()[node.address]
        assert (node.address, expected, 1) == (facts.name, facts.state, facts.priority)
        assert facts.lag_s is not None
        assert 0 <= facts.lag_s < 10
