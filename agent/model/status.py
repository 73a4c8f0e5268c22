"""What monitoring reads: one document of the cluster, one of each agent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Recoverable, Span

Level = Literal["ok", "warning", "error"]
EventLevel = Literal["info", "warning", "error"]

# Code of the problem that stands from a gap to the next full backup.
OPLOG_GAP: Final = "oplog_gap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that an operator should know; ``code`` is stable and has a runbook entry."""

    code: str
    level: Literal["warning", "error"]
    message: str
    hint: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialFacts:
    """What may be told of the keys in use: their source, whose they are, and until when.

    ``renewal_error``: why they could not be renewed when it was tried last.
    """

    source: str
    identity: str | None = None
    expires_at: datetime | None = None
    renewal_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageStatus:
    """How an agent stands with its storage; nothing secret."""

    label: str
    ok: bool
    bucket: str
    credential_source: str
    identity: str | None = None
    expires_at: datetime | None = None
    renewal_error: str | None = None
    error: str | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageAccess:
    """As whom an agent reaches a storage, so that others know.

    ``identity`` is that of the source of its keys, below any role, and None if nobody told;
    ``role`` is the ARN of the role that its configuration puts on top.
    """

    storage: str
    identity: str | None
    role: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveReport:
    """What the agent that archives the oplog tells of the archive.

    ``replset_id``: the replica set whose oplog it is. ``lag_s``: seconds since the moment up to
    which all that was acknowledged is archived, so what would be lost with the whole cluster
    now. ``window_s``: seconds that the oplog of its node reaches back. ``spans``: what the
    storage covers of this replica set's oplog. ``others``: what it covers of those that had the
    same name before, by replica set id, as it was when the archive was last looked at whole.
    """

    replset_id: str
    archived_to: ClusterTime
    archived_at: datetime
    lag_s: float
    window_s: float | None
    spans: tuple[Span, ...]
    others: Mapping[str, tuple[Span, ...]] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OplogStatus:
    """How the archive stands: ``headroom_s`` is how long it may fail before entries are lost."""

    archived_to: ClusterTime
    archived_at: datetime
    lag_s: float
    window_s: float | None
    headroom_s: float | None
    gaps: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """The document ``agent:<host:port>``.

    ``clock_skew_s``: seconds that the clock of the agent's host is ahead of the primary's.
    ``node_state_since``: when its node was first seen in ``node_state``, by the server's clock.
    ``oplog_from``: the oldest entry of its node's oplog.
    """

    name: str
    node_state: str
    node_lag_s: float | None
    priority: float
    server_version: str
    agent_version: str
    pid: int
    started_at: datetime
    updated_at: datetime
    storage: StorageStatus
    archive: ArchiveReport | None = None
    access: tuple[StorageAccess, ...] = ()
    clock_skew_s: float | None = None
    node_state_since: datetime | None = None
    oplog_from: ClusterTime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastBackup:
    """The newest backup."""

    backup_id: str
    consistent_at: ClusterTime
    finished_at: datetime
    stored_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The job that runs."""

    command_id: object
    command: str
    phase: str
    percent: float
    eta_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRun:
    """When a schedule is due next, and the name of the command that it then inserts."""

    schedule: str
    at: datetime
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """The document ``cluster``; ``told``: the problems that the webhook takes to stand."""

    replset: str
    problems: tuple[Problem, ...]
    coordinator: str
    last_backup: LastBackup | None
    recoverable: tuple[Recoverable, ...]
    running: Running | None
    archiver: str | None = None
    oplog: OplogStatus | None = None
    next_runs: tuple[NextRun, ...] = ()
    told: tuple[Problem, ...] = ()

    @property
    def open_gap(self) -> Span | None:
        """The newest gap of the archive, while no full backup has been made behind it."""
        is_open = any(problem.code == OPLOG_GAP for problem in self.problems)
        return self.oplog.gaps[-1] if is_open and self.oplog and self.oplog.gaps else None

    @property
    def state(self) -> Level:
        """The worst level among the problems."""
        levels = {problem.level for problem in self.problems}
        if "error" in levels:
            return "error"
        return "warning" if "warning" in levels else "ok"
