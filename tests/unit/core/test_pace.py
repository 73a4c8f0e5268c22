"""How long a transfer may take follows from what it has moved."""

import pytest

from agent.core.pace import FLOOR_BYTES_PER_S, Pace, TooSlowError
from tests.fakes.clock import VirtualClock


def test_a_trickle_ends_when_its_patience_does() -> None:
    """A byte a second gains nothing worth speaking of."""
    clock = VirtualClock()
    pace = Pace(60.0, clock.monotonic)
    for _ in range(60):
        clock.move(1.0)
        pace.moved(1)
    clock.move(1.0)
    with pytest.raises(TooSlowError, match="61 bytes in 61 s"):
        pace.moved(1)


def test_what_keeps_its_pace_may_take_for_ever() -> None:
    """After its patience too, at the least that is asked for."""
    clock = VirtualClock()
    pace = Pace(60.0, clock.monotonic)
    for _ in range(10_000):
        clock.move(1.0)
        pace.moved(FLOOR_BYTES_PER_S)


def test_what_came_fast_pays_for_a_silence() -> None:
    """The bound is of the whole: it follows from the size."""
    clock = VirtualClock()
    pace = Pace(10.0, clock.monotonic)
    pace.moved(100 * FLOOR_BYTES_PER_S)
    clock.move(110.0)
    pace.moved(0)
    clock.move(0.1)
    with pytest.raises(TooSlowError):
        pace.moved(0)
