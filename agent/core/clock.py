"""Time as a value that is passed in, so that tests can own it."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Reads the host's clocks."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    def now(self) -> datetime:
        """Wall time of this host, in UTC."""
        ...


class SystemClock:
    """The clocks of this host."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def now(self) -> datetime:
        """Wall time in UTC."""
        return datetime.now(tz=UTC)


def monotonic() -> float:
    """Seconds that never go back, for bounds on waits that no rule depends on."""
    return time.monotonic()
