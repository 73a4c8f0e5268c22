"""How requests leave: three things that botocore does otherwise, changed by its own events."""

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from botocore.awsrequest import AWSPreparedRequest

from agent.core.pace import Pace

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# One timeout covers each block of a body: small enough for slow lines, large enough for few calls.
_BLOCK_BYTES: Final = 262_144


def prepare(client: "S3Client") -> None:
    """Set a client up, before its first request. Idempotent."""
    config: Any = client.meta.config
    patience_s = config.read_timeout

    def send(request: AWSPreparedRequest, **_: object) -> None:
        _send_in_blocks(request, patience_s)

    register = client.meta.events.register
    register("before-call.s3", _stay_in_region, unique_id="backstay-region")
    register("before-send.s3.PutObject", send, unique_id="backstay-blocks")


def _stay_in_region(params: dict[str, Any], **_: object) -> None:
    # botocore looks for the right region when it is sent elsewhere, by a HEAD that looks for the
    # region when it is sent elsewhere: an endpoint that redirects http to https never ends. And
    # every request would silently be two.
    params["context"].setdefault("s3_redirect", {})["redirected"] = True


def _send_in_blocks(request: AWSPreparedRequest, patience_s: float) -> None:
    """Send a body of bytes in blocks, without copies and without asking first.

    In one piece it would leave by one ``sendall``, under one timeout for all of it: on a slow
    line 16 MiB would never arrive. All blocks together must keep their pace: TLS has a timeout for
    each 16 KiB. The question (``Expect: 100-continue``) costs a round trip,
    or a second where the server does not know it. The headers, the length among them, are set.
    """
    if "Expect" in request.headers:
        del request.headers["Expect"]
    body = request.body
    if isinstance(body, BytesIO):
        request.body = _Blocks(body.getbuffer(), patience_s)  # type: ignore[assignment]
    elif isinstance(body, bytes | bytearray):
        request.body = _Blocks(memoryview(body), patience_s)  # type: ignore[assignment]


class _Blocks:
    """A body that is read in blocks of its own size, when the one before has gone."""

    def __init__(self, view: memoryview, patience_s: float) -> None:
        self._view = view
        self._patience_s = patience_s
        self._pace: Pace | None = None
        self._at = self._left = 0

    def read(self, _size: int = -1) -> memoryview:
        """Return the next block, whatever size is asked for; an empty one at the end.

        Raises: TooSlowError.
        """
        self._pace = self._pace or Pace(self._patience_s)
        self._pace.moved(self._left)
        block = self._view[self._at : self._at + _BLOCK_BYTES]
        self._left = len(block)
        self._at += self._left
        return block

    def seek(self, at: int) -> None:
        """Go back, for a request that is signed and sent again."""
        self._at = at
