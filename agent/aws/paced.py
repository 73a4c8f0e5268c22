"""Answers that must come at their pace: botocore bounds each receive alone."""

import io
from http.client import HTTPResponse
from typing import Any, cast

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from agent.core.pace import Pace


def pace_answers(client: object) -> None:
    """Bound each answer as a whole, its head included; to be called before the first request.

    One that is too slow fails as one that does not come within the read timeout. botocore takes
    no classes of connections from outside: both kinds, and those through proxies, come from the
    one table that is changed here. Source: botocore/httpsession.py, URLLib3Session.
    """
    endpoint = cast("Any", client)._endpoint  # noqa: SLF001 - there is no public way
    endpoint.http_session._pool_classes_by_scheme.update(  # noqa: SLF001 - the same
        http=_Pool, https=_TlsPool
    )


class _PacedBytes(io.RawIOBase):
    """What comes from a socket, which may be silent for as long as its own timeout says."""

    def __init__(self, raw: io.RawIOBase, patience_s: float) -> None:
        super().__init__()
        self._raw = raw
        self._pace = Pace(patience_s)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = cast("int | None", self._raw.readinto(buffer))
        self._pace.moved(count or 0)
        return count

    def fileno(self) -> int:
        return self._raw.fileno()

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        # urllib3 has set the read timeout by now.
        patience_s = sock.gettimeout()
        if patience_s is not None:
            self.fp = io.BufferedReader(_PacedBytes(self.fp.detach(), patience_s))


class _Connection(AWSHTTPConnection):
    response_class: Any = _Answer


class _TlsConnection(AWSHTTPSConnection):
    response_class: Any = _Answer


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TlsConnection
