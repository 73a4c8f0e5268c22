"""Loading into a real replica set: every byte on every node, whatever the document is."""

from collections.abc import Callable, Iterable
from typing import Any

import bson
import pytest
from bson.raw_bson import RawBSONDocument
from bson.regex import Regex
from bson.timestamp import Timestamp

from agent.codec import documents
from agent.core.errors import AgentError, PermanentError
from agent.model.catalogue import Collection, Traits
from agent.model.names import Namespace, temporary
from agent.mongo.switch import MongoSwitch
from agent.mongo.target import MongoTarget
from tests.integration.restoring import raw_documents
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

PLACE = temporary("shop", 7, 0, buckets=False)
ZERO = Timestamp(0, 0)


def source(options: dict[str, Any] | None = None, *, capped: bool = False) -> Collection:
    """Return a collection of a source with some options."""
    return Collection(
        namespace=Namespace("shop", "orders"),
        kind="collection",
        uuid=b"u" * 16,
        options=bson.encode(options or {}),
        indexes=(),
        traits=Traits(is_capped=capped),
    )


def raw(body: bytes) -> bytes:
    """Return a document around fields as bytes."""
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


def nested(levels: int, first: bytes = b"") -> bytes:
    """Return a document of so many levels, ``first`` before its nesting field."""
    found = raw(b"")
    for level in range(levels - 1):
        body = b"\x03a\0" + found
        found = raw(first + body if level == levels - 2 else body)
    return found


ID = b"\x10_id\0\x07\0\0\0"
PLAIN = {
    "empty but for _id": raw(ID),
    "doubled field names": raw(ID + b"\x10a\0\x01\0\0\0\x10a\0\x02\0\0\0"),
    "dotted and dollar names": bson.encode({"_id": 1, "a.b": 1, "$set": {"$inc": 1}, "": 1}),
    "undefined, symbol, DBPointer": raw(
        ID + b"\x06u\0" + b"\x0es\0\x02\0\0\0x\0" + b"\x0cp\0\x02\0\0\0c\0" + b"o" * 12
    ),
    "malformed text": raw(ID + b"\x02t\0\x03\0\0\0\xff\xfe\0"),
    "binary of subtype 2": raw(ID + b"\x05b\0\x06\0\0\0\x02\x02\0\0\0xy"),
    "-0.0": bson.encode({"_id": -0.0, "a": float("nan")}),
    "zero timestamp inside": bson.encode({"_id": 1, "a": {"t": ZERO}, "b": [ZERO]}),
    "180 levels": nested(180, ID),
}
CAREFUL = {
    "zero timestamp": bson.encode({"_id": 1, "a": 1, "t": ZERO}),
    "zero timestamp under a strange name": bson.encode({"_id": 1, "a\x11b": ZERO}),
    "_id is a zero timestamp": bson.encode({"_id": ZERO}),
    "_id not first": bson.encode({"a": 1, "_id": 1}),
    "_id is an array": bson.encode({"_id": [1, 2]}),
    "_id is an expression": bson.encode({"_id": Regex("^a")}),
    "_id begins with a dollar": bson.encode({"_id": {"$x": 1}}),
    "_id is undefined": raw(b"\x06_id\0"),
    "_id twice": raw(ID + b"\x10_id\0\x08\0\0\0"),
}


@pytest.fixture
def target(replica_set: ReplicaSet) -> MongoTarget:
    """A target of the shared replica set."""
    return MongoTarget(replica_set.client())


def on_all_nodes(replica_set: ReplicaSet, expected: Iterable[bytes]) -> None:
    """Wait until each node has exactly these documents, in whatever order."""
    wanted = sorted(expected)
    for node in replica_set.nodes:
        with node.client() as client:
            eventually(
                lambda client=client: wanted == sorted(raw_documents(client, PLACE)),  # type: ignore[misc]
                message=f"{node.address} has the same bytes",
            )


@pytest.mark.parametrize("name", [*PLAIN, *CAREFUL])
@pytest.mark.parametrize("in_order", [False, True])
def test_document_is_the_same_bytes_on_every_node(
    replica_set: ReplicaSet, target: MongoTarget, name: str, *, in_order: bool
) -> None:
    """Traps of zero timestamps, order of ``_id`` and odd ``_id``s: nothing is rewritten."""
    document = {**PLAIN, **CAREFUL}[name]
    others = [bson.encode({"_id": f"other {number}"}) for number in range(50)]
    everything = [*others[:25], document, *others[25:]]
    target.create(PLACE, source())
    target.load(PLACE, b"".join(everything), in_order=in_order, again=False)
    on_all_nodes(replica_set, everything)
    if not in_order:
        # An answer that was lost: the same once more changes nothing.
        target.load(PLACE, b"".join(everything), in_order=False, again=True)
        on_all_nodes(replica_set, everything)


def test_many_careful_documents_go_together(replica_set: ReplicaSet, target: MongoTarget) -> None:
    """A collection whose every document has a zero timestamp is loaded in bulk."""
    everything = [bson.encode({"_id": number, "t": ZERO}) for number in range(3000)]
    target.create(PLACE, source())
    target.load(PLACE, b"".join(everything), in_order=False, again=False)
    on_all_nodes(replica_set, everything)


def test_largest_document_is_loaded(replica_set: ReplicaSet, target: MongoTarget) -> None:
    """Exactly 16 MiB is legal, beside small ones."""
    largest = bson.encode({"_id": 1, "a": b""})
    largest = bson.encode({"_id": 1, "a": bytes(16 * 1024 * 1024 - len(largest))})
    assert len(largest) == 16 * 1024 * 1024
    everything = [bson.encode({"_id": 0}), largest, bson.encode({"_id": 2})]
    target.create(PLACE, source())
    target.load(PLACE, b"".join(everything), in_order=False, again=False)
    on_all_nodes(replica_set, everything)


def test_document_without_id_is_refused(target: MongoTarget) -> None:
    """A server would invent an ``_id`` and say nothing."""
    target.create(PLACE, source())
    with pytest.raises(PermanentError) as caught:
        target.load(PLACE, bson.encode({"a": 1}), in_order=False, again=False)
    assert caught.value.code == "document_without_id"
    assert target.count(PLACE) == 0


def test_deep_document_is_refused_before_secondaries_choke(target: MongoTarget) -> None:
    """Over 180 levels an entry of applyOps could never be fetched by a secondary."""
    deep = nested(190, b"\x11t\0" + bytes(8) + ID)
    target.create(PLACE, source())
    with pytest.raises(PermanentError) as caught:
        target.load(PLACE, deep, in_order=False, again=False)
    assert caught.value.code == "document_too_deep"
    assert "_id 7" in caught.value.message


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(
    "pair",
    [
        ({"_id": 1, "a": 1}, {"_id": 1, "a": 2}),
        ({"_id": 1, "a": 1}, {"_id": 1.0, "a": 1}),
        ({"_id": 1, "t": ZERO}, {"_id": 1, "t": Timestamp(1, 1)}),
    ],
)
def test_another_document_under_the_same_id_is_an_error(
    target: MongoTarget, pair: tuple[dict[str, Any], dict[str, Any]], *, again: bool
) -> None:
    """Trap: an ``_id`` that exists counts as loaded only if the bytes are equal."""
    first, second = map(bson.encode, pair)
    target.create(PLACE, source())
    target.load(PLACE, first, in_order=False, again=False)
    with pytest.raises(PermanentError) as caught:
        target.load(PLACE, second, in_order=False, again=again)
    assert caught.value.code == "document_differs"


def test_expression_as_id_does_not_hit_other_documents(target: MongoTarget) -> None:
    """An ``_id`` that is a regular expression matches texts, if asked for carelessly."""
    everything = [bson.encode({"_id": "abc"}), bson.encode({"_id": Regex("^a")})]
    target.create(PLACE, source())
    for again in (False, True):
        target.load(PLACE, b"".join(everything), in_order=False, again=again)
    assert target.count(PLACE) == 2


def test_capped_order_is_kept_around_careful_documents(
    replica_set: ReplicaSet, target: MongoTarget
) -> None:
    """Documents that a plain insert refuses or would change stay in their places."""
    everything = [bson.encode({"_id": 100 - number}) for number in range(20)]
    everything[5] = bson.encode({"_id": [5]})
    everything[6] = bson.encode({"_id": 1000, "t": ZERO})
    everything[12] = bson.encode({"_id": [12]})
    target.create(PLACE, source({"capped": True, "size": 100_000}, capped=True))
    target.load(PLACE, b"".join(everything), in_order=True, again=False)
    assert everything == raw_documents(replica_set.client(), PLACE)


def test_create_leaves_expiry_out_and_begins_anew(target: MongoTarget) -> None:
    """Trap: a clustered collection with an expiry deletes while it is loaded."""
    options = {
        "clusteredIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_", "unique": True},
        "expireAfterSeconds": 1,
    }
    first = target.create(PLACE, source(options))
    target.load(PLACE, bson.encode({"_id": 1}), in_order=False, again=False)
    second = target.create(PLACE, source(options))
    assert first != second == target.uuid(PLACE)
    assert target.count(PLACE) == 0


def test_a_stored_definition_gives_no_other_name(
    replica_set: ReplicaSet, target: MongoTarget
) -> None:
    """A name or a time limit among stored options or in a view's definition has no effect."""
    stray = {"create": "stray", "maxTimeMS": 1, "$db": "admin", "temp": True}
    target.create(PLACE, source({**stray, "validationLevel": "moderate"}))
    view = {"_id": "shop.v", "viewOn": "a", "pipeline": [], **stray}
    target.load(PLACE, bson.encode(view), in_order=False, again=False)
    switch = MongoSwitch(replica_set.client())
    (rule,) = switch.views(PLACE)
    switch.put_view(PLACE, rule, Namespace("shop", "w"), "b")

    found = {each["name"]: each for each in replica_set.client().shop.list_collections()}
    assert {PLACE.collection, "w", "system.views"} == set(found)
    assert {"validationLevel": "moderate"} == found[PLACE.collection]["options"]
    assert {"viewOn": "b", "pipeline": []} == found["w"]["options"]
    assert "stray" not in replica_set.client().admin.list_collection_names()


def test_temporaries_are_told_from_others(replica_set: ReplicaSet, target: MongoTarget) -> None:
    """Only names of ours count; dropping is repeatable, buckets included."""
    buckets = temporary("metrics", 7, 1, buckets=True)
    client = replica_set.client()
    client.shop.create_collection("bstmpX1.1")
    client.shop.create_collection("a.bstmp.1.1")
    target.create(PLACE, source())
    series = {"timeField": "t", "granularity": "seconds", "bucketMaxSpanSeconds": 3600}
    target.create(buckets, source({"clusteredIndex": True, "timeseries": series}))
    assert target.temporaries() == (buckets, PLACE)
    for _ in range(2):
        target.drop(PLACE)
        target.drop(buckets)
    assert target.temporaries() == ()


def test_dropped_collection_ends_its_index_build(
    replica_set: ReplicaSet, target: MongoTarget
) -> None:
    """A unique index over equal values fails by name, and a missing collection is an error."""
    client = replica_set.client()
    client.shop.orders.insert_many([{"_id": number, "a": 1} for number in range(10)])
    index = bson.encode({"v": 2, "key": {"a": 1}, "name": "a_1", "unique": True})
    with pytest.raises(PermanentError) as caught:
        target.build_indexes(Namespace("shop", "orders"), [index])
    assert caught.value.code == "duplicate_key"
    assert "a_1" in caught.value.message


def test_rename_gives_way_to_open_transactions(replica_set: ReplicaSet) -> None:
    """Trap: a rename waits for transactions on the target, so it gives up and names them."""
    client = replica_set.client()
    target, switch = MongoTarget(client), MongoSwitch(client)
    orders = Namespace("shop", "orders")
    client.shop.orders.insert_one({"_id": 1})
    replaced = target.uuid(orders)
    target.create(PLACE, source())
    with client.start_session() as session, session.start_transaction():
        client.shop.orders.insert_one({"_id": 2}, session=session)
        assert code_of(lambda: switch.rename(PLACE, orders, replaced)) == "target_busy"
        assert any("open for" in each for each in switch.blockers())
        session.abort_transaction()
    assert code_of(lambda: switch.rename(PLACE, orders, None)) == "target_exists"
    switch.rename(PLACE, orders, replaced)
    assert client.shop.orders.count_documents({}) == 0


def test_javascript_becomes_exactly_what_is_given(replica_set: ReplicaSet) -> None:
    """Functions are replaced, added and removed in place; a second time changes nothing."""
    client = replica_set.client()
    target, switch = MongoTarget(client), MongoSwitch(client)
    client.shop["system.js"].insert_many([{"_id": "f", "value": 1}, {"_id": "gone", "value": 1}])
    wanted = [bson.encode({"_id": "f", "value": 2}), bson.encode({"_id": "new", "value": 1})]
    target.create(PLACE, source())
    target.load(PLACE, b"".join(wanted), in_order=False, again=False)
    for _ in range(2):
        switch.put_javascript(PLACE, "shop")
        assert wanted == sorted(raw_documents(client, Namespace("shop", "system.js")))


def code_of(call: Callable[[], None]) -> str:
    """Return the code of the error that a call raises."""
    with pytest.raises(AgentError) as caught:
        call()
    return caught.value.code


def test_examples_are_what_their_names_say() -> None:
    """The documents of this file have the depth and the ids that they claim."""
    assert documents.depth(PLAIN["180 levels"]) == 180
    assert RawBSONDocument(CAREFUL["_id twice"]).raw == CAREFUL["_id twice"]
