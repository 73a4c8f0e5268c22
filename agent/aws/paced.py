"""Answers that must come at their pace: botocore bounds each receive alone."""

from typing import Any, cast

from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)

from agent.core.pace import PacedResponse


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


class _Connection(AWSHTTPConnection):
    response_class: Any = PacedResponse


class _TlsConnection(AWSHTTPSConnection):
    response_class: Any = PacedResponse


class _Pool(AWSHTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(AWSHTTPSConnectionPool):
    ConnectionCls = _TlsConnection
