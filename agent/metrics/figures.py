"""From what an agent knows to figures: pure, and without Prometheus."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Final

from agent.model.backups import BackupEntry, newest
from agent.model.status import (
    AgentStatus,
    ClusterStatus,
    CredentialFacts,
    Level,
    Problem,
    StorageStatus,
)
from agent.model.verdict import DEPTHS, Verdict

_STATES: Final[Mapping[Level, int]] = {"ok": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of a metric, by its name without the prefix."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """What the coordinator saw, and when."""

    seen_at: datetime
    status: ClusterStatus
    entries: Sequence[BackupEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """What an agent knows of itself; ``written`` is None until its first heartbeat."""

    name: str
    version: str
    server_version: str
    written: AgentStatus | None
    is_coordinator: bool
    is_archiver: bool
    storage: StorageStatus
    credentials: Mapping[str, CredentialFacts]


def of_cluster(view: ClusterView) -> Iterator[Figure]:
    """Yield the figures of the cluster. What is not known has none."""
    status = view.status
    yield Figure("status_updated_timestamp_seconds", view.seen_at.timestamp())
    yield Figure("cluster_state", _STATES[status.state])
    yield from _of_problems(status.problems)
    ordered = sorted(view.entries, key=lambda each: each.storage)
    for storage, entries in groupby(ordered, key=lambda each: each.storage):
        yield from _of_backups(storage, tuple(entries))
    yield from _of_recoverable(status)
    yield from _of_oplog(status)
    if status.running is not None:
        command = {"command": status.running.command}
        yield Figure("running_progress_ratio", status.running.percent / 100, command)


def of_agent(view: AgentView) -> Iterator[Figure]:
    """Yield the figures of one agent."""
    labels = {"agent": view.name, "version": view.version, "server_version": view.server_version}
    yield Figure("agent_info", 1, labels)
    yield Figure("coordinator", view.is_coordinator)
    yield Figure("archiver", view.is_archiver)
    if view.written is not None:
        yield Figure("heartbeat_timestamp_seconds", view.written.updated_at.timestamp())
        if view.written.node_lag_s is not None:
            yield Figure("node_lag_seconds", view.written.node_lag_s)
    yield Figure("storage_up", view.storage.ok, {"storage": view.storage.label})
    for storage, keys in view.credentials.items():
        own = {"storage": storage}
        yield Figure("credentials_renewal_failing", keys.renewal_error is not None, own)
        if keys.expires_at is not None:
            yield Figure("credentials_expiry_timestamp_seconds", keys.expires_at.timestamp(), own)


def _of_problems(problems: Sequence[Problem]) -> Iterator[Figure]:
    found = sorted((each.code, each.level) for each in problems)
    for (code, level), same in groupby(found):
        yield Figure("problems", len(tuple(same)), {"code": code, "level": level})


def _of_backups(storage: str, entries: Sequence[BackupEntry]) -> Iterator[Figure]:
    own = {"storage": storage}
    yield Figure("backups", len(entries), own)
    yield Figure("backups_stored_bytes", sum(each.stored_bytes for each in entries), own)
    yield Figure("backups_damaged", sum(each.is_damaged for each in entries), own)
    last = newest([each for each in entries if not each.namespaces and not each.is_damaged])
    if last is not None:
        yield Figure("last_backup_timestamp_seconds", last.consistent_at.seconds, own)
        took = last.finished_at - last.started_at
        yield Figure("last_backup_duration_seconds", took.total_seconds(), own)
        yield Figure("last_backup_size_bytes", last.bytes, own)
        yield Figure("last_backup_stored_bytes", last.stored_bytes, own)
    yield from _of_verdicts(storage, [each for entry in entries for each in entry.verdicts])


def _of_verdicts(storage: str, verdicts: Sequence[Verdict]) -> Iterator[Figure]:
    for depth in DEPTHS:
        as_deep = [each for each in verdicts if each.depth == depth]
        if as_deep:
            last = max(as_deep, key=lambda each: each.checked_at)
            own = {"storage": storage, "depth": depth}
            yield Figure("last_verify_timestamp_seconds", last.checked_at.timestamp(), own)
            yield Figure("last_verify_sound", last.is_sound, own)


def _of_recoverable(status: ClusterStatus) -> Iterator[Figure]:
    yield Figure("recoverable_ranges", len(status.recoverable))
    if not status.recoverable:
        yield Figure("recoverable_seconds", 0)
        return
    last = status.recoverable[-1]
    yield Figure("recoverable_seconds", last.last.seconds - last.begin.seconds)
    yield Figure("recoverable_begin_timestamp_seconds", last.begin.seconds)
    yield Figure("recoverable_end_timestamp_seconds", last.last.seconds)


def _of_oplog(status: ClusterStatus) -> Iterator[Figure]:
    oplog = status.oplog
    if oplog is None:
        return
    yield Figure("archive_lag_seconds", oplog.lag_s)
    yield Figure("archive_last_timestamp_seconds", oplog.archived_to.seconds)
    yield Figure("archive_gaps", len(oplog.gaps))
    if oplog.window_s is not None:
        yield Figure("oplog_window_seconds", oplog.window_s)
    if oplog.headroom_s is not None:
        yield Figure("oplog_headroom_seconds", oplog.headroom_s)
