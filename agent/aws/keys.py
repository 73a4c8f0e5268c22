"""Keys as values, and why a source has none."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from botocore import exceptions as boto
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError
from botocore.utils import parse_to_aware_datetime
from urllib3.exceptions import HTTPError

# What a provider of botocore may fail with: besides its own errors a file that cannot be read, an
# answer that is not what it should be, and a RuntimeError for keys that come expired.
FAILURES: Final = (
    BotoCoreError,
    ClientError,
    HTTPError,
    ResponseParserError,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
)
# By which AWS says that temporary keys, or a web identity token, are over.
EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"})
# By which S3 and STS say that they do not know the id of a key: it was deleted, or is another's.
UNKNOWN_KEY: Final = frozenset({
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
})
# What STS asks to send again: too many requests, or the identity provider did not answer it.
_SLOW_DOWN: Final = frozenset({
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "IDPCommunicationError",
    "IDPCommunicationErrorException",
})
_LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A set of keys, none of which shows in ``repr``; ``source`` says who gave it."""

    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    account_id: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    source: str = ""

    def is_over(self, now: datetime) -> bool:
        """Whether the keys say themselves that they are of no use any more."""
        return self.expires_at is not None and self.expires_at <= now


class NoKeysError(Exception):
    """A source gave no keys.

    ``is_set``: somebody meant this source to be used. ``is_passing``: it may answer later.
    """

    def __init__(self, reason: str, *, is_set: bool = True, is_passing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_set = is_set
        self.is_passing = is_passing


class TokenExpiredError(NoKeysError):
    """The web identity token is over: a fresh one must be put into its file."""


def keys_of(credentials: Credentials) -> Keys:
    """Return what botocore's credentials hold now, fetched if they were not yet.

    Raises: any of FAILURES.
    """
    frozen = credentials.get_frozen_credentials()
    if not frozen.access_key or not frozen.secret_key:
        raise NoKeysError("the keys are empty")
    expires_at = None
    if isinstance(credentials, RefreshableCredentials):
        # Told nowhere else; read after the keys, which may have been renewed for them.
        expires_at = getattr(credentials, "_expiry_time", None)
    return Keys(
        access_key_id=frozen.access_key,
        secret_access_key=frozen.secret_key,
        session_token=frozen.token or None,
        account_id=frozen.account_id,
        expires_at=expires_at,
    )


def keys_in(metadata: Mapping[str, Any]) -> Keys:
    """Return the keys that one of botocore's fetchers brought."""
    return Keys(
        access_key_id=metadata["access_key"],
        secret_access_key=metadata["secret_key"],
        session_token=metadata["token"],
        account_id=metadata.get("account_id"),
        expires_at=parse_to_aware_datetime(metadata["expiry_time"]),
    )


def answer_code(error: ClientError) -> str:
    """Return the code in an answer of AWS."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_passing(error: Exception) -> bool:
    """Whether the same request may be answered later."""
    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return status >= 500 or answer_code(error) in _SLOW_DOWN  # noqa: PLR2004 - their failures
    return isinstance(
        error, boto.ConnectionError | boto.HTTPClientError | HTTPError | ResponseParserError
    )


def told(error: Exception) -> str:
    """Return what an error says, in one line of bounded length."""
    if isinstance(error, ClientError):
        said = error.response.get("Error", {}).get("Message", "") or "no reason given"
        text = f"{error.operation_name}: {answer_code(error)}: {said}"
    elif isinstance(error, KeyError):
        text = f"the answer has no {error}"
    elif isinstance(error, OSError) and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error) or type(error).__name__
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}..."
