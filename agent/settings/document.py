"""The whole configuration file of a node as a frozen value."""

import re
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, PrivateAttr, SecretStr, field_validator, model_validator

from agent.settings.notices import HooksSettings, NotifySettings
from agent.settings.shape import Block, refused
from agent.settings.storage import StorageSettings

_SERVER_DATABASES: Final = frozenset({"admin", "local", "config"})
# Source: MongoDB manual, "Naming Restrictions": at most 63 bytes, none of these characters (the
# ones that only Windows refuses among them, so that a cluster may move).
_LONGEST_DATABASE_BYTES: Final = 63
# A name or an address; one of IPv6 in brackets.
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_BAD_IN_DATABASE: Final = re.compile(r'[/\\. "$*<>:|?\x00]')


class MongodbSettings(Block):
    """How to reach this node.

    The address comes from exactly one place: ``$BACKSTAY_MONGODB_URI`` if it is set, else
    ``uri`` or ``uri_file``, of which a file may have one; else, under systemd, the credential
    ``backstay-mongodb-uri``.
    """

    uri: SecretStr = Field(
        description="mongodb:// address of this node alone, with user and options."
    )
    uri_file: Annotated[Path, Field(strict=False)] | None = Field(
        default=None,
        description="File that holds the address, so that the password stands elsewhere.",
    )

    @field_validator("uri")
    @classmethod
    def _uri_names_one_node(cls, uri: SecretStr) -> SecretStr:
        scheme, mark, rest = uri.get_secret_value().partition("://")
        if scheme == "mongodb+srv":
            raise refused("must name this node alone, as mongodb://host:port/, not a cluster (srv)")
        if scheme != "mongodb" or not mark:
            raise refused("must begin with mongodb://")
        hosts = rest.split("/", 1)[0].split("?", 1)[0].rpartition("@")[2]
        if not hosts:
            raise refused("must name a host, as mongodb://host:port/")
        if "," in hosts:
            raise refused("must name this node alone; every node has an agent of its own")
        return uri


class ControlSettings(Block):
    """The database through which operators and agents talk."""

    database: str = Field(
        default="backstay", description="Name of the control database, the same on every node."
    )
    poll_interval_s: float = Field(
        default=1.0,
        ge=0.1,
        le=60,
        description="Seconds between looks for new commands. 1 costs nothing measurable and"
        " keeps the wait under two seconds.",
    )
    command_ttl_s: float = Field(
        default=3600.0,
        ge=10,
        le=604800,
        description="Seconds after which a command that nobody took expires, unexecuted.",
    )

    @field_validator("database")
    @classmethod
    def _database_is_a_name(cls, name: str) -> str:
        if not name:
            raise refused("must not be empty")
        if name.lower() in _SERVER_DATABASES:
            raise refused(f"must not be {name}, which belongs to the server")
        if _BAD_IN_DATABASE.search(name):
            raise refused('must not have spaces or any of / \\ . " $ * < > : | ?')
        if len(name.encode()) > _LONGEST_DATABASE_BYTES:
            raise refused(f"must not be longer than {_LONGEST_DATABASE_BYTES} bytes")
        return name


class OplogSettings(Block):
    """The continuous archive of the oplog."""

    enabled: bool = Field(default=True, description="Whether the oplog is archived.")
    upload_interval_s: float = Field(
        default=5.0,
        ge=0.2,
        le=3600,
        description="Seconds of writes that may be lost with the whole cluster.",
    )
    segment_max_bytes: int = Field(
        default=16_777_216,
        ge=1_048_576,
        le=268_435_456,
        description="Uncompressed bytes after which a segment is uploaded at once; a segment"
        " is held in memory.",
    )
    backup_after_gap: bool = Field(
        default=True,
        description="Whether a full backup starts by itself after a gap in the archive: until"
        " there is one, nothing after the gap can be restored.",
    )


class CompressionSettings(Block):
    """How chunks and segments are compressed."""

    algorithm: Literal["zstd"] = Field(default="zstd", description="Only zstd.")
    level: int = Field(
        default=1,
        ge=1,
        le=19,
        description="1 (fast) to 19 (small). 1 keeps up with the reads of four workers on two"
        " cores and leaves about a tenth more bytes than 3.",
    )


class BackupSettings(Block):
    """What this node does for a backup."""

    workers: int = Field(
        default=4,
        ge=1,
        le=16,
        description="Threads that read, compress and upload at once; each holds some 30 MiB.",
    )
    compression: CompressionSettings = Field(
        default=CompressionSettings(), description="How objects are compressed."
    )
    priority: int = Field(
        default=1,
        ge=0,
        le=100,
        description="Only the healthy nodes with the highest number read; 0 = never this one.",
    )
    use_primary: Literal["always", "when_alone", "never"] = Field(
        default="when_alone",
        description="Whether the primary is read from: when_alone = only if no secondary can.",
    )


class MetricsSettings(Block):
    """Figures for Prometheus."""

    listen: str | None = Field(
        default="127.0.0.1:9216",
        description="host:port to serve /metrics on, to whoever can reach it; null = off.",
    )

    @field_validator("listen")
    @classmethod
    def _listen_has_a_port(cls, listen: str | None) -> str | None:
        if listen is None:
            return None
        host, _, port = listen.rpartition(":")
        is_port = port.isascii() and port.isdecimal() and 0 < int(port) <= 65535  # noqa: PLR2004
        if not is_port or _HOST.fullmatch(host) is None:
            raise refused("must be host:port, as 127.0.0.1:9216 or [::1]:9216, or null")
        return listen


class LogSettings(Block):
    """Logs on standard output."""

    format: Literal["json", "console"] = Field(
        default="json", description="json for machines, console for people."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is logged."
    )


class Settings(Block):
    """Everything that an agent is told."""

    mongodb: MongodbSettings
    control: ControlSettings = Field(default=ControlSettings())
    storage: StorageSettings
    extra_storages: Annotated[tuple[StorageSettings, ...], Field(strict=False)] = Field(
        default=(), description="Further storages, with labels of their own."
    )
    oplog: OplogSettings = Field(default=OplogSettings())
    backup: BackupSettings = Field(default=BackupSettings())
    metrics: MetricsSettings = Field(default=MetricsSettings())
    notify: NotifySettings | None = Field(default=None)
    hooks: HooksSettings = Field(default=HooksSettings())
    log: LogSettings = Field(default=LogSettings())

    _ignored: tuple[str, ...] = PrivateAttr(default=())
    _file: Path = PrivateAttr(default=Path())

    @property
    def ignored(self) -> tuple[str, ...]:
        """Full names of settings in the file that have no meaning here, for a warning."""
        return self._ignored

    @property
    def file(self) -> Path:
        """The file that they were read from."""
        return self._file

    @property
    def storages(self) -> tuple[StorageSettings, ...]:
        """Every storage, the main one first."""
        return (self.storage, *self.extra_storages)

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        seen: set[str] = set()
        for storage in self.storages:
            if storage.label in seen:
                raise refused(f"storage and extra_storages use the label {storage.label!r} twice")
            seen.add(storage.label)
        return self

    @model_validator(mode="after")
    def _places_differ(self) -> Self:
        labels: dict[tuple[str, ...], str] = {}
        for storage in self.storages:
            other = labels.setdefault(storage.place, storage.label)
            if other != storage.label:
                raise refused(
                    f"the storages {other!r} and {storage.label!r} are the same place; give one"
                    " of them another prefix, bucket or path"
                )
        return self
