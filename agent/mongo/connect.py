"""Clients: one to the agent's own node, one to the replica set that it belongs to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient
from pymongo.errors import ConfigurationError, InvalidURI
from pymongo.uri_parser import split_options

from agent.core.errors import ConfigError, TransientError
from agent.mongo.errors import translated

Document = dict[str, Any]
Client = MongoClient[Document]

# Documents of the control database. A date that Python cannot hold, or a broken text, in an
# operator's document must not keep the others from being read.
PLAIN: Final[CodecOptions[Document]] = CodecOptions(
    document_class=dict,
    tz_aware=True,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
# Documents whose bytes are kept.
RAW: Final[CodecOptions[RawBSONDocument]] = CodecOptions(
    document_class=RawBSONDocument,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)

# Snapshot reads outside transactions came with 5.0.
_OLDEST_SERVER: Final = (5, 0)
_APP_NAME: Final = "backstay"
# Longer than an election of a healthy set, shorter than a lease.
_SELECTION_MS: Final = 5_000
_CONNECT_MS: Final = 5_000
# A primary that froze is found out after this and the time to connect.
_HEARTBEAT_MS: Final = 3_000
_WRITE_CONCERN_MS: Final = 10_000
_SOCKET_S: Final = 30.0
# Otherwise each node that ever was primary keeps as many connections as its busiest moment needed.
_IDLE_MS: Final = 60_000
# Those of which the last would count, if one stood there twice: a "tls" must not be undone unseen.
_SINGLE: Final = frozenset({
    "ssl",
    "tls",
    "tlsinsecure",
    "tlsallowinvalidcertificates",
    "tlsallowinvalidhostnames",
})
# What takes from TLS the proof that the server is the one that was meant.
_TRUSTING: Final = {
    "tlsinsecure": "tlsInsecure",
    "tlsallowinvalidcertificates": "tlsAllowInvalidCertificates",
    "tlsallowinvalidhostnames": "tlsAllowInvalidHostnames",
}
_TOPOLOGY: Final = re.compile(r"(directConnection|loadBalanced|replicaSet)=", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnNode:
    """What the agent's own node says of itself.

    ``name`` is its ``host:port`` as the replica set knows it, and so the agent's; ``hosts`` are
    the members that hold data and are not hidden, ``name`` itself always among them.
    """

    name: str
    replset: str
    hosts: tuple[str, ...]
    server_version: str


def open_node(uri: str, *, socket_timeout_s: float | None = _SOCKET_S) -> Client:
    """Return a client of one node alone; nothing is sent yet.

    ``socket_timeout_s`` bounds the wait for an answer; None waits while the node lives.

    Raises: ConfigError ``mongodb_uri``.
    """
    _, hosts, _ = _parts(uri)
    if "," in hosts:
        raise _bad_uri(
            "mongodb.uri names several nodes",
            "name this node only; the others are found through it",
        )
    return _open(uri, socket_timeout_s, directConnection=True)


def open_cluster(
    uri: str, hosts: Sequence[str], replset: str, *, socket_timeout_s: float | None = _SOCKET_S
) -> Client:
    """Return a client of the whole replica set, as the same user and with the same options.

    Reads and writes go to the primary, writes with majority concern. Nothing is sent yet.

    Raises: ConfigError ``mongodb_uri``.
    """
    user, _, rest = _parts(uri)
    path, mark, options = rest.partition("?")
    # What a URI may say of the way to one node does not hold for the whole set.
    kept = (each for each in options.split("&") if not _TOPOLOGY.match(each))
    return _open(
        f"mongodb://{user}{','.join(hosts)}{path}{mark}{'&'.join(kept)}",
        socket_timeout_s,
        directConnection=False,
        replicaSet=replset,
    )


def unverified(uri: str) -> tuple[str, ...]:
    """Return the options of a URI by which servers are believed that prove nothing."""
    options = (each.partition("=") for each in uri.partition("?")[2].split("&"))
    return tuple(
        _TRUSTING[name.lower()]
        for name, _, value in options
        if name.lower() in _TRUSTING and value.lower() == "true"
    )


def _open(uri: str, socket_timeout_s: float | None, **options: object) -> Client:
    _check_options(uri)
    timeout_ms = None if socket_timeout_s is None else int(1000 * socket_timeout_s)
    fixed: dict[str, Any] = {
        "appname": _APP_NAME,
        "connect": False,
        "w": "majority",
        "wTimeoutMS": _WRITE_CONCERN_MS,
        "readPreference": "primary",
        "retryWrites": True,
        "retryReads": True,
        "serverSelectionTimeoutMS": _SELECTION_MS,
        "connectTimeoutMS": _CONNECT_MS,
        "heartbeatFrequencyMS": _HEARTBEAT_MS,
        "maxIdleTimeMS": _IDLE_MS,
        "socketTimeoutMS": timeout_ms,
        "document_class": dict,
        "tz_aware": True,
        "uuidRepresentation": "unspecified",
        "unicode_decode_error_handler": "replace",
        "datetime_conversion": DatetimeConversion.DATETIME_AUTO,
        **options,
    }
    with translated():
        try:
            return MongoClient(uri, **fixed)
        except OSError as error:
            raise _bad_file(error) from error
        except (InvalidURI, ValueError, TypeError):
            # Not "from" it: the text of these may repeat the URI, and so the password.
            raise _bad_uri("mongodb.uri is not a MongoDB URI", _URI_HINT) from None


def _check_options(uri: str) -> None:
    """Refuse an option that pymongo would only warn of: a misspelt "tls" must not be none."""
    _, _, options = uri.partition("?")
    names = [each.partition("=")[0].lower() for each in options.split("&")]
    if not all(_OPTION.fullmatch(name) for name in names if name):
        # A "?" in a password that is not percent-encoded: what follows must not be repeated.
        raise _bad_uri("mongodb.uri is not a MongoDB URI", _URI_HINT)
    twice = next((name for name in names if name in _SINGLE and names.count(name) > 1), None)
    if twice is not None:
        raise _bad_uri(f"mongodb.uri has the option {twice} twice", "keep one of them")
    try:
        split_options(options, warn=False) if options else None
    except OSError as error:
        raise _bad_file(error) from error
    except (ConfigurationError, ValueError) as error:
        if "@" in options:
            raise _bad_uri("mongodb.uri is not a MongoDB URI", _URI_HINT) from None
        hint = "options are those of MongoDB's connection strings"
        raise _bad_uri(f"an option of mongodb.uri is wrong: {error}", hint) from error


def _bad_file(error: OSError) -> ConfigError:
    named = f"{error.filename}: " if error.filename else ""
    return _bad_uri(
        f"a TLS file that mongodb.uri names is of no use: {named}{error.strerror}",
        "tlsCAFile holds certificates, tlsCertificateKeyFile one and its key, both as PEM",
    )


_OPTION: Final = re.compile(r"[A-Za-z]+")
_URI_HINT: Final = "write it as mongodb://[user:password@]host:port/[?options], percent-encoded"


def _parts(uri: str) -> tuple[str, str, str]:
    """Split into user with "@" (may be empty), hosts, and the rest from "/" or "?" on."""
    scheme, mark, tail = uri.partition("://")
    if scheme == "mongodb+srv":
        raise _bad_uri(
            "mongodb.uri names a whole cluster", "name this node only, with mongodb://host:port/"
        )
    if scheme != "mongodb" or not mark:
        raise _bad_uri("mongodb.uri does not begin with mongodb://", _URI_HINT)
    # A password may hold "/" or "?" only percent-encoded, so the first of them ends the hosts.
    end = min((tail.index(sign) for sign in "/?" if sign in tail), default=len(tail))
    user, at, hosts = tail[:end].rpartition("@")
    if not hosts:
        raise _bad_uri("mongodb.uri names no host", _URI_HINT)
    return user + at, hosts, tail[end:]


def _bad_uri(message: str, hint: str) -> ConfigError:
    return ConfigError("mongodb_uri", message, hint=hint, field="mongodb.uri")


def own_node(client: Client) -> OwnNode:
    """Ask a node what it is; it must hold data in a replica set of a server that we support.

    Raises: ConfigError ``mongodb_standalone``, ``mongodb_arbiter``, ``mongodb_is_mongos``,
    ``mongodb_too_old``, ``mongodb_login_failed``; TransientError ``mongodb_uninitiated`` or
    ``mongodb_unreachable``: wait, the node may be starting.
    """
    with translated():
        # What a node is shows before the login; an arbiter, for one, refuses every login.
        _refuse_unsuitable(_kind(client))
        hello = client.admin.command("hello")
        version = str(client.admin.command("buildInfo")["version"])
    if "setName" not in hello:
        _refuse_unsuitable("RSGhost" if hello.get("isreplicaset") else "Standalone")
    if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST_SERVER:
        raise _unsuitable("mongodb_too_old", f"is MongoDB {version}", "MongoDB 5.0 is the oldest")
    name = str(hello["me"])
    hosts = {name, *hello.get("hosts", ()), *hello.get("passives", ())}
    return OwnNode(
        name=name,
        replset=str(hello["setName"]),
        hosts=tuple(sorted(hosts)),
        server_version=version,
    )


def _kind(client: Client) -> str:
    """Return the kind of a directly connected server, in pymongo's words; logs in nowhere."""
    _ = client.address  # waits until the server has said what it is
    servers = client.topology_description.server_descriptions().values()
    return next((server.server_type_name for server in servers), "Unknown")


def _refuse_unsuitable(kind: str) -> None:
    match kind:
        case "Mongos" | "LoadBalancer":
            raise _unsuitable("mongodb_is_mongos", "is a mongos", "name a member of a replica set")
        case "RSArbiter":
            raise _unsuitable(
                "mongodb_arbiter", "is an arbiter and holds no data", "no agent is needed beside it"
            )
        case "Standalone":
            raise _unsuitable(
                "mongodb_standalone",
                "is not a member of a replica set",
                "start mongod with --replSet",
            )
        case "RSGhost":
            raise TransientError(
                "mongodb_uninitiated",
                "the replica set is not initiated yet, or this node was removed from it",
                hint="run rs.initiate() or rs.add(); the agent waits",
            )


def _unsuitable(code: str, what: str, hint: str) -> ConfigError:
    return ConfigError(code, f"the node of mongodb.uri {what}", hint=hint, field="mongodb.uri")
