"""How the archive of the oplog stands, from what agents report: pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agent.model.backups import BackupEntry, base_of
from agent.model.coverage import Recoverable, Span, gaps, reach, recoverable
from agent.model.nodes import STALE_S
from agent.model.status import AgentStatus, ArchiveReport, OplogStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What an agent told of the archive, and when."""

    agent: str
    at: datetime
    report: ArchiveReport


def newest_told(
    agents: Iterable[AgentStatus], archiver: str | None, before: Told | None
) -> Told | None:
    """Return what the archiver tells; if it tells nothing, what was told last by anyone.

    ``before`` is what was found last time: who archives no more tells nothing either.
    """
    told = [
        Told(agent=agent.name, at=agent.updated_at, report=agent.archive)
        for agent in agents
        if agent.archive is not None
    ]
    of_archiver = [each for each in told if each.agent == archiver]
    known = [before] if before is not None else []
    return max(of_archiver or [*told, *known], key=lambda each: each.at, default=None)


def as_of(told: Told, archiver: str | None, now: datetime) -> ArchiveReport:
    """Return a report with the lag as it is now: it grows while nobody archives."""
    age = now - told.at
    if told.agent == archiver and age <= timedelta(seconds=STALE_S):
        return told.report
    return replace(told.report, lag_s=told.report.lag_s + max(0.0, age.total_seconds()))


def oplog_status(report: ArchiveReport) -> OplogStatus:
    """Return what monitoring reads of the archive."""
    window_s = report.window_s
    return OplogStatus(
        archived_to=report.archived_to,
        archived_at=report.archived_at,
        lag_s=report.lag_s,
        window_s=window_s,
        headroom_s=None if window_s is None else max(0.0, window_s - report.lag_s),
        gaps=gaps(report.spans),
    )


def recoverable_from(
    bases: Sequence[BackupEntry], report: ArchiveReport | None
) -> tuple[Recoverable, ...]:
    """Return all times to which full backups can be restored, as far as the archive is known.

    Backups of another replica set, such as the one that was lost, have an archive of their own.
    """
    covered = {**report.others, report.replset_id: report.spans} if report else {}
    return recoverable(reach(base_of(entry), covered.get(entry.replset_id, ())) for entry in bases)


def has_base(bases: Sequence[BackupEntry], report: ArchiveReport) -> bool:
    """Whether some full backup can be brought to what is archived now and from now on."""
    if not report.spans:
        return True
    begin = report.spans[-1].begin
    return any(
        entry.replset_id == report.replset_id and entry.oplog_from >= begin for entry in bases
    )


def open_gap(bases: Sequence[BackupEntry], report: ArchiveReport) -> Span | None:
    """Return the newest gap, while no full backup has been made behind it."""
    found = gaps(report.spans)
    return found[-1] if found and not has_base(bases, report) else None
