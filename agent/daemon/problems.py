"""What an operator should know at a glance: pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from agent.daemon import agent_problems
from agent.daemon.backup_problems import of_last
from agent.daemon.key_problems import of_storage
from agent.daemon.schedule_problems import of_schedules
from agent.model.archive import has_base
from agent.model.backups import BackupEntry, instead_of, newest
from agent.model.cluster_time import ClusterTime
from agent.model.commands import Ended
from agent.model.coverage import Span
from agent.model.nodes import STALE_S
from agent.model.status import OPLOG_GAP, AgentStatus, ArchiveReport, Problem, Running
from agent.model.timetable import Timetable

ARCHIVE_STOPPED: Final = "archive_stopped"
# Longer than a takeover after the archiver's agent was killed.
MOST_IDLE_S: Final = 30.0
# The archive is behind if it lags more than this, and more than so many intervals.
MOST_LAG_S: Final = 60.0
MOST_INTERVALS: Final = 10
# Parts of the oplog's window.
LOW_HEADROOM: Final = 0.25
LOWEST_HEADROOM: Final = 0.10
# The oplog of a young replica set reaches back less than the archive may well lag.
_USUAL_LAG_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRules:
    """What the settings ask of the archive."""

    enabled: bool
    interval_s: float
    backup_after_gap: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveView:
    """The archive as the cluster sees it: ``idle_since`` is None while somebody archives.

    ``bases``: the full backups that a restore can start from. ``gap``: the newest one, while
    none of those lies behind it.
    """

    rules: ArchiveRules
    idle_since: datetime | None
    report: ArchiveReport | None
    bases: Sequence[BackupEntry]
    gap: Span | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Everything that problems are found in, as of ``now`` by the server's clock.

    ``last_backup``: how the last backup command ended, successful or not.
    """

    now: datetime
    agents: Sequence[AgentStatus]
    entries: Sequence[BackupEntry]
    archive: ArchiveView
    running: Running | None = None
    timetable: Timetable = field(default_factory=Timetable)
    last_backup: Ended | None = None


def problems_of(known: Known) -> list[Problem]:
    """Return every problem there is."""
    return [
        *_of_agents(known),
        *_of_backups(known),
        *_of_archive(known),
        *of_schedules(
            known.timetable, known.agents, known.entries, running=known.running, now=known.now
        ),
    ]


def _of_agents(known: Known) -> Iterator[Problem]:
    present = []
    for agent in known.agents:
        if known.now - agent.updated_at > timedelta(seconds=STALE_S):
            yield Problem(
                code="agent_missing",
                level="warning",
                message=f"the agent of {agent.name} has not been heard of",
                hint="start it there, or delete its document in status if the node is gone",
                since=agent.updated_at,
            )
        else:
            yield from of_storage(agent, known.now)
            yield from agent_problems.of_agent(agent, known.now)
            present.append(agent)
    yield from agent_problems.between(present, known.now)


def _of_backups(known: Known) -> Iterator[Problem]:
    yield from of_last(known.last_backup)
    if not known.entries:
        yield Problem(
            code="no_backup",
            level="warning",
            message="there is no backup",
            hint='insert {command: "backup"} into commands',
            since=known.now,
        )
    last = newest(known.entries)
    for entry in known.entries:
        verdict = entry.verdict
        if verdict is not None and not verdict.is_sound:
            yield Problem(
                code="verify_failed",
                level="error" if entry == last else "warning",
                message=f"the backup {entry.backup_id} in {entry.storage} is damaged",
                hint=instead_of(entry, known.entries),
                since=verdict.checked_at,
            )


def _of_archive(known: Known) -> Iterator[Problem]:
    archive, report = known.archive, known.archive.report
    if not archive.rules.enabled:
        return
    if archive.idle_since and known.now - archive.idle_since > timedelta(seconds=MOST_IDLE_S):
        yield Problem(
            code=ARCHIVE_STOPPED,
            level="error",
            message="nobody archives the oplog",
            hint="the agents' logs say why; what the oplog loses meanwhile is lost for good",
            since=archive.idle_since,
        )
    if report is None:
        return
    yield from _of_lag(report, archive.rules, known.now)
    if archive.gap is not None:
        yield _gap(archive.gap, archive.rules)
    elif known.entries and not has_base(archive.bases, report):
        yield Problem(
            code="archive_without_backup",
            level="warning",
            message="no full backup is as new as the archive, so nothing can be restored from it",
            hint='insert {command: "backup"} into commands',
            since=known.now,
        )


def _of_lag(report: ArchiveReport, rules: ArchiveRules, now: datetime) -> Iterator[Problem]:
    limit_s = max(MOST_LAG_S, MOST_INTERVALS * rules.interval_s)
    is_behind = report.lag_s > limit_s
    since = now - timedelta(seconds=report.lag_s)
    if is_behind:
        yield Problem(
            code="archive_behind",
            level="warning",
            message=f"the archive of the oplog is more than {limit_s:.0f} s behind",
            hint="is the storage slow or away? see oplog.lag_s and the log of the archiver",
            since=since,
        )
    if report.error is not None:
        yield Problem(
            code="archive_failing",
            level="error" if is_behind else "warning",
            message="the oplog cannot be archived now",
            hint=report.error,
            since=since,
        )
    if report.window_s is None or report.lag_s <= rules.interval_s + _USUAL_LAG_S:
        return
    headroom_s = report.window_s - report.lag_s
    if headroom_s < LOW_HEADROOM * report.window_s:
        is_lowest = headroom_s < LOWEST_HEADROOM * report.window_s
        yield Problem(
            code="oplog_headroom_low",
            level="error" if is_lowest else "warning",
            message="the oplog will soon lose what is not archived yet",
            hint="mend the archive, or make the oplog larger with replSetResizeOplog",
            since=since,
        )


def _gap(gap: Span, rules: ArchiveRules) -> Problem:
    hint = 'insert {command: "backup"} into commands'
    if rules.backup_after_gap:
        hint = "a full backup starts by itself; what follows it can be restored"
    return Problem(
        code=OPLOG_GAP,
        level="error",
        message=f"the oplog from {_moment(gap.begin)} to {_moment(gap.last)} was never archived:"
        " no time in between or since can be restored",
        hint=hint,
        since=gap.last.wall,
    )


def _moment(time: ClusterTime) -> str:
    return f"{time.wall:%Y-%m-%dT%H:%M:%SZ} ({time.seconds}.{time.increment})"
