"""What the command line expects of the wiring."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from agent.core.clock import Clock
from agent.core.flow import Stop
from agent.model.backups import BackupEntry
from agent.model.status import AgentStatus
from agent.settings import S3Settings, Settings

Document = Mapping[str, object]


class Commands(Protocol):
    """Where commands are inserted."""

    def insert(self, options: Mapping[str, object]) -> object:
        """Insert a command as an operator would, and return its ``_id``."""
        ...


class Status(Protocol):
    """What agents write of themselves."""

    def agents(self) -> Sequence[AgentStatus]:
        """Return every agent's document, also stale ones."""
        ...

    def server_now(self) -> datetime:
        """Return the primary's wall clock, UTC."""
        ...


class Catalogue(Protocol):
    """The backups that are known."""

    def entries(self) -> Sequence[BackupEntry]:
        """Return all entries, oldest consistent time first."""
        ...


class Documents(Protocol):
    """Documents of the control database as plain values that can be shown.

    Ids are texts, timestamps are ClusterTimes, dates are datetimes with a zone.
    """

    def command_id(self, text: str) -> object | None:
        """Return the ``_id`` of the command that a text names, if there is one."""
        ...

    def command(self, command_id: object) -> Document | None:
        """Return a command's whole document, if it exists."""
        ...

    def roles(self) -> Sequence[Document]:
        """Return the authorizations of roles, oldest first."""
        ...

    def schedules(self) -> Sequence[Document]:
        """Return the schedules by their names, as they were written."""
        ...

    def cluster(self) -> Document | None:
        """Return the cluster's status document, if a coordinator has written one."""
        ...


class Console(Protocol):
    """The replica set as a person at a terminal needs it; closes its connections on exit."""

    @property
    def commands(self) -> Commands:
        """Where commands are inserted."""
        ...

    @property
    def status(self) -> Status:
        """What agents write of themselves."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """The backups that are known."""
        ...

    @property
    def documents(self) -> Documents:
        """The control database's documents, to be shown."""
        ...

    def prepare(self) -> None:
        """Create the control collections with their validators. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What the verbs are made of; tests put fakes in its places."""

    load: Callable[[Path], Settings]
    config_path: Callable[[], Path]
    open_console: Callable[[Settings], AbstractContextManager[Console]]
    run_agent: Callable[[Settings, Stop], None]
    region_of: Callable[[S3Settings], str | None]
    """The region of a bucket, if settings or environment name one."""
    check_here: Callable[[Settings], Document]
    clock: Clock
    look_s: float
    """Seconds between looks at a command that is followed."""
    watch_s: float
    """Seconds between looks at a status that is watched."""
