"""Which privileges cover which needs."""

from collections.abc import Mapping
from typing import Any

import pytest

from agent.mongo.privileges import (
    Need,
    for_backup,
    for_restore,
    for_restore_into,
    is_granted,
    together,
)


def _granted(resource: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    need = Need(action="find", resource=wanted, on="")
    return is_granted(need, [{"resource": resource, "actions": ["find"]}])


ORDERS = {"db": "shop", "collection": "orders"}
EVERY = {"db": "", "collection": ""}


@pytest.mark.parametrize(
    ("resource", "wanted", "expected"),
    [
        ({"anyResource": True}, ORDERS, True),
        (EVERY, ORDERS, True),
        ({"db": "shop", "collection": ""}, ORDERS, True),
        ({"db": "", "collection": "orders"}, ORDERS, True),
        (ORDERS, ORDERS, True),
        ({"db": "blog", "collection": ""}, ORDERS, False),
        ({"db": "shop", "collection": "items"}, ORDERS, False),
        ({"db": "shop", "collection": ""}, EVERY, False),
        (EVERY, {"db": "", "collection": "system.views"}, False),
        ({"db": "", "collection": "system.views"}, {"db": "a", "collection": "system.views"}, True),
        ({"cluster": True}, {"cluster": True}, True),
        (EVERY, {"cluster": True}, False),
        (EVERY, {"db": "local", "collection": "oplog.rs"}, False),
        ({"db": "local", "collection": ""}, {"db": "local", "collection": "oplog.rs"}, True),
        ({"cluster": True}, ORDERS, False),
        ({"system_buckets": ""}, ORDERS, False),
        ({"db": "", "system_buckets": ""}, EVERY, False),
        ({"system_buckets": ""}, {"db": "", "system_buckets": ""}, True),
        ({"system_buckets": "x"}, {"db": "", "system_buckets": ""}, False),
        (EVERY, {"db": "", "system_buckets": ""}, False),
        (EVERY, {"anyResource": True}, False),
        ({"anyResource": True}, {"anyResource": True}, True),
    ],
)
def test_a_resource_covers_what_the_server_says(
    resource: Mapping[str, Any], wanted: Mapping[str, Any], expected: object
) -> None:
    """An empty name is all names, but those of system collections are said in full."""
    assert expected == _granted(resource, wanted)


def test_another_action_is_another_privilege() -> None:
    """To write is not to read; any action includes all."""
    need = Need(action="insert", resource=ORDERS, on="")
    assert not is_granted(need, [{"resource": EVERY, "actions": ["find"]}])
    assert is_granted(need, [{"resource": {"anyResource": True}, "actions": ["anyAction"]}])


def test_needs_name_themselves() -> None:
    """By the action and the resource, the control database by its own name."""
    names = [str(need) for need in for_backup("bs")]
    assert "appendOplogNote on the cluster" in names
    assert "insert on the database bs" in names
    assert sorted(set(names)) == sorted(names)


def test_who_may_restore_everything_may_restore_into_each_database() -> None:
    """What one database asks for is among what all of them do, and users ask for more."""
    granted = [{"resource": each.resource, "actions": [each.action]} for each in for_restore()]
    needs = for_restore_into(["shop", "admin"], has_users=True)
    assert all(is_granted(need, granted) for need in needs)
    fewer = for_restore_into(["shop", "admin"], has_users=False)
    assert all(need in needs for need in fewer)
    assert len(fewer) < len(needs)


def test_needs_are_told_by_their_resources() -> None:
    """Each resource once, with what may not be done there."""
    some = for_restore_into(["shop", "blog"], has_users=False)
    told = together(each for each in some if each.action in {"insert", "collMod"})
    assert "insert, collMod on the database shop; insert, collMod on the database blog" == told
    assert not together(())
