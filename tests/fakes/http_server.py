"""An HTTP server whose answers a test writes, for what no real S3 server does on demand."""

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What arrived; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back; `announced_bytes` makes the stated length differ from the true one."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    announced_bytes: int | None = None


def s3_error(status: int, code: str, message: str = "as the test wants it") -> Answer:
    """Return an error as S3 writes it."""
    text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status=status, body=text.encode(), headers={"Content-Type": "application/xml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server and what it was asked."""

    url: str
    requests: list[Request]


@contextmanager
def serving(
    answer: Callable[[Request], Answer], tls: ssl.SSLContext | None = None, *, port: int = 0
) -> Iterator[Server]:
    """Serve on a loopback port, by default a free one, over TLS if a context is given."""
    requests: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (ConnectionError, ssl.SSLError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            request = Request(
                method=self.command,
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(length),
            )
            requests.append(request)
            made = answer(request)
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            announced = len(made.body) if made.announced_bytes is None else made.announced_bytes
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            if request.method != "HEAD":
                self.wfile.write(made.body)
            if announced != len(made.body):
                self.close_connection = True

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing of connections that a test breaks."""

    server = Quiet(("127.0.0.1", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    scheme = "http" if tls is None else "https"
    try:
        yield Server(url=f"{scheme}://127.0.0.1:{server.server_address[1]}", requests=requests)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
