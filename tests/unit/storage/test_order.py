"""The order of listings."""

import random
from collections.abc import Iterator

from agent.ports import StoredObject
from agent.storage.order import by_bytes


def walked(keys: list[str]) -> list[str]:
    """Return keys in the order of a walk through folders, as servers on file systems list."""
    return sorted(keys, key=lambda key: [part.encode() for part in key.split("/")])


def ordered(keys: list[str], prefix: str) -> list[str]:
    """Pass keys through."""
    objects = [StoredObject(key=key, size_bytes=0) for key in keys]
    return [stored.key for stored in by_bytes(objects, prefix)]


KEYS = [
    "rs/a/b/c",
    "rs/a-b",
    "rs/a.b/c",
    "rs/a b",
    "rs/a0",
    "rs/a/b-c",
    "rs/ab/c",
    "rs/b",
    "rs/é/f",
]


def test_a_walk_through_folders_becomes_the_order_of_bytes() -> None:
    """`a-b` comes before `a/b`, although a walk finds the folder first."""
    expected = sorted(KEYS, key=str.encode)
    assert walked(KEYS) != expected
    assert ordered(walked(KEYS), "rs/") == expected
    assert ordered(walked(KEYS), "") == expected
    assert ordered(walked([key for key in KEYS if key.startswith("rs/a")]), "rs/a") == [
        key for key in expected if key.startswith("rs/a")
    ]


def test_the_order_of_bytes_stays() -> None:
    """A server that does it right is left alone."""
    expected = sorted(KEYS, key=str.encode)
    assert ordered(expected, "rs/") == expected


def test_any_set_of_keys_is_put_in_order() -> None:
    """Random names of few letters, folders and objects mixed."""
    chance = random.Random(20261121)
    for _ in range(500):
        keys = {
            "/".join("".join(chance.choices("a-b.", k=chance.randint(1, 3))) for _ in range(3))
            for _ in range(chance.randint(0, 30))
        }
        expected = sorted(keys, key=str.encode)
        assert ordered(walked(list(keys)), "") == expected


def test_only_a_group_is_held_back() -> None:
    """Objects flow before the listing has ended, so that a long one fits into memory."""
    taken = 0

    def listing() -> Iterator[StoredObject]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield StoredObject(key=f"rs/{number:04d}/x", size_bytes=0)

    first = next(iter(by_bytes(listing(), "rs/")))
    assert first.key == "rs/0000/x"
    assert taken == 2
