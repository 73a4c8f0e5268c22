"""Everything that the page says, as values: pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from agent.cli import words
from agent.cli.archive import archive_line, recoverable_line
from agent.cli.overview import next_runs
from agent.cli.report.charts import Bar, BarChart, CoverageChart, bar_chart, coverage_chart
from agent.cli.report.days import Day, Month, counted, months_of
from agent.cli.report.scale import Values, byte_values, duration_values
from agent.cli.sight import number
from agent.cli.verdict import Picture, Trouble, advice, is_safe, sentence, troubles
from agent.cli.views import newest_first, remark, verified_words
from agent.model.backups import BackupEntry
from agent.model.status import AgentStatus

# Every chart is drawn for a desk and for a phone, so that its texts have one size.
WIDTHS: Final = {"wide": 1016, "narrow": 328}
# Backups that are listed: at first, and when asked for.
_AT_ONCE: Final = 10
_MOST_BACKUPS: Final = 60

Tone = Literal["good", "warning", "bad", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A name, a value, and what else there is to say of it."""

    name: str
    value: str
    more: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemRow:
    """A problem as the page shows it."""

    tone: Tone
    level: str
    code: str
    message: str
    hint: str
    since: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRow:
    """A line of the table of backups."""

    backup_id: str
    consistent_at: str
    age: str
    data: str
    stored: str
    took: str
    storage: str
    verified: str
    verified_tone: Tone
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """A line of the table of agents."""

    name: str
    role: str
    node: str
    lag: str
    server: str
    agent: str
    storage: str
    storage_tone: Tone
    seen: str
    seen_tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A line of what schedules do next."""

    schedule: str
    command: str
    at: str
    wait: str


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is drawn as soon as there is a backup; charts by the name of their width."""

    coverage: Mapping[str, CoverageChart]
    coverage_words: str
    begin: str
    has_gaps: bool
    has_damage: bool
    months: tuple[Month, ...]
    days_words: str
    sizes: Mapping[str, BarChart]
    sizes_words: str
    durations: Mapping[str, BarChart]
    durations_words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The whole page."""

    tone: Tone
    answer: str
    reasons: str
    advice: str
    replset: str
    made_at: str
    version: str
    facts: tuple[Fact, ...]
    problems: tuple[ProblemRow, ...]
    history: History | None
    backups: tuple[BackupRow, ...]
    more_backups: tuple[BackupRow, ...]
    older_count: int
    runs: tuple[RunRow, ...]
    agents: tuple[AgentRow, ...]


def page_of(picture: Picture, version: str) -> Page:
    """Return the page that shows a picture."""
    found = troubles(picture)
    tone: Tone = "bad"
    if is_safe(picture):
        tone = "warning" if found else "good"
    # The sentence begins with the answer; no message of a problem stands before the first colon.
    answer, _, reasons = sentence(picture).partition(": ")
    entries = newest_first(picture.entries)
    return Page(
        tone=tone,
        answer=answer,
        reasons=reasons[:1].upper() + reasons[1:],
        advice=advice(picture),
        replset=words.text((picture.cluster or {}).get("replset")),
        made_at=words.moment(picture.now),
        version=version,
        facts=tuple(fact for fact in _facts(picture) if fact.value),
        problems=tuple(_problem(each, picture.now) for each in found),
        history=_history(picture),
        backups=tuple(_backup(each, picture.now) for each in entries[:_AT_ONCE]),
        more_backups=tuple(_backup(each, picture.now) for each in entries[_AT_ONCE:_MOST_BACKUPS]),
        older_count=max(0, len(entries) - _MOST_BACKUPS),
        runs=tuple(
            RunRow(
                schedule=run.schedule,
                command=run.command,
                at=words.moment(run.at),
                wait=words.duration(max(0.0, (run.at - picture.now).total_seconds())),
            )
            for run in next_runs(picture)
        ),
        agents=tuple(_agent(each, picture) for each in picture.agents),
    )


def _facts(picture: Picture) -> tuple[Fact, ...]:
    last, archive = picture.last, picture.archive
    stored = sum(entry.stored_bytes for entry in picture.entries)
    lag_s = number(archive, "lag_s") if archive is not None else 0
    running = (picture.cluster or {}).get("running")
    return (
        Fact(
            name="Newest backup",
            value=words.ago(last.consistent_at.wall, picture.now) if last else "none",
            more=(
                f"{last.backup_id}, {words.size(last.stored_bytes)} stored,"
                f" {words.verified(last.verdict, picture.now)}"
            )
            if last
            else "",
        ),
        Fact(
            name="Would be lost now",
            value=f"{words.duration(lag_s)} of writes" if archive is not None else "not known",
            more=archive_line(picture) or "nobody tells of an archive of the oplog",
        ),
        Fact(
            name="Backups",
            value=words.count(len(picture.entries)),
            more=f"{words.size(stored)} stored" if stored else "",
        ),
        Fact(name="Can be restored", value=_span(picture), more=recoverable_line(picture)),
        Fact(
            name="Running",
            value=str(running.get("command")) if isinstance(running, Mapping) else "nothing",
            more=(
                f"{running.get('phase')}, {number(running, 'percent'):.0f} %"
                + ("" if picture.is_led else "; nobody goes on with it now")
                if isinstance(running, Mapping)
                else ""
            ),
        ),
    )


def _span(picture: Picture) -> str:
    """Say how much time can be restored, in the newest range."""
    ranges = picture.ranges
    if not ranges:
        return ""
    seconds = ranges[-1].last.seconds - ranges[-1].begin.seconds
    return words.duration(seconds) if seconds else "one moment"


def _problem(trouble: Trouble, now: datetime) -> ProblemRow:
    since = trouble.since
    return ProblemRow(
        tone="bad" if trouble.level == "error" else "warning",
        level=trouble.level,
        code=trouble.code,
        message=trouble.message,
        hint=trouble.hint,
        since=f"since {words.moment(since)} ({words.age(since, now)})" if since else "",
    )


def _backup(entry: BackupEntry, now: datetime) -> BackupRow:
    verdict = entry.verdict
    return BackupRow(
        backup_id=entry.backup_id,
        consistent_at=words.moment(entry.consistent_at.wall).removesuffix(" UTC"),
        age=words.age(entry.consistent_at.wall, now),
        data=words.size(entry.bytes),
        stored=words.size(entry.stored_bytes),
        took=words.duration(_took_s(entry)),
        storage=entry.storage,
        verified=verified_words(verdict, now),
        verified_tone="" if verdict is None else "good" if verdict.is_sound else "bad",
        remark=remark(entry),
    )


def _took_s(entry: BackupEntry) -> float:
    return max(0.0, (entry.finished_at - entry.started_at).total_seconds())


def _agent(agent: AgentStatus, picture: Picture) -> AgentRow:
    cluster = (picture.cluster or {}) if picture.is_led else {}
    is_there = picture.is_there(agent)
    roles = [name for name in ("coordinator", "archiver") if cluster.get(name) == agent.name]
    is_ok = agent.storage.ok
    return AgentRow(
        name=agent.name,
        role=", ".join(roles),
        node=agent.node_state.lower() if is_there else "",
        lag=f"{agent.node_lag_s:.0f} s" if is_there and agent.node_lag_s is not None else "",
        server=agent.server_version,
        agent=agent.agent_version,
        storage=("ok" if is_ok else agent.storage.error or "not ok") if is_there else "",
        storage_tone="" if is_ok or not is_there else "bad",
        seen=words.ago(agent.updated_at, picture.now) if is_there else _gone(agent, picture),
        seen_tone="" if is_there else "bad",
    )


def _gone(agent: AgentStatus, picture: Picture) -> str:
    return f"not there, {words.ago(agent.updated_at, picture.now)}"


def _history(picture: Picture) -> History | None:
    """Draw what was; None if there is neither a backup nor anything that can be restored."""
    entries, ranges, now = picture.entries, picture.ranges, picture.now
    begins = [each.consistent_at.wall for each in entries] + [each.begin.wall for each in ranges]
    if not begins:
        return None
    # Half a minute at the least, or a first backup stands on the edge of nothing.
    begin = min(*begins, now - timedelta(seconds=30))
    months = months_of(ranges, [each.consistent_at.wall for each in entries], min(begins), now)
    days: list[Day] = [day for month in months for day in month.days]
    sizes = _charts(entries, _size_bar, byte_values, begin, now)
    durations = _charts(entries, _duration_bar, duration_values, begin, now)
    coverage = {
        name: coverage_chart(entries, ranges, begin, now, width) for name, width in WIDTHS.items()
    }
    told = recoverable_line(picture) or "nothing is known that can be restored"
    return History(
        coverage=coverage,
        coverage_words=f"What can be restored: {told}; {len(entries)} backups.",
        begin=words.moment(min(begins)),
        has_gaps=any(chart.gaps for chart in coverage.values()),
        has_damage=any(entry.is_damaged for entry in entries),
        months=months,
        days_words=f"{counted(days)} can be restored",
        sizes=sizes,
        sizes_words=_range_words("Stored bytes of a backup", entries, _stored, words.size),
        durations=durations,
        durations_words=_range_words("Duration of a backup", entries, _took_s, words.duration),
    )


def _stored(entry: BackupEntry) -> float:
    return entry.stored_bytes


def _range_words(
    what: str,
    entries: Sequence[BackupEntry],
    value: Callable[[BackupEntry], float],
    write: Callable[[float], str],
) -> str:
    found = [value(entry) for entry in entries]
    if not found:
        return f"{what}: there is none."
    least, most = write(min(found)), write(max(found))
    return f"{what}: {least}." if least == most else f"{what}: from {least} to {most}."


def _charts(
    entries: Sequence[BackupEntry],
    bar: Callable[[BackupEntry], Bar],
    axis: Callable[[float], Values],
    begin: datetime,
    now: datetime,
) -> dict[str, BarChart]:
    bars = [bar(entry) for entry in entries]
    return {name: bar_chart(bars, axis, begin, now, width) for name, width in WIDTHS.items()}


def _size_bar(entry: BackupEntry) -> Bar:
    return Bar(
        when=entry.consistent_at.wall,
        value=entry.stored_bytes,
        whole=entry.bytes,
        title=f"{entry.backup_id}: {words.size(entry.stored_bytes)} stored"
        f" of {words.size(entry.bytes)} data",
    )


def _duration_bar(entry: BackupEntry) -> Bar:
    took_s = _took_s(entry)
    return Bar(
        when=entry.consistent_at.wall,
        value=took_s,
        whole=0,
        title=f"{entry.backup_id}: {words.duration(took_s)}",
    )
