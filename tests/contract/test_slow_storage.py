"""A storage that trickles: every request has an end, and a slow but honest line its time."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ReadTimeoutError
from pydantic import SecretStr

from agent.aws.session import Access
from agent.aws.sts import Sts
from agent.core.errors import TransientError
from agent.core.pace import FLOOR_BYTES_PER_S
from agent.settings import CredentialSettings, S3Settings
from agent.storage.s3 import S3Store
from tests.fakes.http_server import Answer, serving
from tests.testbed.slow_line import SlowLine

TLS_FILES = Path(__file__).parent / "tls"
PATIENCE_S = 1.0
BODY = b"x" * 300_000
# What a handshake and the heads of answers need at most; far less than the body.
SOME_BYTES = 6_000
KEYS = CredentialSettings(
    access_key_id=SecretStr("AKIATEST"), secret_access_key=SecretStr("secret-of-the-test")
)


@contextmanager
def line_to_a_server(scheme: str = "http") -> Iterator[SlowLine]:
    """Lead to a server that answers everything with the same body; five bytes a second arrive."""
    tls = None
    if scheme == "https":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(TLS_FILES / "server.pem")
    with serving(lambda _request: Answer(body=BODY), tls) as server:
        port = urlsplit(server.url).port
        assert port is not None
        with SlowLine(port) as line:
            line.trickles, line.pause_s = True, 0.2
            yield line


def store_at(url: str) -> S3Store:
    """Open a bucket whose server may be silent for a second."""
    settings = S3Settings(
        bucket="bucket",
        endpoint_url=url,
        ca_file=TLS_FILES / "authority.pem" if url.startswith("https") else None,
        credentials=KEYS,
        connect_timeout_s=20,
        read_timeout_s=PATIENCE_S,
    )
    return S3Store(settings, lambda: Access(settings, {}).connect())


def error_soon(call: Callable[[], object], at_once_bytes: int) -> TransientError:
    """Return the error that a call ends with in its time, or little later."""
    began = time.monotonic()
    with pytest.raises(TransientError) as caught:
        call()
    assert time.monotonic() - began < PATIENCE_S + at_once_bytes / FLOOR_BYTES_PER_S + 10
    return caught.value


@pytest.mark.parametrize(
    ("call", "at_once_bytes"),
    [
        pytest.param(lambda store: store.get("k"), 0, id="get, from the first byte"),
        pytest.param(lambda store: store.get("k"), SOME_BYTES, id="get, in the body"),
        pytest.param(lambda store: list(store.list("")), SOME_BYTES, id="list"),
        pytest.param(lambda store: store.put("k", b"x"), 0, id="answer to put"),
        pytest.param(lambda store: store.delete(["k"]), 0, id="answer to delete"),
    ],
)
def test_an_answer_that_trickles_is_a_failed_attempt(
    call: Callable[[S3Store], object], at_once_bytes: int
) -> None:
    """Whatever was asked for, and wherever the trickle begins; the error says that it is slow."""
    with line_to_a_server() as line:
        line.at_once_bytes = at_once_bytes
        store = store_at(f"http://127.0.0.1:{line.port}")
        error = error_soon(lambda: call(store), at_once_bytes)
    assert error.code == "storage_too_slow"
    assert "4 KiB" in error.hint


def test_an_answer_that_trickles_over_tls_is_a_failed_attempt() -> None:
    """Where a record of TLS trickles, the wait for it is over even sooner."""
    with line_to_a_server("https") as line:
        line.at_once_bytes = SOME_BYTES
        store = store_at(f"https://127.0.0.1:{line.port}")
        error = error_soon(lambda: store.get("k"), SOME_BYTES)
    assert error.code in {"storage_too_slow", "storage_interrupted"}


def test_an_answer_that_trickles_through_a_proxy_is_a_failed_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connections to proxies are made apart from others."""
    with line_to_a_server() as line:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{line.port}")
        monkeypatch.setenv("no_proxy", "")
        store = store_at("http://s3.localhost")
        error = error_soon(lambda: store.get("k"), 0)
    assert error.code == "storage_too_slow"


def test_a_slow_but_honest_line_has_its_time() -> None:
    """An object takes much longer than any silence may, and arrives."""
    with line_to_a_server() as line:
        line.piece_bytes = 12_500
        store = store_at(f"http://127.0.0.1:{line.port}")
        began = time.monotonic()
        assert store.get("k") == BODY
        assert time.monotonic() - began > 3 * PATIENCE_S


def test_one_connection_serves_many_requests_each_in_its_own_time() -> None:
    """What an earlier request took does not count for the next."""
    with line_to_a_server() as line:
        line.trickles = False
        store = store_at(f"http://127.0.0.1:{line.port}")
        began = time.monotonic()
        while time.monotonic() - began < 1.5 * PATIENCE_S:
            assert store.get("k") == BODY


def test_an_answer_of_sts_that_trickles_is_a_failed_attempt() -> None:
    """Otherwise all who wait for keys would wait with it."""
    with line_to_a_server() as line:
        environment = {
            "AWS_ENDPOINT_URL_STS": f"http://127.0.0.1:{line.port}",
            "AWS_REGION": "eu-west-1",
        }
        client = Sts(environment, None).client(
            "sts", aws_access_key_id="AKIATEST", aws_secret_access_key="of the test"
        )
        began = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            client.get_caller_identity()
    assert time.monotonic() - began < 15
