"""A control database in memory, as the command line sees it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

from agent.cli.console import Console, Document
from agent.core.errors import AgentError
from agent.model.backups import BackupEntry
from agent.model.status import AgentStatus

NOW = datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)


@dataclass
class FakeDocuments:
    """Documents as they were put; each look at a command makes the next change of its script."""

    stored: dict[str, dict[str, object]] = field(default_factory=dict)
    script: list[Mapping[str, object] | BaseException] = field(default_factory=list)
    cluster_document: Document | None = None
    clusters: list[Document | BaseException | None] = field(default_factory=list)
    """What looks at the cluster find, one after the other, before `cluster_document`."""
    role_documents: list[Document] = field(default_factory=list)
    schedule_documents: list[Document] = field(default_factory=list)

    def command_id(self, text: str) -> object | None:
        """Return the id of a command that is there."""
        return text if text in self.stored else None

    def command(self, command_id: object) -> Document | None:
        """Return a command, after the next change of the script."""
        if self.script:
            change = self.script.pop(0)
            if isinstance(change, BaseException):
                raise change
            if str(command_id) in self.stored:
                self.stored[str(command_id)].update(change)
        return self.stored.get(str(command_id))

    def roles(self) -> list[Document]:
        """Return the authorizations that were put there."""
        return self.role_documents

    def schedules(self) -> list[Document]:
        """Return the schedules that were put there."""
        return self.schedule_documents

    def cluster(self) -> Document | None:
        """Return the cluster's document."""
        if self.clusters:
            found = self.clusters.pop(0)
            if isinstance(found, BaseException):
                raise found
            return found
        return self.cluster_document


@dataclass
class FakeConsole:
    """Commands, status, backups and documents of one imagined replica set."""

    documents: FakeDocuments = field(default_factory=FakeDocuments)
    inserted: list[Mapping[str, object]] = field(default_factory=list)
    agent_list: list[AgentStatus] = field(default_factory=list)
    entry_list: list[BackupEntry] = field(default_factory=list)
    prepared_count: int = 0
    now: datetime = NOW
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def commands(self) -> "FakeConsole":
        """This console itself."""
        return self

    @property
    def status(self) -> "FakeConsole":
        """This console itself."""
        return self

    @property
    def catalogue(self) -> "FakeConsole":
        """This console itself."""
        return self

    def insert(self, options: Mapping[str, object]) -> object:
        """Keep a command under a new id."""
        self.inserted.append(options)
        command_id = f"{next(self._numbers):024x}"
        self.documents.stored[command_id] = {"_id": command_id, **options}
        return command_id

    def agents(self) -> list[AgentStatus]:
        """Return the agents."""
        return self.agent_list

    def server_now(self) -> datetime:
        """Return the imagined time."""
        return self.now

    def entries(self) -> list[BackupEntry]:
        """Return the backups."""
        return self.entry_list

    def prepare(self) -> None:
        """Count that it was asked for."""
        self.prepared_count += 1

    @contextmanager
    def opened(self, error: AgentError | None = None) -> Iterator[Console]:
        """Give this console for a context, or fail as a connection would."""
        if error is not None:
            raise error
        yield self
