"""Rights that end by their holder's own clock."""

import pytest

from agent.core.errors import LeaseLost, TransientError
from agent.core.flow import Stop, WorkerGroup
from agent.core.keeper import Held, Keeper
from tests.fakes.clock import VirtualClock
from tests.testbed.waiting import eventually


def test_a_right_ends_by_the_holders_own_clock() -> None:
    """Nobody needs to tell the holder that its time is over."""
    clock = VirtualClock()
    held = Held("coordinator", clock, ends_at=12.0)
    clock.move(11.9)
    held.check()
    clock.move(0.2)
    with pytest.raises(LeaseLost):
        held.check()


def test_a_lost_right_cannot_be_prolonged() -> None:
    """A renewal whose answer comes late does not bring a lost right back."""
    clock = VirtualClock()
    held = Held("coordinator", clock, ends_at=12.0)
    held.lose()
    held.prolong(100.0)
    assert not held.is_held


class _Renewals:
    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.count = 0

    def __call__(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error


def _keep(renew: _Renewals, clock: VirtualClock) -> tuple[Held, Stop, WorkerGroup]:
    keeper = Keeper(clock, every_s=0.01, lasts_s=12.0)
    held = keeper.keep("coordinator", clock.monotonic(), renew)
    stop = Stop()
    group = WorkerGroup("keeper", stop)
    group.start(lambda: keeper.run(stop), "run")
    return held, stop, group


def test_renewals_prolong_a_right() -> None:
    """A right that is renewed outlives the time it was first given for."""
    clock = VirtualClock()
    renew = _Renewals(None)
    held, stop, group = _keep(renew, clock)
    for _ in range(5):
        clock.move(5.0)
        seen = renew.count
        eventually(lambda seen=seen: renew.count > seen + 1, timeout_s=20)  # type: ignore[misc]
    assert held.is_held
    stop.set()
    assert group.join(5)


def test_a_renewal_that_fails_for_a_while_leaves_the_right_to_its_time() -> None:
    """Only the end of its time ends a right whose renewals get no answer."""
    clock = VirtualClock()
    renew = _Renewals(TransientError("mongodb_unreachable", "no answer"))
    held, stop, group = _keep(renew, clock)
    eventually(lambda: renew.count > 2, timeout_s=20)
    held.check()
    clock.move(12.1)
    with pytest.raises(LeaseLost):
        held.check()
    stop.set()
    assert group.join(5)


def test_a_renewal_that_is_refused_ends_the_right_at_once() -> None:
    """Another holder was seen: nothing more may be written."""
    clock = VirtualClock()
    renew = _Renewals(LeaseLost("coordinator"))
    held, stop, group = _keep(renew, clock)
    eventually(lambda: not held.is_held, timeout_s=20)
    stop.set()
    assert group.join(5)
