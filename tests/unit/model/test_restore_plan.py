"""What a restore will do, and what it refuses to."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.core.errors import PermanentError
from agent.model.arrangement import Surroundings, Wish, existing_names
from agent.model.catalogue import Collection, Identity, Traits
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk, Copy, Manifest
from agent.model.names import Namespace
from agent.model.restore_plan import Goal, RestorePlan, TtlRule, plan_restore
from agent.model.selection import Renaming, Selection
from tests.fakes.catalogue import collection

AT = ClusterTime(1_767_225_600, 1)
IDENTITY = Identity(
    replset="rs0", replset_id="a", server_version="6.0.5", feature_compatibility="6.0"
)
CHUNK = Chunk(key="k", docs=3, bytes=30, stored_bytes=10, sha256="0")


def series(name: str) -> tuple[Collection, Collection]:
    """Return a time series: the view that users know, and its buckets."""
    visible = Namespace.parse(name)
    return (
        collection(name, kind="timeseries"),
        replace(collection(name), namespace=visible.buckets, uuid=b"buckets-of-" + b"1" * 5),
    )


def manifest(*collections: Collection, **changes: object) -> Manifest:
    """Return a backup of these collections with one chunk each."""
    found = Manifest(
        backup_id="20260101T000000Z",
        identity=IDENTITY,
        agent_version="0",
        nodes=(),
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        consistent_at=AT,
        oplog_from=AT,
        catalogue_at=AT,
        copies=tuple(
            Copy(
                collection=each,
                read_at=(AT,) if each.has_data else (),
                chunks=(CHUNK,) if each.has_data else (),
            )
            for each in collections
        ),
        window=None,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def around(*existing: Collection, identity: Identity = IDENTITY) -> Surroundings:
    """Return a replica set that has these collections."""
    return Surroundings(identity=identity, existing=existing, control_database="backstay")


def wish(
    namespaces: Sequence[str] | None = None,
    rename: Sequence[tuple[str, str]] = (),
    *,
    overwrite: bool = False,
    users_and_roles: bool | None = None,
) -> Wish:
    """Return what a command asks for."""
    return Wish(
        selection=Selection.parse(namespaces),
        renaming=Renaming.parse(rename),
        overwrite=overwrite,
        users_and_roles=users_and_roles,
    )


def planned(
    found: Manifest, wanted: Wish, surroundings: Surroundings, ttl_rules: Sequence[TtlRule]
) -> RestorePlan:
    """Plan to bring a backup back as it is."""
    goal = Goal(manifest=found, target=found.consistent_at)
    return plan_restore(goal, wanted, surroundings, ttl_rules)


def refusal(found: Manifest, wanted: Wish, surroundings: Surroundings) -> PermanentError:
    """Return the error that the plan ends with."""
    with pytest.raises(PermanentError) as caught:
        planned(found, wanted, surroundings, ())
    return caught.value


def targets(plan: RestorePlan) -> list[str]:
    """Return the visible names that a plan fills."""
    return [str(each.target) for each in plan.arrangement.placed]


ORDERS, ITEMS = collection("shop.orders"), collection("shop.items")
USERS, ROLES = collection("admin.system.users"), collection("admin.system.roles")
VIEWS = collection("shop.system.views")


def test_everything_goes_where_it_was() -> None:
    """A plain restore takes all collections and views, users too, and sums sizes up."""
    view = replace(collection("shop.v", kind="view"), traits=Traits(view_on="orders"))
    plan = planned(manifest(ORDERS, VIEWS, view, USERS), wish(), around(), ())
    assert targets(plan) == ["shop.orders", "shop.v"]
    assert {str(each.collection.namespace) for each in plan.copies} == {
        "shop.orders",
        "shop.system.views",
        "admin.system.users",
    }
    assert (plan.docs, plan.bytes, plan.stored_bytes) == (9, 90, 30)


def test_users_come_only_with_everything_or_when_asked_for() -> None:
    """A restore of some collections leaves users alone, unless told otherwise."""
    backup = manifest(ORDERS, USERS, ROLES)
    some = planned(backup, wish(["shop.*"]), around(), ())
    asked = planned(backup, wish(["shop.*"], users_and_roles=True), around(), ())
    without = planned(backup, wish(users_and_roles=False), around(), ())
    assert [len(each.copies) for each in (some, asked, without)] == [1, 3, 1]


def test_existing_targets_are_named_without_overwrite() -> None:
    """What exists is never touched unless the command says so."""
    error = refusal(manifest(ORDERS, ITEMS), wish(), around(ITEMS))
    assert error.code == "target_exists"
    assert error.facts["namespaces"] == ("shop.items",)


def test_what_is_not_restored_does_not_hinder() -> None:
    """Other collections, and a database that is there, are no conflict."""
    plan = planned(manifest(ORDERS), wish(), around(ITEMS, VIEWS, USERS), ())
    assert plan.arrangement.replaced == ()
    assert plan.arrangement.dropped == ()


def test_full_overwrite_drops_what_the_backup_has_not() -> None:
    """Everything becomes as it was, and users are not dropped as if they were a collection."""
    plan = planned(manifest(ORDERS), wish(overwrite=True), around(ORDERS, ITEMS, USERS), ())
    assert [str(each.namespace) for each in plan.arrangement.replaced] == ["shop.orders"]
    assert [str(each.namespace) for each in plan.arrangement.dropped] == ["shop.items"]


@pytest.mark.parametrize(
    "partial",
    [
        (manifest(ORDERS), wish(["shop.*"], overwrite=True)),
        (manifest(ORDERS), wish(rename=[("shop.*", "shop2.*")], overwrite=True)),
        (manifest(ORDERS, namespaces=("shop.*",)), wish(overwrite=True)),
    ],
)
def test_partial_overwrite_drops_nothing_else(partial: tuple[Manifest, Wish]) -> None:
    """A choice, a rename or a backup of a part says nothing of what was not in it."""
    found, wanted = partial
    assert planned(found, wanted, around(ITEMS), ()).arrangement.dropped == ()


def test_another_kind_in_the_way_is_displaced() -> None:
    """A view where a collection comes, or a time series, cannot be renamed over."""
    there = (collection("shop.orders", kind="view"), *series("shop.items"))
    plan = planned(manifest(ORDERS, ITEMS), wish(overwrite=True), around(*there), ())
    found = {(str(each.namespace), each.kind) for each in plan.arrangement.displaced}
    assert found == {("shop.orders", "view"), ("shop.items", "timeseries")}


def test_time_series_is_one_name() -> None:
    """View and buckets of a time series are replaced as one, found by the buckets' UUID."""
    (found,) = existing_names(series("shop.m"))
    assert (str(found.namespace), found.kind, found.uuid) == (
        "shop.m",
        "timeseries",
        b"buckets-of-11111",
    )
    plan = planned(manifest(*series("shop.m")), wish(overwrite=True), around(*series("shop.m")), ())
    assert targets(plan) == ["shop.m"]
    assert plan.arrangement.displaced == ()


def test_two_sources_for_one_target_are_refused() -> None:
    """A rename must not let one collection replace another."""
    error = refusal(manifest(ORDERS, ITEMS), wish(rename=[("shop.orders", "shop.items")]), around())
    assert error.code == "rename_collides"


@pytest.mark.parametrize(
    "target",
    [
        "local.orders",
        "config.orders",
        "backstay.orders",
        "admin.system.users",
        "shop.system.views",
        "shop.system.indexes",
        "sh op.orders",
        "shop.a$b",
        f"shop.{'x' * 251}",
        f"{'d' * 64}.orders",
    ],
)
def test_names_that_must_not_be_written_are_refused(target: str) -> None:
    """Databases of servers, the control database, and names that no server takes."""
    error = refusal(manifest(ORDERS), wish(rename=[("shop.orders", target)]), around())
    assert error.code == "bad_target"


def test_length_of_a_time_series_counts_its_buckets_prefix() -> None:
    """The buckets' name is the longer one: 15 bytes more."""
    longest = f"shop.{'x' * 235}"
    planned(manifest(*series("shop.m")), wish(rename=[("shop.m", longest)]), around(), ())
    error = refusal(manifest(*series("shop.m")), wish(rename=[("shop.m", longest + "x")]), around())
    assert error.code == "bad_target"


def test_databases_that_differ_in_case_only_are_refused() -> None:
    """A server has only one of them (its error 13297)."""
    error = refusal(manifest(collection("Shop.a")), wish(), around(collection("shop.b")))
    assert error.code == "database_case"


def test_view_stays_with_what_it_reads() -> None:
    """A view cannot look into another database."""
    view = replace(collection("shop.v", kind="view"), traits=Traits(view_on="orders"))
    error = refusal(manifest(ORDERS, view), wish(rename=[("shop.v", "other.v")]), around())
    assert error.code == "view_split"


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("namespaces", wish(["shpo.*"])),
        ("rename", wish(rename=[("shpo.*", "x.*")])),
        ("rename", wish(["shop.items"], rename=[("shop.orders", "x.orders")])),
    ],
)
def test_pattern_that_matches_nothing_is_refused(option: str, wanted: Wish) -> None:
    """A mistyped name restores nothing silently."""
    error = refusal(manifest(ORDERS, ITEMS), wanted, around())
    assert (error.code, error.message.split(":", maxsplit=1)[0]) == ("nothing_matches", option)


def test_older_replica_set_is_refused_and_newer_is_noted() -> None:
    """What a server writes, an older one may not understand."""
    older = replace(IDENTITY, server_version="5.0.4", feature_compatibility="5.0")
    newer = replace(IDENTITY, server_version="7.0.1", feature_compatibility="7.0")
    error = refusal(manifest(ORDERS), wish(), around(identity=older))
    assert error.code == "server_too_old"
    plan = planned(manifest(ORDERS), wish(), around(identity=newer), ())
    assert "7.0.1" in plan.notes[0]


def test_document_names_ttl_rules_under_their_new_names() -> None:
    """An operator sees what will delete documents, and where."""
    rules = [
        TtlRule(namespace=ORDERS.namespace, index="d_1", expire_after_s=60.0),
        TtlRule(namespace=ITEMS.namespace, index="d_1", expire_after_s=60.0),
    ]
    wanted = wish(["shop.orders"], rename=[("shop.*", "shop2.*")])
    document = planned(manifest(ORDERS, ITEMS), wanted, around(), rules).document()
    assert document["ttl"] == [
        {"namespace": "shop2.orders", "index": "d_1", "expire_after_s": 60.0, "held": False}
    ]
    assert document["create"] == ["shop2.orders"]
    assert document["rename"] == [{"from": "shop.orders", "to": "shop2.orders"}]
