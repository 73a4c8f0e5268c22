"""The lines of the campaign fail as they should: else it would find nothing."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ResponseStreamingError

from tests.campaign.lines import Line, laid_lines
from tests.campaign.plan import Kind
from tests.campaign.storage_line import StorageLine, storage_line
from tests.fakes.http_server import Answer, Request, serving
from tests.testbed.loopback import HOST
from tests.testbed.s3 import REGION, FastS3Server
from tests.testbed.waiting import eventually

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_BODY = b"what was written" * 100


@pytest.fixture(scope="module")
def server() -> Iterator[FastS3Server]:
    """A server without any fault."""
    with FastS3Server.start() as server:
        yield server


@pytest.fixture
def line(server: FastS3Server) -> Iterator[StorageLine]:
    """A line before it, all of whose faults strike."""
    _empty(server)
    with storage_line(server, seed=1, share=1.0) as line:
        yield line


def test_a_line_without_a_fault_changes_nothing(line: StorageLine) -> None:
    """An object is stored, listed, read and removed; created once, until it is removed."""
    with _client(line) as client:
        client.put_object(Bucket="lined", Key="a b/c", Body=_BODY, IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            client.put_object(Bucket="lined", Key="a b/c", Body=_BODY, IfNoneMatch="*")
        assert _BODY == client.get_object(Bucket="lined", Key="a b/c")["Body"].read()
        assert ["a b/c"] == _keys(client)
        client.delete_object(Bucket="lined", Key="a b/c")
        assert [] == _keys(client)
        client.put_object(Bucket="lined", Key="a b/c", Body=_BODY, IfNoneMatch="*")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Kind.STORAGE_500, "InternalError"),
        (Kind.STORAGE_SLOW_DOWN, "SlowDown"),
        (Kind.STORAGE_EXPIRED_TOKEN, "ExpiredToken"),
    ],
)
def test_an_error_is_answered_and_nothing_done(line: StorageLine, fault: Kind, code: str) -> None:
    """The server behind hears nothing of it."""
    with _client(line) as client:
        line.fault = fault
        with pytest.raises(ClientError, match=code):
            client.put_object(Bucket="lined", Key="never", Body=_BODY)
        line.fault = None
        assert [] == _keys(client)
        assert {fault: 1} == line.struck


@pytest.mark.parametrize("fault", [Kind.STORAGE_RESET, Kind.STORAGE_AWAY, Kind.STORAGE_LOST_ANSWER])
def test_a_broken_connection_tells_nothing(line: StorageLine, fault: Kind) -> None:
    """Only where the answer was lost the object is there."""
    with _client(line) as client:
        line.fault = fault
        with pytest.raises(ConnectionClosedError):
            client.put_object(Bucket="lined", Key="perhaps", Body=_BODY, IfNoneMatch="*")
        line.fault = None
        assert (["perhaps"] if fault is Kind.STORAGE_LOST_ANSWER else []) == _keys(client)


def test_a_body_is_cut_or_changed(line: StorageLine) -> None:
    """Half of it comes, or all with one bit that is wrong; the object stays as it was."""
    with _client(line) as client:
        client.put_object(Bucket="lined", Key="whole", Body=_BODY)
        line.fault = Kind.STORAGE_CUT_BODY
        with pytest.raises(ResponseStreamingError):
            client.get_object(Bucket="lined", Key="whole")["Body"].read()
        line.fault = Kind.STORAGE_FLIPPED_BYTE
        changed = client.get_object(Bucket="lined", Key="whole")["Body"].read()
        assert 1 == sum(old != new for old, new in zip(_BODY, changed, strict=True))
        line.fault = None
        assert _BODY == client.get_object(Bucket="lined", Key="whole")["Body"].read()


def test_a_list_lags_or_tells_old_times(line: StorageLine) -> None:
    """What was created just now is not in it; or is a year old."""
    with _client(line) as client:
        client.put_object(Bucket="lined", Key="new", Body=_BODY, IfNoneMatch="*")
        line.fault = Kind.STORAGE_STALE_LIST
        assert [] == _keys(client)
        line.fault = None
        line.is_long_ago = True
        (found,) = client.list_objects_v2(Bucket="lined")["Contents"]
        assert 2020 == found["LastModified"].year


def test_a_line_to_a_node_breaks_and_is_mended() -> None:
    """It is cut, silent or reset; what is sent to a silent one arrives when it speaks again."""
    with _echoing() as (line, say):
        assert b"one" == say(b"one")
        line.reset()
        assert None is say(b"broken")
        assert b"two" == say(b"two")
        line.cut()
        assert None is say(b"three")
        line.mend()
        assert b"four" == say(b"four")
        line.is_silent = True
        heard: list[bytes | None] = []
        thread = threading.Thread(target=lambda: heard.append(say(b"five")))
        thread.start()
        thread.join(0.3)
        assert [] == heard
        line.mend()
        assert [b"five"] == eventually(lambda: heard)
        thread.join()


def _empty(server: FastS3Server) -> None:
    client = server.client()
    names = [each["Name"] for each in client.list_buckets()["Buckets"]]
    if "lined" not in names:
        client.create_bucket(Bucket="lined")
    for each in client.list_objects_v2(Bucket="lined").get("Contents", []):
        client.delete_object(Bucket="lined", Key=each["Key"])
    client.close()


@contextmanager
def _echoing() -> Iterator[tuple[Line, Callable[[bytes], bytes | None]]]:
    """Serve behind a line what sends everything back, on a connection that is kept."""

    def answer(request: Request) -> Answer:
        return Answer(body=request.body)

    kept: list[socket.socket] = []
    with serving(answer) as server, laid_lines() as lay:
        line = lay(int(server.url.rpartition(":")[2]))

        def say(text: bytes) -> bytes | None:
            if not kept:
                kept.append(socket.create_connection((HOST, line.port), timeout=10))
            try:
                head = f"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(text)}\r\n\r\n"
                kept[0].sendall(head.encode() + text)
                heard = b""
                while not heard.endswith(text):
                    more = kept[0].recv(4096)
                    if not more:
                        raise ConnectionResetError
                    heard += more
            except OSError:
                kept.pop().close()
                return None
            return text

        yield line, say
        for each in kept:
            each.close()


@contextmanager
def _client(line: StorageLine) -> Iterator["S3Client"]:
    client = boto3.client(
        "s3",
        endpoint_url=line.endpoint_url,
        region_name=REGION,
        aws_access_key_id=line.access_key_id,
        aws_secret_access_key=line.secret_access_key,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": 1},
        ),
    )
    try:
        yield client
    finally:
        client.close()


def _keys(client: "S3Client") -> list[str]:
    return [each["Key"] for each in client.list_objects_v2(Bucket="lined").get("Contents", [])]
