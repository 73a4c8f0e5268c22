"""A bound on the time that bytes may take, however regularly they trickle."""

from collections.abc import Callable
from typing import Final

from agent.core.clock import monotonic

#: What a transfer must bring in a second, on average, after its patience: 32 kbit/s. A timeout of
#: each receive alone would let a byte a second go on for ever.
FLOOR_BYTES_PER_S: Final = 4096


class TooSlowError(TimeoutError):
    """A transfer fell behind its pace; an OSError, so that it passes through libraries as one."""


class Pace:
    """How long one transfer may take: its patience, and a second for each 4 KiB that moved.

    It begins when it is made.
    """

    def __init__(self, patience_s: float, now: Callable[[], float] = monotonic) -> None:
        self._patience_s = patience_s
        self._now = now
        self._begun_at = now()
        self._moved_bytes = 0

    def moved(self, count: int) -> None:
        """Note that so many bytes more came or went. Raises: TooSlowError."""
        self._moved_bytes += count
        elapsed_s = self._now() - self._begun_at
        if elapsed_s > self._patience_s + self._moved_bytes / FLOOR_BYTES_PER_S:
            raise TooSlowError(f"{self._moved_bytes} bytes in {elapsed_s:.0f} s are too slow")
