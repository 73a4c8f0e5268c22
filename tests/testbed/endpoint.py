"""An HTTP endpoint of a machine or a container, and the ways in which it fails."""

import socket
import threading
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Self

from tests.fakes.http_server import Answer, Request, serving
from tests.testbed.loopback import HOST, free_port
from tests.testbed.stoppable import Stoppable


class Endpoint(Stoppable):
    """An HTTP server on loopback, in a thread; a test may turn its switches at any time.

    Each answer closes its connection, so that a switch acts on the very next request.
    """

    def __init__(self) -> None:
        """Choose a port; `start` begins to listen."""
        self.port = free_port()
        self.url = f"http://{HOST}:{self.port}"
        #: Switch: seconds that pass before each answer.
        self.delay_s = 0.0
        self._counts: dict[str, int] = {}
        self._failures_left = 0
        self._failure_status = 500
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._running = ExitStack()

    @classmethod
    def start(cls) -> Self:
        """Make an endpoint with the switches as they are by default, and start it."""
        endpoint = cls()
        endpoint.come_back()
        return endpoint

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return the variables that lead a process to this endpoint."""

    def count(self, path: str | None = None) -> int:
        """Return how many requests for a path have arrived, or how many in all."""
        with self._lock:
            return sum(self._counts.values()) if path is None else self._counts.get(path, 0)

    def fail(self, count: int, status: int = 500) -> None:
        """Switch: answer the next `count` requests with an error."""
        with self._lock:
            self._failures_left, self._failure_status = count, status

    def vanish(self) -> None:
        """Switch: be gone; connections are refused. Idempotent."""
        self._stopping.set()
        self._running.close()

    def swallow(self) -> None:
        """Switch: be an address that swallows packets; a connection is never made."""
        self.vanish()
        listener = self._running.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self.port))
        # Linux drops the SYN when the queue of connections that nobody accepts is full.
        listener.listen(0)
        for _ in range(4):
            filler = self._running.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex((HOST, self.port))

    def come_back(self) -> None:
        """Listen, again after `vanish` or `swallow`, on the same port. Idempotent."""
        self.vanish()
        self._stopping.clear()
        self._running.enter_context(serving(self._serve, port=self.port))

    def stop(self) -> None:
        """End the server. Idempotent."""
        self.vanish()

    @abstractmethod
    def _answer(self, request: Request) -> Answer: ...

    def _serve(self, request: Request) -> Answer:
        with self._lock:
            path = request.path.partition("?")[0]
            self._counts[path] = self._counts.get(path, 0) + 1
            fails = self._failures_left > 0
            self._failures_left -= fails
        # Ends early when the server stops.
        self._stopping.wait(self.delay_s)
        answer = Answer(status=self._failure_status) if fails else self._answer(request)
        return Answer(
            status=answer.status,
            body=answer.body,
            headers={**answer.headers, "Connection": "close"},
        )


def text(body: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer of plain text."""
    kind = {"Content-Type": "text/plain"}
    return Answer(body=body.encode(), headers={**kind, **(headers or {})})
