"""Sizes, times and counts as people read them."""

from datetime import UTC, datetime, timedelta

import pytest

from agent.cli import words

_NOW = datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("count_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5e15, "5000.0 TB")],
)
def test_size(count_bytes: float, text: str) -> None:
    """Decimal units, as storage is sold."""
    assert text == words.size(count_bytes)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59, "59 s"), (60, "1 min 00 s"), (7500, "2 h 05 min"), (90_000, "1 d 1 h")],
)
def test_duration(seconds: float, text: str) -> None:
    """The two largest units are enough."""
    assert text == words.duration(seconds)


@pytest.mark.parametrize(
    ("past_s", "text"),
    [
        (-5, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (86_400 * 3, "3 days ago"),
    ],
)
def test_ago(past_s: float, text: str) -> None:
    """One unit, rounded down, never in the future."""
    assert text == words.ago(_NOW - timedelta(seconds=past_s), _NOW)
