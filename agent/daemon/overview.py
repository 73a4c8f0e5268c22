"""The cluster's status: what monitoring needs to see at a glance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agent.daemon.problems import (
    ARCHIVE_STOPPED,
    ArchiveRules,
    ArchiveView,
    Known,
    problems_of,
)
from agent.model.archive import (
    Told,
    as_of,
    newest_told,
    open_gap,
    oplog_status,
    recoverable_from,
)
from agent.model.backups import BackupEntry, newest
from agent.model.commands import Ended
from agent.model.leases import ARCHIVER
from agent.model.status import (
    AgentStatus,
    ClusterStatus,
    LastBackup,
    Problem,
    Running,
)
from agent.model.timetable import Timetable, next_runs_of
from agent.ports import NO_INSTRUMENTS, BackupCatalogue, Instruments, LeaseStore, StatusBoard


@dataclass(frozen=True, slots=True, kw_only=True)
class OverviewPorts:
    """What the overview looks at; ``storage`` is the label of the main storage.

    ``last_backup`` tells how the last backup command ended; ``further`` tells problems that this
    agent itself has as the coordinator.
    """

    replset: str
    storage: str
    archive: ArchiveRules
    status: StatusBoard
    catalogue: BackupCatalogue
    leases: LeaseStore
    last_backup: Callable[[], Ended | None] = lambda: None
    further: Callable[[], Sequence[Problem]] = tuple
    instruments: Instruments = NO_INSTRUMENTS


class Overview:
    """Gathers the cluster's status; remembers since when each problem stands."""

    def __init__(self, ports: OverviewPorts) -> None:
        self._ports = ports
        self._known: dict[tuple[str, str], Problem] = {}
        self._told: Told | None = None
        self._idle_since: datetime | None = None

    def take_over(self, standing: Sequence[Problem]) -> None:
        """Begin to coordinate: what stood under the coordinator before goes on from then."""
        self._known = {(one.code, one.message): one for one in standing}
        # Otherwise this problem would be gone until the new coordinator has waited as long.
        self._idle_since = next(
            (one.since for one in standing if one.code == ARCHIVE_STOPPED), None
        )

    def look(
        self,
        coordinator: str,
        running: Running | None,
        timetable: Timetable | None = None,
        further: Sequence[Problem] = (),
    ) -> ClusterStatus:
        """Return the status as of now, with further problems of the coordinator's."""
        timetable = timetable or Timetable()
        ports = self._ports
        now = ports.status.server_now()
        agents, entries = ports.status.agents(), ports.catalogue.entries()
        archiver = ports.leases.holder(ARCHIVER)
        archive = self._archive(archiver, agents, entries, now)
        found = problems_of(
            Known(
                now=now,
                agents=agents,
                entries=entries,
                archive=archive,
                running=running,
                timetable=timetable,
                last_backup=ports.last_backup(),
            )
        )
        found += [*ports.further(), *further]
        self._known = {(one.code, one.message): self._dated(one) for one in found}
        status = ClusterStatus(
            replset=ports.replset,
            problems=tuple(self._known.values()),
            coordinator=coordinator,
            last_backup=_last(entries),
            recoverable=recoverable_from(archive.bases, archive.report),
            running=running,
            archiver=archiver,
            oplog=None if archive.report is None else oplog_status(archive.report),
            next_runs=next_runs_of(timetable.schedules, now),
        )
        ports.instruments.tell_cluster(status, entries)
        return status

    def end(self) -> None:
        """Say that another agent may look from now on."""
        self._ports.instruments.forget_cluster()

    def _archive(
        self,
        archiver: str | None,
        agents: Sequence[AgentStatus],
        entries: Sequence[BackupEntry],
        now: datetime,
    ) -> ArchiveView:
        """Put together what is known of the archive.

        While it goes from one agent to another nobody tells of it: what was told last still holds.
        """
        self._told = newest_told(agents, archiver, self._told)
        # Who holds the lease may still be failing to begin: only a report is proof.
        if any(each.name == archiver and each.archive is not None for each in agents):
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        report = None if self._told is None else as_of(self._told, archiver, now)
        bases = [
            each
            for each in entries
            if each.storage == self._ports.storage and not each.namespaces and not each.is_damaged
        ]
        return ArchiveView(
            rules=self._ports.archive,
            idle_since=self._idle_since,
            report=report,
            bases=bases,
            gap=None if report is None else open_gap(bases, report),
        )

    def _dated(self, problem: Problem) -> Problem:
        old = self._known.get((problem.code, problem.message))
        return replace(problem, since=old.since) if old else problem


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
