"""A bound on the time that bytes may take, however regularly they trickle."""

import io
from collections.abc import Callable
from http.client import HTTPResponse
from typing import Any, Final, cast

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


class _PacedBytes(io.RawIOBase):
    """What comes from a socket, which may be silent for as long as its own timeout says."""

    def __init__(self, raw: io.RawIOBase, patience_s: float) -> None:
        super().__init__()
        self._raw = raw
        self._pace = Pace(patience_s)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = cast("int | None", self._raw.readinto(buffer))
        self._pace.moved(count or 0)
        return count

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


class PacedResponse(HTTPResponse):
    """An answer over HTTP that must come at its pace, its head included.

    Its patience is the timeout of the socket, as it is when the answer is waited for.
    """

    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        """Begin to wait, as the class above does."""
        super().__init__(sock, *arguments, **options)
        patience_s = sock.gettimeout()
        if patience_s is not None:
            self.fp = io.BufferedReader(_PacedBytes(self.fp.detach(), patience_s))
