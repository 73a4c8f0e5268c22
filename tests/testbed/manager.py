"""The side of a service manager on which it is told how its services are."""

import secrets
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.testbed.stoppable import Stoppable

Word = dict[str, str]


class NotifySocket(Stoppable):
    """A socket as systemd puts it into `NOTIFY_SOCKET`, and all that was said to it."""

    def __init__(self, *, abstract: bool = False) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="backstay-notify-")
        path = Path(self._directory.name) / "notify"
        self.address = f"@backstay-{secrets.token_hex(8)}" if abstract else str(path)
        self._words: list[Word] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(self.address.replace("@", "\0", 1))

    def words(self) -> list[Word]:
        """Return every message so far, as its assignments, oldest first."""
        with suppress(BlockingIOError):
            while True:
                lines = self._socket.recv(65536).decode().splitlines()
                self._words.append(dict(line.split("=", 1) for line in lines))
        return list(self._words)

    def count(self, name: str) -> int:
        """Return how many messages had an assignment of this name."""
        return sum(name in word for word in self.words())

    def last_status(self) -> str:
        """Return the line that is shown now."""
        return next((word["STATUS"] for word in reversed(self.words()) if "STATUS" in word), "")

    def stop(self) -> None:
        """Close it and remove its file. Idempotent."""
        self._socket.close()
        self._directory.cleanup()
