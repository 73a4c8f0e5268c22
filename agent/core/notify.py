"""Tells the service manager, systemd as a rule, how this process is."""

import socket
from typing import Final

# A manager that takes nothing for so long is told nothing; the next word comes soon.
_SEND_S: Final = 2.0
# Longer than one try of anything that a start waits for.
_START_S: Final = 120


class ServiceManager:
    """Whoever started this process, if it wants to be told.

    ``address`` is that of ``NOTIFY_SOCKET``: a path, or a name in the abstract namespace after an
    ``@``; where there is none, nobody is told. What cannot be said is dropped, for no work may fail
    by it. From any thread. Source: sd_notify(3).
    """

    def __init__(self, address: str) -> None:
        is_known = address.startswith(("/", "@"))
        self._address = address.replace("@", "\0", 1) if is_known else ""

    def starting(self, status: str) -> None:
        """Say what the start waits for, and that it may take another two minutes from now."""
        self._tell(f"STATUS={_line(status)}\nEXTEND_TIMEOUT_USEC={_START_S * 1_000_000}")

    def ready(self, status: str) -> None:
        """Say that the start is over."""
        self._tell(f"STATUS={_line(status)}\nREADY=1")

    def alive(self, status: str) -> None:
        """Say that this process still turns; without this word it is ended after a while."""
        self._tell(f"STATUS={_line(status)}\nWATCHDOG=1")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._tell("STATUS=stopping\nSTOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_SEND_S)
                sender.sendto(text.encode(), self._address)
        except OSError:
            return


def _line(text: str) -> str:
    """Return a text in one line, for a second one would be another word to the manager."""
    return " ".join(text.split())
