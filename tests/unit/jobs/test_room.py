"""Whether a restore fits."""

import pytest

from agent.core.errors import PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.core.retry import RetryPolicy
from agent.jobs.restore.room import await_room, check_room

SHORT = RetryPolicy(limit_s=0.05, first_wait_s=0.01)
MIB = 1024 * 1024


@pytest.mark.parametrize("free", [None, 5 * MIB, 6 * MIB])
def test_what_may_fit_is_let_pass(free: int | None) -> None:
    """Also where the server does not tell."""
    check_room(5 * MIB, lambda: free)


def test_what_cannot_fit_is_refused_with_both_sizes() -> None:
    """An operator at night needs to know how much room to make."""
    with pytest.raises(PermanentError) as caught:
        check_room(5 * MIB, lambda: 4 * MIB)
    assert "disk_too_small" == caught.value.code
    assert "5 MiB" in caught.value.message
    assert "4 MiB" in caught.value.message


def test_room_that_comes_back_is_waited_for() -> None:
    """What an earlier try had loaded is dropped, and its files go later."""
    free = iter([1 * MIB, 2 * MIB, 9 * MIB])
    await_room(5 * MIB, lambda: next(free), Stop(), RetryPolicy(limit_s=20, first_wait_s=0.01))
    assert [] == list(free)


def test_room_that_does_not_come_back_is_refused() -> None:
    """The wait has an end."""
    with pytest.raises(PermanentError) as caught:
        await_room(5 * MIB, lambda: MIB, Stop(), SHORT)
    assert "disk_too_small" == caught.value.code


def test_a_wait_for_room_ends_with_the_job() -> None:
    """A cancel does not wait for five minutes."""
    stop = Stop()
    stop.set("canceled")
    with pytest.raises(Stopped):
        await_room(5 * MIB, lambda: MIB, stop, SHORT)


def test_a_primary_that_is_away_is_no_full_disk() -> None:
    """It is told as what it is."""

    def free() -> int:
        raise TransientError("no_primary", "there is none")

    with pytest.raises(TransientError) as caught:
        await_room(5 * MIB, free, Stop(), SHORT)
    assert "no_primary" == caught.value.code
