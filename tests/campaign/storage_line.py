"""An S3 endpoint before a real S3 server, which fails in the ways of a bad day.

It keeps what the server behind it lacks: `If-None-Match: *`, by what went through it.
"""

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from urllib.parse import unquote

from tests.campaign.plan import Kind
from tests.fakes.http_server import Answer, Request, s3_error, serving
from tests.testbed.relay import relayed
from tests.testbed.s3 import S3Endpoint

_KEY = re.compile(r"<Key>(.*?)</Key>")
_ENTRY = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
# Of how many requests one fails while a fault stands; two in a row are not rare.
_SHARE = 0.5
_DELAY_S = 1.0
_STALE_S = 5.0
_WRITTEN = re.compile(r"<LastModified>.*?</LastModified>")
_LONG_AGO = "<LastModified>2020-01-01T00:00:00.000Z</LastModified>"
_ERRORS = {
    Kind.STORAGE_500: (500, "InternalError"),
    Kind.STORAGE_SLOW_DOWN: (503, "SlowDown"),
    Kind.STORAGE_EXPIRED_TOKEN: (403, "ExpiredToken"),
}


class StorageLine:
    """The way to a storage; `fault` may be set from any thread at any time."""

    def __init__(self, server: S3Endpoint, seed: int, share: float) -> None:
        self.access_key_id = server.access_key_id
        self.secret_access_key = server.secret_access_key
        self.endpoint_url = ""
        #: Switch: what goes wrong now, if anything.
        self.fault: Kind | None = None
        #: Switch: listings tell that everything was written long ago.
        self.is_long_ago = False
        #: How often each fault struck.
        self.struck: Counter[Kind] = Counter()
        self._share = share
        self._url = server.endpoint_url
        self._rng = random.Random(seed)
        self._lock = threading.Lock()
        self._stored_at: dict[str, float] = {}

    def answer(self, request: Request) -> Answer:
        """Pass a request on, or fail it."""
        fault = self._strikes()
        if fault in _ERRORS:
            status, code = _ERRORS[fault]
            return s3_error(status, code)
        if fault in {Kind.STORAGE_RESET, Kind.STORAGE_AWAY}:
            raise ConnectionResetError
        if fault is Kind.STORAGE_DELAYED:
            threading.Event().wait(_DELAY_S)
        answer = self._passed(request)
        if fault is Kind.STORAGE_LOST_ANSWER:
            raise ConnectionResetError
        return self._spoiled(request, answer, fault)

    def _strikes(self) -> Kind | None:
        with self._lock:
            fault = self.fault
            if fault is None or (
                fault is not Kind.STORAGE_AWAY and self._rng.random() > self._share
            ):
                return None
            self.struck[fault] += 1
            return fault

    def _passed(self, request: Request) -> Answer:
        path = unquote(request.path.partition("?")[0])
        if request.method == "PUT" and "if-none-match" in request.headers:
            with self._lock:
                is_there = path in self._stored_at
                self._stored_at.setdefault(path, time.monotonic())
            if is_there:
                return s3_error(412, "PreconditionFailed")
        try:
            answer = relayed(self._url, request)
        except (OSError, HTTPException) as error:
            with self._lock:
                self._stored_at.pop(path, None)
            raise ConnectionResetError from error
        self._remember(request, path, answer)
        return answer

    def _remember(self, request: Request, path: str, answer: Answer) -> None:
        gone = []
        is_refused = request.method == "PUT" and answer.status >= 300
        if is_refused or request.method == "DELETE":
            gone = [path]
        elif request.method == "POST" and request.path.partition("?")[2].startswith("delete"):
            gone = [f"{path.rstrip('/')}/{key}" for key in _KEY.findall(request.body.decode())]
        with self._lock:
            for each in gone:
                self._stored_at.pop(each, None)

    def _spoiled(self, request: Request, answer: Answer, fault: Kind | None) -> Answer:
        body = answer.body
        is_object = request.method == "GET" and "list-type" not in request.path and body
        if fault is Kind.STORAGE_CUT_BODY and is_object:
            return Answer(
                status=answer.status,
                body=body[: len(body) // 2],
                headers=answer.headers,
                announced_bytes=len(body),
            )
        if fault is Kind.STORAGE_FLIPPED_BYTE and is_object and answer.status == 200:
            place = len(body) // 2
            changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
            return Answer(status=answer.status, body=changed, headers=answer.headers)
        if self.is_long_ago and "list-type" in request.path:
            aged = _WRITTEN.sub(_LONG_AGO, body.decode()).encode()
            return Answer(status=answer.status, body=aged, headers=answer.headers)
        if fault is Kind.STORAGE_STALE_LIST and "list-type" in request.path:
            return self._stale(request, answer)
        return answer

    def _stale(self, request: Request, answer: Answer) -> Answer:
        bucket = request.path.partition("?")[0].rstrip("/")
        with self._lock:
            known = dict(self._stored_at)
        since = time.monotonic() - _STALE_S

        def shown(entry: re.Match[bytes]) -> bytes:
            key = _KEY.search(entry[0].decode())
            assert key is not None
            is_new = known.get(f"{bucket}/{unquote(key[1])}", 0.0) > since
            return b"" if is_new else entry[0]

        return Answer(
            status=answer.status, body=_ENTRY.sub(shown, answer.body), headers=answer.headers
        )


@contextmanager
def storage_line(server: S3Endpoint, seed: int, *, share: float = _SHARE) -> Iterator[StorageLine]:
    """Serve a line before a server; a fault strikes so great a share of requests."""
    line = StorageLine(server, seed, share)
    requests: list[Request] = []

    def answer(request: Request) -> Answer:
        # All that arrived is kept there, and this goes on for long.
        requests.clear()
        return line.answer(request)

    with serving(answer) as served:
        requests = served.requests
        line.endpoint_url = served.url
        yield line
