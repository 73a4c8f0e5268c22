"""A relay before an S3 server: it passes requests on, may change them, and tells what they were."""

import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

from tests.fakes.http_server import Answer, Request, Server, serving

#: Returns the headers that go on instead of those that came.
Change = Callable[[Request], Mapping[str, str]]

# Of one connection, not of the answer.
_OF_THE_CONNECTION = frozenset({"connection", "content-length", "date", "server"})


@contextmanager
def relaying(
    url: str, change: Change | None = None, *, put_delay_s: float = 0.0
) -> Iterator[Server]:
    """Serve at an address of its own what a server gives; headers stay as they were signed.

    Each upload rests for `put_delay_s`: a slow line, on which a small backup takes long.
    """
    line = threading.Event()

    def answer(request: Request) -> Answer:
        if request.method == "PUT":
            line.wait(put_delay_s)
        return relayed(url, request, change(request) if change is not None else request.headers)

    with serving(answer) as server:
        yield server


def relayed(url: str, request: Request, headers: Mapping[str, str] | None = None) -> Answer:
    """Pass one request on, and return the server's answer.

    Its headers may have more than were signed: signatures name the ones that they cover.
    """
    with closing(http.client.HTTPConnection(url.removeprefix("http://"))) as connection:
        passed = dict(request.headers if headers is None else headers)
        connection.request(request.method, request.path, request.body, passed)
        found = connection.getresponse()
        body = found.read()
        kept = {
            name: value
            for name, value in found.getheaders()
            if name.lower() not in _OF_THE_CONNECTION and name.lower() != "transfer-encoding"
        }
        length = found.getheader("Content-Length")
        is_head = request.method == "HEAD" and length is not None
        return Answer(
            status=found.status,
            body=body,
            headers=kept,
            announced_bytes=int(str(length)) if is_head else None,
        )
