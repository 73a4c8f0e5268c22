"""A webhook: one POST for each notice, over verified TLS, without redirects."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent.core.errors import PermanentError, TransientError
from agent.core.pace import PacedResponse
from agent.ports.outside import Postbox

# Source: RFC 9110 and RFC 6585: the same request may succeed later.
_LATER: Final = frozenset({408, 425, 429})
_FIRST_OK: Final = 200
_FIRST_REDIRECT: Final = 300
_FIRST_OF_SERVER: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to post; ``url`` and ``headers`` may hold secrets. ``timeout_s`` is per answer.

    A large or slow answer has a second more for each 4 KiB.
    """

    url: str
    headers: Mapping[str, str]
    ca_file: Path | None
    timeout_s: float
    agent_version: str

    def __repr__(self) -> str:
        return "Address(***)"


class Webhook:
    """Posts to one URL; a connection for each, since notices are rare."""

    def __init__(self, address: Address) -> None:
        self._address = address
        parts = urlsplit(address.url)
        self._is_tls = parts.scheme == "https"
        self._netloc = parts.netloc
        # Whatever names the receiver's customer stands in here, and so does the secret.
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def host(self) -> str:
        """Host, and port if one is given."""
        return self._netloc

    def post(self, notice_id: str, body: bytes) -> None:
        """Deliver once. Raises: TransientError, PermanentError."""
        try:
            status = self._exchange(notice_id, body)
        except (OSError, HTTPException) as error:
            raise TransientError(
                "webhook_unreachable",
                f"{self.host} does not answer: {_why(error)}",
                hint="the notice is sent again by itself",
            ) from error
        if _FIRST_OK <= status < _FIRST_REDIRECT:
            return
        if status in _LATER or status >= _FIRST_OF_SERVER:
            raise TransientError(
                "webhook_unreachable",
                f"{self.host} answers with status {status}",
                hint="the notice is sent again by itself",
            )
        moved = " (redirects are not followed)" if status < 400 else ""  # noqa: PLR2004
        raise PermanentError(
            "webhook_refused",
            f"{self.host} answers with status {status}{moved}",
            hint="is notify.url, or a header, right?",
        )

    def _exchange(self, notice_id: str, body: bytes) -> int:
        connection = self._connection()
        # A receiver that trickles would hold up all further notices.
        connection.response_class = PacedResponse
        try:
            headers = {
                "User-Agent": f"backstay/{self._address.agent_version}",
                **self._address.headers,
                "Content-Type": "application/json",
                "Idempotency-Key": notice_id,
            }
            connection.request("POST", self._target, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        timeout_s = self._address.timeout_s
        if not self._is_tls:
            return HTTPConnection(self._netloc, timeout=timeout_s)
        trusted = ssl.create_default_context(cafile=self._address.ca_file)
        return HTTPSConnection(self._netloc, timeout=timeout_s, context=trusted)


def _why(error: OSError | HTTPException) -> str:
    """Name the fault; texts of the libraries may repeat what was asked for."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return "timed out"
    text = error.strerror if isinstance(error, OSError) else None
    return text or type(error).__name__


def _proves(address: Address) -> Postbox:
    return Webhook(address)
