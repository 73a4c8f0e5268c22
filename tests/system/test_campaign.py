"""After any faults, and calm again: all promises hold."""

import pytest

from tests.campaign.run import campaign

# `make soak` goes on with others, and for longer.
_SEED = 3
_LENGTH_S = 20.0


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_whatever_fails_nothing_is_lost() -> None:
    """One seed of the campaign: moves, leases, backups, restores, leftovers, memory and logs."""
    campaign(_SEED, _LENGTH_S, backups=1, instants=1).check()
