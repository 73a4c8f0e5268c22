"""The cluster's status: what monitoring needs to see at a glance."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from agent.model.backups import BackupEntry, newest
from agent.model.coverage import Recoverable
from agent.model.nodes import STALE_S
from agent.model.status import (
    AgentStatus,
    ClusterStatus,
    LastBackup,
    Problem,
    Running,
)
from agent.ports import BackupCatalogue, StatusBoard


class Overview:
    """Gathers the cluster's status; remembers since when each problem stands."""

    def __init__(self, replset: str, status: StatusBoard, catalogue: BackupCatalogue) -> None:
        self._replset = replset
        self._status = status
        self._catalogue = catalogue
        self._known: dict[tuple[str, str], Problem] = {}

    def look(self, coordinator: str, running: Running | None) -> ClusterStatus:
        """Return the status as of now."""
        entries = self._catalogue.entries()
        found = problems_of(self._status.agents(), entries, self._status.server_now())
        known = {(one.code, one.message): self._dated(one) for one in found}
        self._known = known
        return ClusterStatus(
            replset=self._replset,
            problems=tuple(known.values()),
            coordinator=coordinator,
            last_backup=_last(entries),
            recoverable=_recoverable(entries),
            running=running,
        )

    def _dated(self, problem: Problem) -> Problem:
        old = self._known.get((problem.code, problem.message))
        return replace(problem, since=old.since) if old else problem


def problems_of(
    agents: Sequence[AgentStatus], entries: Sequence[BackupEntry], now: datetime
) -> list[Problem]:
    """Return what an operator should know, as of ``now`` by the server's clock."""
    found: list[Problem] = []
    for agent in agents:
        if now - agent.updated_at > timedelta(seconds=STALE_S):
            found.append(
                Problem(
                    code="agent_missing",
                    level="warning",
                    message=f"the agent of {agent.name} has not been heard of",
                    hint="start it there, or delete its document in status if the node is gone",
                    since=agent.updated_at,
                )
            )
        elif not agent.storage.ok:
            found.append(
                Problem(
                    code="storage_unreachable",
                    level="error",
                    message=f"the agent of {agent.name} cannot use storage {agent.storage.label}",
                    hint=agent.storage.error or "",
                    since=now,
                )
            )
    if not entries:
        found.append(
            Problem(
                code="no_backup",
                level="warning",
                message="there is no backup",
                hint='insert {command: "backup"} into commands',
                since=now,
            )
        )
    return found


def _last(entries: Sequence[BackupEntry]) -> LastBackup | None:
    last = newest(entries)
    if last is None:
        return None
    return LastBackup(
        backup_id=last.backup_id,
        consistent_at=last.consistent_at,
        finished_at=last.finished_at,
        stored_bytes=last.stored_bytes,
    )


def _recoverable(entries: Sequence[BackupEntry]) -> tuple[Recoverable, ...]:
    times = sorted({entry.consistent_at for entry in entries})
    return tuple(Recoverable(begin=time, last=time) for time in times)
