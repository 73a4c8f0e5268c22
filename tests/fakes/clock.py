"""A clock that a test owns."""

from datetime import UTC, datetime, timedelta


class VirtualClock:
    """Stands still until it is moved; monotonic and wall time move together."""

    def __init__(self) -> None:
        self._elapsed_s = 0.0
        self._begin = datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed_s

    def now(self) -> datetime:
        """Wall time."""
        return self._begin + timedelta(seconds=self._elapsed_s)

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed_s += seconds
