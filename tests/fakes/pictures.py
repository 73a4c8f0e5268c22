"""Replica sets as a status may show them, from nothing at all to a year of hourly backups."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

from agent.cli.verdict import Picture
from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.status import AgentStatus, StorageStatus
from agent.model.verdict import Verdict
from tests.fakes.console import NOW

NODES = (
    "db1.example.net:27017",
    "db2.example.net:27017",
    "ip-10-24-113-207.eu-west-1.compute.internal.example.net:27017",
)
EVIL = "<script>alert('from the database')</script>"


def nothing() -> Picture:
    """An empty control database: nobody has ever been here."""
    return Picture(now=NOW, agents=[], entries=[], cluster=None)


def fresh() -> Picture:
    """Agents that have just begun, and no backup."""
    problem = _problem("warning", "no_backup", "there is no backup", NOW - timedelta(minutes=3))
    return _picture([], [], problems=[problem])


def first_backup() -> Picture:
    """One backup, made a minute ago."""
    begin = NOW - timedelta(minutes=1)
    return _picture([_backup(begin)], [(begin, NOW - timedelta(seconds=4))])


def nightly() -> Picture:
    """Five weeks of nightly backups, all well but a gap of seven hours long ago."""
    times = [_three_in_the_morning(day) for day in range(35, -1, -1)]
    entries = [_backup(each, size=40_000_000_000 + number * 300_000_000 + number % 7 * 10**9)
               for number, each in enumerate(times)]  # fmt: skip
    gap = times[20] - timedelta(hours=9)
    ranges = [(times[0], gap), (times[20], NOW - timedelta(seconds=4))]
    runs = [
        {"schedule": "nightly", "command": "backup", "at": NOW + timedelta(hours=6, minutes=45)},
        {"schedule": "weekly look", "command": "verify", "at": NOW + timedelta(days=2)},
    ]
    return _picture(_verified(entries), ranges, runs=runs)


def in_trouble() -> Picture:
    """The archive has stopped, a backup is damaged, an agent is gone, names are evil."""
    picture = nightly()
    entries = list(picture.entries)
    bad = Verdict(depth="content", checked_at=NOW - timedelta(hours=5), is_sound=False)
    entries[-9] = replace(entries[-9], verdicts=(bad,))
    entries[-1] = replace(
        entries[-1], note=EVIL, tags={EVIL: "a" * 120}, namespaces=(f"shop.{EVIL}",)
    )
    stopped = NOW - timedelta(hours=3)
    begin = entries[0].consistent_at.wall
    problems = [
        _problem("error", "archive_stopped", "nobody archives the oplog", stopped),
        _problem("warning", "agent_missing", f"the agent of {NODES[2]} is gone {EVIL}", stopped),
        _problem("warning", "verify_failed", f"the backup {entries[-9].backup_id} in main is"
                 " damaged", bad.checked_at),
    ]  # fmt: skip
    found = _picture(entries, [(begin, stopped)], problems=problems, archiver=None, lag_s=10_800.0)
    away = replace(
        found.agents[1].storage, ok=False, error="the bucket acme-backups does not answer"
    )
    agents = [
        found.agents[0],
        replace(found.agents[1], storage=away),
        replace(found.agents[2], updated_at=stopped),
    ]
    return replace(found, agents=agents)


def hourly_for_a_year() -> Picture:
    """8,760 backups, growing, some of them slow; the archive goes back for all of it."""
    times = [NOW - timedelta(hours=hours) for hours in range(8_760, 0, -1)]
    entries = [
        _backup(each, size=900_000_000_000 + number * 120_000_000, took_s=600 + number % 97 * 9)
        for number, each in enumerate(times)
    ]
    hole = NOW - timedelta(days=100)
    ranges = [(times[0], hole), (hole + timedelta(minutes=20), NOW - timedelta(seconds=2))]
    return _picture(entries, ranges)


def without_archive() -> Picture:
    """Daily backups, and no archive: only their own times can be restored."""
    times = [_three_in_the_morning(day) for day in range(12, -1, -1)]
    return _picture([_backup(each) for each in times], [(each, each) for each in times])


ALL = {
    each.__name__: each
    for each in (
        nothing, fresh, first_backup, nightly, in_trouble, hourly_for_a_year, without_archive,
    )
}  # fmt: skip


def _three_in_the_morning(days_ago: int) -> datetime:
    day = NOW - timedelta(days=days_ago)
    return datetime(day.year, day.month, day.day, 3, 0, 7, tzinfo=UTC)


def _backup(when: datetime, *, size: int = 42_000_000_000, took_s: float = 840) -> BackupEntry:
    time = ClusterTime(int(when.timestamp()), 3)
    return BackupEntry(
        backup_id=f"{when:%Y%m%dT%H%M%SZ}",
        storage="main",
        replset_id="65f0000000000000000000aa",
        consistent_at=time,
        oplog_from=time,
        started_at=when,
        finished_at=when + timedelta(seconds=took_s + size % 1_000_003 / 3_000),
        docs=size // 400,
        bytes=size,
        stored_bytes=int(size * 0.27),
        chunks=size // 64_000_000,
        collections=41,
        nodes=NODES[1:],
        server_version="6.0.5",
    )


def _verified(entries: Sequence[BackupEntry]) -> list[BackupEntry]:
    numbers = count()
    return [
        replace(
            entry,
            verdicts=(
                Verdict(depth="content", checked_at=entry.finished_at, is_sound=True),
            ) if next(numbers) % 7 == 0 else (),
            keep=entry is entries[0],
            note="before the move" if entry is entries[0] else "",
        )
        for entry in entries
    ]  # fmt: skip


def _problem(level: str, code: str, message: str, since: datetime) -> dict[str, object]:
    return {
        "level": level,
        "code": code,
        "message": message,
        "hint": "the agents' logs say why; what the oplog loses meanwhile is lost for good",
        "since": since,
    }


def _agent(name: str) -> AgentStatus:
    return AgentStatus(
        name=name,
        node_state="PRIMARY" if name == NODES[0] else "SECONDARY",
        node_lag_s=0.0,
        priority=1,
        server_version="6.0.5",
        agent_version="0.1.0",
        pid=4711,
        started_at=NOW - timedelta(days=9),
        updated_at=NOW - timedelta(seconds=2),
        storage=StorageStatus(
            label="main", ok=True, bucket="s3://acme-backups/prod", credential_source="environment"
        ),
    )


def _picture(
    entries: Sequence[BackupEntry],
    ranges: Sequence[tuple[datetime, datetime]],
    *,
    problems: Sequence[dict[str, object]] = (),
    runs: Sequence[dict[str, object]] = (),
    archiver: str | None = NODES[1],
    lag_s: float = 3.6,
) -> Picture:
    reached = NOW - timedelta(seconds=lag_s)
    return Picture(
        now=NOW,
        agents=[_agent(name) for name in NODES],
        entries=entries,
        cluster={
            "_id": "cluster",
            "replset": "shop-prod",
            "coordinator": NODES[0],
            "archiver": archiver,
            "problems": problems,
            "recoverable": [
                {
                    "from": ClusterTime(int(one.timestamp()), 3),
                    "to": ClusterTime(int(two.timestamp()), 3),
                }
                for one, two in ranges
            ],
            "oplog": {
                "archived_to": ClusterTime(int(reached.timestamp()), 1),
                "archived_at": reached,
                "lag_s": lag_s,
                "window_s": 180_000.0,
                "headroom_s": 180_000.0 - lag_s,
                "gaps": [],
            },
            "running": None,
            "next_runs": runs,
            "updated_at": NOW - timedelta(seconds=1),
        },
    )
