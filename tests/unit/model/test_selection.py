"""Patterns: what they match, and what a rename makes of it."""

import pytest

from agent.core.errors import PermanentError
from agent.model.names import Namespace
from agent.model.selection import Pattern, Renaming, Selection


def name(text: str) -> Namespace:
    """Return a namespace."""
    return Namespace.parse(text)


@pytest.mark.parametrize(
    ("pattern", "namespace", "matches"),
    [
        ("shop.orders", "shop.orders", True),
        ("shop.orders", "shop.orders2", False),
        ("shop.orders", "shop2.orders", False),
        ("shop.*", "shop.a.b.c", True),
        ("sh*.*", "shop.orders", True),
        ("*.orders", "shop.orders", True),
        ("*.orders", "shop.old.orders", False),
        ("shop.o*s", "shop.os", True),
        ("shop.[ab]", "shop.a", False),
        ("shop.[ab]", "shop.[ab]", True),
        ("shop.*", "shop.line\nbreak", True),
        ("SHOP.*", "shop.orders", False),
        ("shop.metrics", "shop.system.buckets.metrics", True),
        ("shop.system.buckets.*", "shop.system.buckets.metrics", False),
    ],
)
def test_star_matches_any_text_within_its_part(
    pattern: str, namespace: str, *, matches: bool
) -> None:
    """A star never reaches over the first dot; all other characters stand for themselves."""
    assert matches == Selection.parse([pattern]).takes(name(namespace))


@pytest.mark.parametrize("text", ["shop", "shop.", ".orders", "", "*"])
def test_pattern_without_two_parts_is_refused(text: str) -> None:
    """A database alone says nothing of collections, and is no pattern."""
    with pytest.raises(PermanentError) as caught:
        Selection.parse([text])
    assert caught.value.code == "bad_pattern"


def test_no_patterns_take_everything() -> None:
    """Users, views and collections are all wanted when nothing is chosen."""
    everything = Selection.parse(None)
    wanted = ["shop.orders", "admin.system.users", "shop.system.views"]
    assert all(everything.takes(name(text)) for text in wanted)


def test_patterns_never_mean_users_and_roles() -> None:
    """``admin.*`` means collections of admin; users come by their own option."""
    assert not Selection.parse(["admin.*"]).takes(name("admin.system.users"))


def test_view_definitions_come_with_any_pattern_for_their_database() -> None:
    """Definitions of views lie together, whichever of them is chosen."""
    chosen = Selection.parse(["shop.v1"])
    assert chosen.takes(name("shop.system.views"))
    assert not chosen.takes(name("other.system.views"))


def test_pattern_that_matches_nothing_is_named() -> None:
    """A typing mistake in a pattern is told, not obeyed; view definitions are no match."""
    chosen = Selection.parse(["shop.*", "shpo.*", "other.*"])
    with pytest.raises(PermanentError) as caught:
        chosen.check([name("shop.orders"), name("other.system.views")])
    assert caught.value.code == "nothing_matches"
    assert caught.value.facts["patterns"] == ("shpo.*", "other.*")


@pytest.mark.parametrize(
    ("source", "target", "before", "after"),
    [
        ("shop.*", "shop2.*", "shop.orders", "shop2.orders"),
        ("shop.orders", "old.sales", "shop.orders", "old.sales"),
        ("*.*", "copy_*.*_old", "shop.a.b", "copy_shop.a.b_old"),
        ("shop.a*b*", "shop.*.*", "shop.a1b2", "shop.1.2"),
        ("shop.*", "shop2.*", "other.orders", "other.orders"),
        ("shop.*", "shop2.*", "shop.system.buckets.m", "shop2.system.buckets.m"),
        ("shop.m", "shop.n", "shop.system.buckets.m", "shop.system.buckets.n"),
        ("shop.*", "shop2.*", "shop.system.js", "shop2.system.js"),
        ("shop.*", "shop.x_*", "shop.system.js", "shop.system.js"),
        ("*.*", "b_*.*", "admin.system.users", "admin.system.users"),
    ],
)
def test_rename_fills_stars_in_order(source: str, target: str, before: str, after: str) -> None:
    """Each star of the target gets the text of the star in the same position."""
    assert name(after) == Renaming.parse([(source, target)]).target(name(before))


def test_first_rule_that_matches_counts() -> None:
    """Rules are read from the top, the special ones first."""
    renaming = Renaming.parse([("shop.orders", "shop.sales"), ("shop.*", "shop2.*")])
    assert name("shop.sales") == renaming.target(name("shop.orders"))
    assert name("shop2.items") == renaming.target(name("shop.items"))


def test_stars_of_a_rename_must_be_as_many() -> None:
    """A star without a partner has nothing to stand for."""
    with pytest.raises(PermanentError) as caught:
        Renaming.parse([("shop.*", "shop2.orders")])
    assert caught.value.code == "bad_pattern"


def test_text_with_a_backslash_is_filled_in_as_it_is() -> None:
    """Replacement texts are no regular expressions."""
    assert name("shop.a\\1") == Pattern.parse("shop.*").fill(["a\\1"])
