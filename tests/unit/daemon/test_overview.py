"""The cluster's status, made of what agents tell and of the list of backups."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.daemon.overview import Overview, OverviewPorts
from agent.daemon.problems import MOST_IDLE_S, ArchiveRules
from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Recoverable, Span
from agent.model.leases import ARCHIVER, LEASE_S
from agent.model.outcome import Failure, Outcome
from agent.model.states import State
from agent.model.status import ArchiveReport, ClusterStatus, Problem
from agent.model.verdict import Depth, Verdict
from tests.fakes.clock import VirtualClock
from tests.fakes.control import MemoryControl
from tests.fakes.status import REPLSET_ID, a_report, an_agent

RULES = ArchiveRules(enabled=True, interval_s=5, backup_after_gap=True)


def at(seconds: int) -> ClusterTime:
    """Return a cluster time."""
    return ClusterTime(seconds, 1)


def span(begin: int, last: int) -> Span:
    """Return what is covered between two seconds."""
    return Span(begin=at(begin), last=at(last))


def a_backup(seconds: int, **changes: object) -> BackupEntry:
    """Return a full backup of this replica set that stands for a second."""
    now = VirtualClock().now()
    entry = BackupEntry(
        backup_id=f"20261121T{seconds:06d}Z",
        storage="main",
        replset_id=REPLSET_ID,
        consistent_at=at(seconds),
        oplog_from=at(seconds),
        started_at=now,
        finished_at=now,
        docs=0,
        bytes=0,
        stored_bytes=0,
        chunks=0,
        collections=0,
        nodes=(),
        server_version="6.0.5",
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


class Watch:
    """An overview that looks at a control database in memory."""

    def __init__(self, rules: ArchiveRules = RULES) -> None:
        self.clock = VirtualClock()
        self.control = MemoryControl(self.clock)
        self.rules = rules
        self.overview = self.another()

    def another(self) -> Overview:
        """Return the overview of an agent that has just begun to coordinate."""
        return Overview(
            OverviewPorts(
                replset="rs",
                storage="main",
                archive=self.rules,
                status=self.control.status,
                catalogue=self.control.backups,
                leases=self.control.leases,
                last_backup=lambda: self.control.commands.last_ended("backup"),
            )
        )

    def backed_up(self, *entries: BackupEntry) -> None:
        """Put backups into the list."""
        for entry in entries:
            self.control.backups.put(entry)

    def tells(self, report: ArchiveReport | None, agent: str = "a:1") -> None:
        """Let an agent write its status."""
        self.control.status.write_agent(an_agent(agent, self.clock.now(), report))

    def archives(self, report: ArchiveReport, agent: str = "a:1") -> None:
        """Let an agent hold the lease and tell of the archive."""
        assert self.control.leases.acquire(ARCHIVER, agent, LEASE_S)
        self.tells(report, agent)

    def look(self) -> ClusterStatus:
        """Look now."""
        return self.overview.look("a:1", None)

    def problem(self, code: str) -> Problem | None:
        """Return a problem if there is one of this code."""
        return next((each for each in self.look().problems if each.code == code), None)


def codes(status: ClusterStatus) -> list[str]:
    """Return the codes of all problems."""
    return [each.code for each in status.problems]


def test_an_archive_in_good_order_is_shown() -> None:
    """Who archives, how far it is, and how long it may fail."""
    watch = Watch()
    watch.backed_up(a_backup(10))
    watch.archives(a_report(span(5, 50), lag_s=2, window_s=3600))
    found = watch.look()
    assert [] == codes(found)
    assert "a:1" == found.archiver
    assert found.oplog is not None
    assert (at(50), 2, 3600, 3598, ()) == (
        found.oplog.archived_to,
        found.oplog.lag_s,
        found.oplog.window_s,
        found.oplog.headroom_s,
        found.oplog.gaps,
    )
    assert (Recoverable(begin=at(10), last=at(50)),) == found.recoverable


def test_nothing_is_shown_before_anything_was_archived() -> None:
    """Null, not zero."""
    watch = Watch()
    watch.backed_up(a_backup(10))
    watch.tells(None)
    found = watch.look()
    assert (None, None) == (found.archiver, found.oplog)
    assert (Recoverable(begin=at(10), last=at(10)),) == found.recoverable


def judged(minute: int, depth: Depth, *, is_sound: bool) -> Verdict:
    """Return what was found in a minute."""
    at_minute = VirtualClock().now() + timedelta(minutes=minute)
    return Verdict(depth=depth, checked_at=at_minute, is_sound=is_sound)


def test_a_damaged_backup_is_a_problem_while_it_is_there() -> None:
    """An error if it is the newest; another one is named, best one that was verified."""
    watch = Watch()
    watch.archives(a_report(span(5, 50)))
    watch.backed_up(a_backup(10), a_backup(20), a_backup(30), a_backup(40))
    judge = watch.control.backups.judge
    assert watch.problem("verify_failed") is None
    judge(a_backup(10).backup_id, "main", judged(1, "content", is_sound=True))
    judge(a_backup(20).backup_id, "main", judged(2, "content", is_sound=False))
    problem = watch.problem("verify_failed")
    assert problem is not None
    assert ("warning", judged(2, "content", is_sound=False).checked_at) == (
        problem.level,
        problem.since,
    )
    assert a_backup(20).backup_id in problem.message
    assert f"{a_backup(10).backup_id} (sound by its content)" in problem.hint
    judge(a_backup(20).backup_id, "main", judged(3, "objects", is_sound=True))
    assert watch.problem("verify_failed") is not None
    judge(a_backup(20).backup_id, "main", judged(4, "content", is_sound=True))
    assert watch.problem("verify_failed") is None
    judge(a_backup(40).backup_id, "main", judged(5, "objects", is_sound=False))
    problem = watch.problem("verify_failed")
    assert problem is not None
    assert "error" == problem.level
    watch.control.backups.remove(a_backup(40).backup_id, "main")
    assert watch.problem("verify_failed") is None


def test_what_is_damaged_is_not_counted_on() -> None:
    """Times that only a damaged backup could bring back are not called recoverable."""
    watch = Watch()
    watch.archives(a_report(span(5, 50)))
    watch.backed_up(a_backup(10), a_backup(20))
    judge = watch.control.backups.judge
    judge(a_backup(10).backup_id, "main", judged(1, "objects", is_sound=False))
    assert (Recoverable(begin=at(20), last=at(50)),) == watch.look().recoverable
    judge(a_backup(20).backup_id, "main", judged(1, "objects", is_sound=False))
    found = watch.look()
    assert () == found.recoverable
    assert ["verify_failed", "verify_failed", "archive_without_backup"] == codes(found)
    assert all("make one now" in each.hint for each in found.problems[:2])


def test_recoverable_shows_what_a_restore_accepts() -> None:
    """Ranges end at gaps; what is no full backup in this storage extends nothing.

    A backup of a replica set that was lost is brought along by that one's archive alone.
    """
    watch = Watch()
    report = a_report(span(5, 50), span(60, 90))
    watch.archives(replace(report, others={"f" * 24: (span(2, 6),), "e" * 24: (span(1, 5),)}))
    watch.backed_up(
        a_backup(10),
        a_backup(30),
        a_backup(58, oplog_from=at(55)),
        a_backup(70),
        a_backup(3, replset_id="f" * 24),
        a_backup(4, namespaces=("shop.*",)),
        a_backup(6, storage="other"),
    )
    expected = [(3, 6), (10, 50), (58, 58), (70, 90)]
    assert expected == [
        (each.begin.seconds, each.last.seconds) for each in watch.look().recoverable
    ]


def test_an_archiver_that_is_gone_leaves_its_last_report() -> None:
    """Nobody archives, what is archived stays recoverable, and the lag grows."""
    watch = Watch()
    watch.backed_up(a_backup(10))
    watch.archives(a_report(span(5, 50), lag_s=2))
    watch.look()
    watch.clock.move(LEASE_S + 1)
    found = watch.another().look("b:1", None)
    assert found.archiver is None
    assert found.oplog is not None
    assert 2 + LEASE_S + 1 == found.oplog.lag_s
    assert (Recoverable(begin=at(10), last=at(50)),) == found.recoverable


def test_the_report_outlives_a_change_of_archiver() -> None:
    """The one before tells nothing any more, and the next one does not yet."""
    watch = Watch()
    watch.archives(a_report(span(5, 50)), "a:1")
    watch.look()
    watch.tells(None, "a:1")
    lease = watch.control.leases.leases[ARCHIVER]
    lease.holder = "b:1"
    found = watch.look()
    assert "b:1" == found.archiver
    assert found.oplog is not None
    assert at(50) == found.oplog.archived_to
    watch.tells(a_report(span(5, 60)), "b:1")
    found = watch.look()
    assert found.oplog is not None
    assert at(60) == found.oplog.archived_to


def test_an_older_report_of_another_agent_does_not_count() -> None:
    """An agent that died long ago left a document that nobody removes."""
    watch = Watch()
    watch.tells(a_report(span(5, 20)), "b:1")
    watch.clock.move(100)
    watch.tells(a_report(span(5, 50)), "a:1")
    watch.look()
    watch.tells(None, "a:1")
    found = watch.look()
    assert found.oplog is not None
    assert at(50) == found.oplog.archived_to


def test_an_archive_that_nobody_keeps_is_an_error_after_a_while() -> None:
    """Not during a takeover; and not if the archive is switched off."""
    watch = Watch()
    watch.look()
    watch.clock.move(MOST_IDLE_S)
    assert watch.problem("archive_stopped") is None
    began = watch.clock.now() - timedelta(seconds=MOST_IDLE_S)
    watch.clock.move(1)
    found = watch.problem("archive_stopped")
    assert found is not None
    assert ("error", began) == (found.level, found.since)
    watch.archives(a_report(span(5, 50)))
    assert watch.problem("archive_stopped") is None
    off = Watch(replace(RULES, enabled=False))
    off.look()
    off.clock.move(3600)
    assert ["no_backup"] == codes(off.look())


@pytest.mark.parametrize(
    ("interval_s", "lag_s", "expected"), [(5, 60, False), (5, 61, True), (30, 300, False)]
)
def test_an_archive_that_lags_is_told(
    interval_s: float,
    lag_s: float,
    expected: bool,  # noqa: FBT001
) -> None:
    """More than a minute, and more than ten intervals."""
    watch = Watch(replace(RULES, interval_s=interval_s))
    watch.archives(a_report(span(5, 50), lag_s=lag_s))
    assert expected == (watch.problem("archive_behind") is not None)


def test_the_beginning_of_a_lag_does_not_move() -> None:
    """An operator sees since when, also while the lag grows."""
    watch = Watch()
    watch.archives(a_report(span(5, 50), lag_s=100))
    first = watch.problem("archive_behind")
    watch.clock.move(5)
    watch.archives(a_report(span(5, 50), lag_s=180))
    assert first == watch.problem("archive_behind")


@pytest.mark.parametrize(
    ("lag_s", "window_s", "level"),
    [
        (749, 1000, None),
        (751, 1000, "warning"),
        (901, 1000, "error"),
        (1100, 1000, "error"),
        (751, None, None),
        # Of a young replica set.
        (4, 3, None),
    ],
)
def test_little_headroom_is_told(lag_s: float, window_s: float | None, level: str | None) -> None:
    """Below a quarter of what the oplog holds; below a tenth it is an error."""
    watch = Watch()
    watch.archives(a_report(span(5, 50), lag_s=lag_s, window_s=window_s))
    found = watch.problem("oplog_headroom_low")
    assert level == (found and found.level)


def test_what_keeps_the_archive_from_storing_is_told() -> None:
    """At first it may pass; when the archive is behind, it is an error."""
    watch = Watch()
    for lag_s, level in ((3, "warning"), (70, "error")):
        watch.archives(a_report(span(5, 50), lag_s=lag_s, error="the storage refuses"))
        found = watch.problem("archive_failing")
        assert found is not None
        assert (level, "the storage refuses") == (found.level, found.hint)


def test_a_gap_stands_until_there_is_a_full_backup_behind_it() -> None:
    """One that began before the gap's end does not mend it, nor does one of some collections."""
    watch = Watch()
    watch.archives(a_report(span(5, 50), span(60, 90)))
    for entry in (
        a_backup(10),
        a_backup(70, oplog_from=at(59)),
        a_backup(71, namespaces=("shop.*",)),
        a_backup(72, replset_id="f" * 24),
        a_backup(73, storage="other"),
    ):
        watch.backed_up(entry)
        found = watch.look()
        assert "oplog_gap" in codes(found)
        assert span(50, 60) == found.open_gap
    problem = watch.problem("oplog_gap")
    assert problem is not None
    assert "error" == problem.level
    assert "1970-01-01T00:00:50Z (50.1) to 1970-01-01T00:01:00Z (60.1)" in problem.message
    watch.backed_up(a_backup(74, oplog_from=at(60)))
    found = watch.look()
    assert [] == codes(found)
    assert found.open_gap is None
    assert found.oplog is not None
    assert (span(50, 60),) == found.oplog.gaps


def test_an_archive_without_a_backup_to_start_from_is_told() -> None:
    """As of a new replica set that was restored from the backup of a lost one."""
    watch = Watch()
    watch.backed_up(a_backup(10, replset_id="f" * 24))
    watch.archives(a_report(span(20, 50)))
    assert ["archive_without_backup"] == codes(watch.look())
    watch.backed_up(a_backup(20))
    assert [] == codes(watch.look())


def test_a_new_coordinator_goes_on_with_what_stood() -> None:
    """Since when is not forgotten; what is mended goes, and a stopped archive does not flicker."""
    watch = Watch()
    watch.look()
    watch.clock.move(MOST_IDLE_S + 1)
    first = watch.look()
    assert ["no_backup", "archive_stopped"] == codes(first)
    watch.control.status.write_cluster(replace(first, replset="rs"), 1)
    watch.clock.move(100)
    watch.overview = watch.another()
    watch.overview.take_over(watch.control.status.problems())
    assert first.problems == watch.look().problems
    watch.backed_up(a_backup(10))
    assert ["archive_stopped"] == codes(watch.look())
    watch.archives(a_report(span(5, 50)))
    assert [] == codes(watch.look())


def test_a_backup_that_failed_is_told_until_one_is_done() -> None:
    """With its own reason."""
    watch = Watch()
    watch.archives(a_report(span(5, 50)))
    watch.backed_up(a_backup(10))
    control = watch.control
    assert watch.problem("backup_failed") is None
    _end_a_backup(control, State.FAILED, Failure(code="c", message="why", hint="do this"))
    found = watch.problem("backup_failed")
    assert found is not None
    assert ("error", "c: why; do this", watch.clock.now()) == (
        found.level,
        found.hint,
        found.since,
    )
    watch.clock.move(1)
    _end_a_backup(control, State.CANCELED)
    assert watch.problem("backup_failed") == found
    _end_a_backup(control, State.DONE)
    assert watch.problem("backup_failed") is None


def _end_a_backup(control: MemoryControl, end: State, failure: Failure | None = None) -> None:
    command = control.commands.insert({"command": "backup"})
    for state in (State.ACCEPTED, State.RUNNING, end):
        record = control.commands.get(command)
        assert record is not None
        control.commands.move(record, state, 1, Outcome(coordinator="a:1", failure=failure))
