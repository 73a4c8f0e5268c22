"""Index specifications: everything verbatim, but for what a server no longer takes."""

from dataclasses import replace
from typing import Any

import bson
import pytest
from bson.int64 import Int64

from agent.jobs.restore import rules
from agent.model.catalogue import Collection, Traits
from tests.fakes.catalogue import collection


def source(
    *indexes: dict[str, Any], collated: bool = False, ttl_s: int | None = None
) -> Collection:
    """Return a collection with these indexes."""
    return replace(
        collection("shop.orders"),
        indexes=tuple(bson.encode(index) for index in indexes),
        traits=Traits(has_collation=collated, ttl_s=ttl_s),
    )


def built(found: Collection, *, hold_ttl: bool = False) -> list[dict[str, Any]]:
    """Return what a server is asked for."""
    wanted = rules.specifications(found, found.indexes, hold_ttl=hold_ttl)
    return [bson.decode(index) for index in wanted]


@pytest.mark.parametrize(
    "index",
    [
        {"v": 2, "key": {"a": 1.0, "b": Int64(-1)}, "name": "x", "hidden": True, "what": {"x": 1}},
        {"v": 2, "key": {"_fts": "text", "_ftsx": 1}, "name": "t", "weights": {"t": 5}},
        {"v": 2, "key": {"_id": "hashed"}, "name": "_id_hashed"},
        {"v": 2, "key": {"d": 1}, "name": "d", "expireAfterSeconds": 60.0},
    ],
)
def test_options_are_verbatim(index: dict[str, Any]) -> None:
    """Unknown options, number types and their order stay, byte for byte."""
    found = source(index)
    assert rules.specifications(found, found.indexes) == found.indexes


def test_indexes_that_come_with_the_collection_are_left_out() -> None:
    """The one on ``_id``, and the pseudo index of a clustered collection."""
    clustered = {"v": 2, "key": {"_id": 1}, "name": "mine", "unique": True, "clustered": True}
    assert built(source({"v": 2, "key": {"_id": 1}, "name": "_id_"}, clustered)) == []


def test_fields_that_servers_no_longer_take_are_dropped() -> None:
    """Namespace, background, and index versions before 2."""
    old = {"v": 1, "key": {"a": 1}, "name": "a_1", "ns": "shop.orders", "background": True}
    assert built(source(old)) == [{"key": {"a": 1}, "name": "a_1"}]


def test_index_does_not_inherit_a_collation_it_had_not() -> None:
    """Without a word of it, an index takes the collection's default collation."""
    plain = {"v": 2, "key": {"a": 1}, "name": "a_1"}
    french = {**plain, "name": "f", "collation": {"locale": "fr"}}
    simple = {**plain, "collation": {"locale": "simple"}}
    assert built(source(plain, french, collated=True)) == [simple, french]
    assert built(source(plain)) == [plain]


def test_held_ttl_index_is_a_plain_one() -> None:
    """Without its expiry an index deletes nothing."""
    ttl = {"v": 2, "key": {"d": 1}, "name": "d_1", "expireAfterSeconds": 0}
    assert built(source(ttl), hold_ttl=True) == [{"v": 2, "key": {"d": 1}, "name": "d_1"}]


def test_all_that_deletes_is_named() -> None:
    """TTL indexes, and the expiry of a collection itself."""
    ttl = {"v": 2, "key": {"d": 1}, "name": "d_1", "expireAfterSeconds": 60}
    found = rules.ttl_rules(source(ttl, {"v": 2, "key": {"a": 1}, "name": "a_1"}, ttl_s=5))
    assert [(each.index, each.expire_after_s) for each in found] == [("", 5.0), ("d_1", 60.0)]
