"""Serving figures over HTTP, from the thread of whoever calls."""

import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app
from prometheus_client.registry import Collector

from agent.core.errors import TransientError
from agent.core.flow import Stop
from agent.core.log import Log

PATH: Final = "/metrics"
# How long an agent that stops may wait for this thread.
GLANCE_S: Final = 0.5
# Who asks must send the question, and take the answer, without pauses longer than this.
PATIENCE_S: Final = 3.0
# A port that another process has may be free soon: that of this agent's own earlier life, say.
AGAIN_S: Final = 10.0

_Respond = Callable[[str, list[tuple[str, str]]], object]


class MetricsServer:
    """Serves ``/metrics`` at an address, and nothing else; asked one question after another.

    Whatever happens here never ends an agent: its backups matter more than their figures.
    """

    def __init__(
        self, listen: str, source: Collector, log: Log, *, again_s: float = AGAIN_S
    ) -> None:
        self._again_s = again_s
        self._listen = listen
        self._app = make_wsgi_app(source)
        self._log = log

    def run(self, stop: Stop) -> None:
        """Serve until stopped; a port that cannot be had is tried again, and told of once."""
        told = False
        while not stop.is_set:
            try:
                self._serve(stop)
            except TransientError as error:
                if not told:
                    self._log.warning(
                        "metrics are not served",
                        code=error.code,
                        reason=error.message,
                        hint=error.hint,
                    )
                told = True
                stop.wait(self._again_s)

    def _serve(self, stop: Stop) -> None:
        with self._server() as server:
            self._log.info("metrics served", listen=self._listen)
            server.set_app(self._answer)
            while not stop.is_set:
                server.handle_request()

    def _server(self) -> "_Server":
        try:
            return _Server(address_of(self._listen), self._log)
        except (OSError, UnicodeError) as error:  # the latter of a name that cannot be one
            raise TransientError(
                "metrics_not_served",
                f"cannot listen on {self._listen}: {error}",
                hint="give metrics.listen a free address of this host; it is tried again",
            ) from error

    def _answer(self, environ: dict[str, Any], respond: _Respond) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == PATH:
            # Everything or nothing: to choose by name[] would need a registry of another kind.
            return cast("Iterable[bytes]", self._app({**environ, "QUERY_STRING": ""}, respond))
        respond("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"the metrics are at {PATH}\n".encode()]


def address_of(listen: str) -> tuple[str, int]:
    """Return host and port of ``host:port``, where the host may be an address of IPv6."""
    host, _, port = listen.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing of a question that was answered."""


class _Server(WSGIServer):
    """Raises, at once: OSError."""

    timeout = GLANCE_S

    def __init__(self, address: tuple[str, int], log: Log) -> None:
        self._log = log
        kind = socket.SOCK_STREAM
        found = socket.getaddrinfo(*address, type=kind, flags=socket.AI_PASSIVE)
        self.address_family, *_ = found[0]
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind, without asking DNS for a name of this host, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Tell of an answer that failed; nobody waits for it any more."""
        self._log.debug("metrics were not fetched", exc_info=True)
