"""Errors of pymongo and bson in the agent's own words."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from agent.core.errors import AgentError, ConfigError, PermanentError, TransientError
from agent.mongo.refusals import refusals

UNAUTHORIZED: Final = 13
TYPE_MISMATCH: Final = 14
LOGIN_FAILED: Final = 18
NAMESPACE_NOT_FOUND: Final = 26
CURSOR_NOT_FOUND: Final = 43
NAMESPACE_EXISTS: Final = 48
TIME_IS_UP: Final = 50
INVALID_OPTIONS: Final = 72
VALIDATION_FAILED: Final = 121
PLAN_KILLED: Final = 175
CURSOR_KILLED: Final = 237
SNAPSHOT_TOO_OLD: Final = 239
SNAPSHOT_UNAVAILABLE: Final = 246
DUPLICATE_KEY: Final = 11000
_DISK_FULL: Final = 14031

# Code numbers: src/mongo/base/error_codes.yml of the server. These pass by themselves: elections,
# shutdowns, locks, index builds, caches under pressure, keys not yet replicated, write concerns
# not yet reached. 5254501: 6.0 cannot list the indexes of a time series while one is being built.
_TRANSIENT: Final = frozenset(
    {
        6, 7, 24, 46, 50, 63, 64, 89, 91, 94, 100, 112, 117, 133, 134, 189, 202, 205, 211, 225,
        227, 251, 262, 267, 290, 317, 334, 9001, 10058, 10107, 11600, 11601, 11602, 12587, 13435,
        13436, 5254501,
    }
)  # fmt: skip
_TRANSIENT_LABELS: Final = ("RetryableWriteError", "TransientTransactionError")

Special = Mapping[int, Callable[[OperationFailure], AgentError]]


@contextmanager
def translated(special: Special | None = None) -> Iterator[None]:
    """Raise the agent's own errors instead of pymongo's and bson's; also works as a decorator.

    ``special`` gives other translations for some of the server's error codes.
    """
    try:
        yield
    except (PyMongoError, BSONError, OverflowError) as error:
        raise translate(error, special) from error


def translate(error: Exception, special: Special | None = None) -> AgentError:
    """Return an error of pymongo or bson in the agent's own words."""
    match error:
        case OperationFailure():
            return _of_server(error, special or {})
        case NotPrimaryError():
            return TransientError("no_primary", f"the node is not primary: {_text(error)}")
        case ConnectionFailure() | WaitQueueTimeoutError():
            return _of_network(error)
        case ConfigurationError() | InvalidOperation():
            return _of_client(error)
        case BSONError() | OverflowError():
            code = "document_too_large" if isinstance(error, DocumentTooLarge) else "bad_document"
            return PermanentError(code, f"not a BSON document: {_text(error)}")
        case PyMongoError() if _has_label(error):
            return TransientError("mongodb_interrupted", _text(error))
    return PermanentError("mongodb_failed", f"{type(error).__name__}: {_text(error)}")


def server_code(error: OperationFailure) -> int:
    """Return the code that says most: of the first write error, else of the command."""
    for each in _parts(error):
        return int(each.get("code") or 0)
    return error.code or 0


def _of_server(error: OperationFailure, special: Special) -> AgentError:
    code = server_code(error)
    if code in special:
        return special[code](error)
    if code == UNAUTHORIZED:
        return _privilege_missing(error)
    if code == VALIDATION_FAILED:
        return refused_document(error)
    if code in _NAMED:
        kind, name, hint = _NAMED[code]
        return kind(name, _text(error), hint=hint, server_code=code)
    if _has_label(error) or code in _TRANSIENT or isinstance(error, WriteConcernError):
        return TransientError("mongodb_interrupted", _text(error), server_code=code)
    if isinstance(error, BulkWriteError) and not error.details.get("writeErrors"):
        return TransientError("mongodb_interrupted", _text(error), server_code=code)
    return PermanentError("mongodb_refused", _text(error), server_code=code)


_NAMED: Final[dict[int, tuple[type[TransientError | PermanentError | ConfigError], str, str]]] = {
    LOGIN_FAILED: (
        ConfigError,
        "mongodb_login_failed",
        "check user, password and authSource in mongodb.uri",
    ),
    NAMESPACE_NOT_FOUND: (PermanentError, "collection_gone", ""),
    PLAN_KILLED: (PermanentError, "collection_gone", ""),
    CURSOR_NOT_FOUND: (PermanentError, "cursor_gone", ""),
    CURSOR_KILLED: (PermanentError, "cursor_gone", ""),
    SNAPSHOT_TOO_OLD: (PermanentError, "snapshot_too_old", ""),
    # Also "pending catalogue changes": a later time reads what this one cannot.
    SNAPSHOT_UNAVAILABLE: (PermanentError, "snapshot_too_old", ""),
    TIME_IS_UP: (TransientError, "mongodb_timeout", ""),
    INVALID_OPTIONS: (PermanentError, "mongodb_invalid_options", ""),
    NAMESPACE_EXISTS: (PermanentError, "collection_exists", ""),
    DUPLICATE_KEY: (PermanentError, "duplicate_key", ""),
    _DISK_FULL: (PermanentError, "mongodb_disk_full", "make room on the primary's disk"),
}


def _of_client(error: ConfigurationError | InvalidOperation) -> AgentError:
    if isinstance(error, InvalidOperation):
        if _CLOSED in str(error):
            return TransientError("mongodb_interrupted", "the connections are made anew")
        return PermanentError("mongodb_misuse", f"the client refused: {_text(error)}")
    if _NO_SESSIONS in str(error):
        # Every server that we support has them: this one is starting, or rolls back.
        return TransientError("mongodb_interrupted", "the node is not in place yet")
    return ConfigError("mongodb_uri", f"mongodb.uri: {_text(error)}", hint="correct mongodb.uri")


def _of_network(error: PyMongoError) -> AgentError:
    text = _text(error)
    hint = "check that mongod runs and that mongodb.uri names it"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        hint = next(
            (mend for sign, mend in _CERTIFICATES.items() if sign in text),
            "name the certificate authority with tlsCAFile in mongodb.uri",
        )
    return TransientError("mongodb_unreachable", f"MongoDB cannot be reached: {text}", hint=hint)


# Source: OpenSSL, "X509_verify_cert_error_string"; and Python's ssl for names.
_CERTIFICATES: Final = {
    "mismatch": "the certificate must name the address by which the replica set knows the node, and"
    " the one in mongodb.uri",
    "has expired": "give the node a certificate that is valid",
    "not yet valid": "give the node a certificate that is valid; is the clock of this host right?",
}
# What pymongo says of a node in no state to tell how long its sessions last.
_NO_SESSIONS: Final = "Sessions are not supported"
_CLOSED: Final = "after close"
# "not authorized on shop to execute command { find: "x", ... }"; what follows may be data.
_NOT_AUTHORIZED: Final = re.compile(r"not authorized on (\S+) to execute command \{ (\w+)")
_NOT_LOGGED_IN: Final = re.compile(r"[Cc]ommand (\w+) requires authentication")


def _privilege_missing(error: OperationFailure) -> AgentError:
    text = _text(error)
    if found := _NOT_LOGGED_IN.search(text):
        return ConfigError(
            "mongodb_login_needed",
            f"{found[1]} needs a user, and mongodb.uri names none",
            hint="write mongodb://user:password@host:port/ in mongodb.uri",
        )
    if found := _NOT_AUTHORIZED.search(text):
        return PermanentError(
            "mongodb_privilege_missing",
            f"the user lacks the privilege for {found[2]} on the database {found[1]}",
            hint="grant the roles that `backstay init` prints",
            action=found[2],
            database=found[1],
        )
    return PermanentError(
        "mongodb_privilege_missing",
        f"the user lacks a privilege: {text}",
        hint="grant the roles that `backstay init` prints",
    )


def refused_document(error: OperationFailure) -> PermanentError:
    """Return what a collection's ``$jsonSchema`` refused, as sentences that name the fields."""
    sentences = refusals(_error_info(error)) or (_text(error),)
    return PermanentError("bad_command", "; ".join(sentences))


def _error_info(error: OperationFailure) -> Mapping[str, Any]:
    details: Mapping[str, Any] = error.details or {}
    for each in details.get("writeErrors") or (details,):
        info = each.get("errInfo")
        if isinstance(info, Mapping):
            return info
    return {}


def _has_label(error: PyMongoError) -> bool:
    return any(error.has_error_label(label) for label in _TRANSIENT_LABELS)


def _text(error: Exception) -> str:
    """Return the error's own sentence, without the server's whole answer behind it."""
    if isinstance(error, OperationFailure):
        for each in _parts(error):
            return str(each.get("errmsg", "")) or type(error).__name__
    text = str(error).split(", full error:", maxsplit=1)[0]
    return text.split(", Topology Description:", maxsplit=1)[0] or type(error).__name__


def _parts(error: OperationFailure) -> Iterator[Mapping[str, Any]]:
    """Yield the errors of a bulk's single writes, then those of its write concern."""
    details = error.details or {}
    for name in ("writeErrors", "writeConcernErrors"):
        yield from details.get(name) or ()
