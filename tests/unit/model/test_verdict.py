"""Which verdict stands, of several looks at a backup."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.model import keys
from agent.model.verdict import Verdict, newest_of_each, standing

_BEGIN = datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)


def look(minute: int, word: str) -> Verdict:
    """Return what was found in a minute: "C" sound by content, "c" not so; "O" and "o" alike."""
    return Verdict(
        depth="content" if word.lower() == "c" else "objects",
        checked_at=_BEGIN + timedelta(minutes=minute),
        is_sound=word.isupper(),
    )


def looks(words: str) -> list[Verdict]:
    """Return one look after the other."""
    return [look(minute, word) for minute, word in enumerate(words)]


@pytest.mark.parametrize(
    ("words", "stands"),
    [
        ("O", 0),
        ("CO", 1),
        ("OC", 1),
        ("c", 0),
        ("cO", 0),
        ("cC", 1),
        ("oO", 1),
        ("oC", 1),
        ("Co", 1),
        ("Oc", 1),
        ("co", 1),
        ("oc", 1),
        ("cOCO", 3),
    ],
)
def test_a_bad_verdict_stands_until_a_look_as_deep_is_good(words: str, stands: int) -> None:
    """A listing says nothing of what was wrong inside an object."""
    assert looks(words)[stands] == standing(looks(words))


def test_a_backup_that_was_never_verified_has_none() -> None:
    """Neither good nor bad."""
    assert standing([]) is None


def test_the_newest_of_each_depth_is_kept() -> None:
    """In whatever order they come."""
    found = looks("oCOc")
    assert (found[2], found[3]) == newest_of_each(reversed(found))


@pytest.mark.parametrize("word", "OoCc")
def test_a_key_tells_the_verdict(word: str) -> None:
    """All that the catalogue has of it."""
    key = keys.verdict("rs/0", "20261121T201512Z", look(3, word))
    assert ("rs/0", "20261121T201512Z", look(3, word)) == keys.parse_verdict(key)


@pytest.mark.parametrize(
    "key",
    [
        "rs/backups/20261121T201512Z/verified/20261121T201512Z-content-fine.json",
        "rs/backups/20261121T201512Z/verified/20261121T201512Z-all-sound.json",
        "rs/backups/20261121T201512Z/verified/20261199T201512Z-content-sound.json",
        "rs/backups/20261121/verified/20261121T201512Z-content-sound.json",
        "rs/backups/20261121T201512Z/20261121T201512Z-content-sound.json",
        "rs/backups/20261121T201512Z/manifest.json",
    ],
)
def test_what_only_looks_alike_is_no_verdict(key: str) -> None:
    """A foreign object is nobody's."""
    assert keys.parse_verdict(key) is None
