"""How the doctor judges what it sees."""

import pytest

from agent.mongo.doctor import of_window


@pytest.mark.parametrize(
    ("window_h", "filled", "outcome"),
    [
        (48, 1.0, "ok"),
        (24, 1.0, "ok"),
        (23, 1.0, "warning"),
        (0.9, 0.95, "failed"),
        (0.1, 0.2, "ok"),
    ],
)
def test_an_oplog_is_short_only_when_it_is_full(
    window_h: float, filled: float, outcome: str
) -> None:
    """That of a young replica set has not lost anything yet."""
    assert outcome == of_window(window_h * 3600, filled).outcome
