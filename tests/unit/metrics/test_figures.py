"""From the status to figures: nothing is made up, and nothing that matters is left out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.metrics.catalogue import AGENT, CLUSTER
from agent.metrics.figures import AgentView, ClusterView, Figure, of_agent, of_cluster
from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Recoverable, Span
from agent.model.status import (
    ClusterStatus,
    CredentialFacts,
    OplogStatus,
    Problem,
    Running,
    StorageStatus,
)
from agent.model.verdict import Depth, Verdict
from tests.fakes.status import an_agent

NOW = datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)
BARE = ClusterStatus(
    replset="rs",
    problems=(),
    coordinator="a:1",
    last_backup=None,
    recoverable=(),
    running=None,
)


def at(seconds: int) -> ClusterTime:
    """Return a cluster time."""
    return ClusterTime(seconds, 3)


def a_backup(seconds: int, **changes: object) -> BackupEntry:
    """Return a full backup that stands for a second, and took 90 s."""
    entry = BackupEntry(
        backup_id=f"b{seconds}",
        storage="main",
        replset_id="r",
        consistent_at=at(seconds),
        oplog_from=at(seconds),
        started_at=NOW,
        finished_at=NOW + timedelta(seconds=90),
        docs=4,
        bytes=1000 + seconds,
        stored_bytes=seconds,
        chunks=1,
        collections=1,
        nodes=(),
        server_version="6.0.5",
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def a_verdict(depth: Depth, minute: int, *, is_sound: bool = True) -> Verdict:
    """Return a verdict of a minute."""
    return Verdict(depth=depth, checked_at=NOW + timedelta(minutes=minute), is_sound=is_sound)


def a_problem(code: str, message: str = "", level: str = "warning") -> Problem:
    """Return a problem."""
    return Problem(code=code, level=level, message=message, hint="", since=NOW)  # type: ignore[arg-type]


def told(status: ClusterStatus = BARE, *entries: BackupEntry) -> list[Figure]:
    """Return the figures of a cluster."""
    return list(of_cluster(ClusterView(seen_at=NOW, status=status, entries=entries)))


def values(figures: list[Figure], name: str) -> dict[tuple[str, ...], float]:
    """Return the values of a metric by the values of its labels."""
    return {tuple(each.labels.values()): each.value for each in figures if each.name == name}


def value(figures: list[Figure], name: str) -> float | None:
    """Return the one value of a metric, None if there is none."""
    found = values(figures, name)
    assert len(found) <= 1
    return next(iter(found.values()), None)


def test_of_a_cluster_that_has_nothing_little_is_told() -> None:
    """No zero stands for what is not known: an age since 1970 would be a lie, and so a lag of 0."""
    assert {
        "status_updated_timestamp_seconds": NOW.timestamp(),
        "cluster_state": 0,
        "recoverable_ranges": 0,
        "recoverable_seconds": 0,
    } == {each.name: each.value for each in told()}


def test_problems_are_counted_by_code_and_level() -> None:
    """Their messages, which name nodes and backups, are no labels."""
    problems = (
        a_problem("agent_missing", "a"),
        a_problem("agent_missing", "b"),
        a_problem("oplog_gap", level="error"),
    )
    found = told(replace(BARE, problems=problems))
    expected = {("agent_missing", "warning"): 2, ("oplog_gap", "error"): 1}
    assert expected == values(found, "problems")
    assert 2 == value(found, "cluster_state")


def test_the_newest_backup_counts_by_storage() -> None:
    """By the time that it stands for, not by when it was listed."""
    found = told(BARE, a_backup(500), a_backup(300), a_backup(400, storage="other"))
    assert {("main",): 500, ("other",): 400} == values(found, "last_backup_timestamp_seconds")
    assert {("main",): 1500, ("other",): 1400} == values(found, "last_backup_size_bytes")
    assert {("main",): 500, ("other",): 400} == values(found, "last_backup_stored_bytes")
    assert {("main",): 90, ("other",): 90} == values(found, "last_backup_duration_seconds")
    assert {("main",): 2, ("other",): 1} == values(found, "backups")
    assert {("main",): 800, ("other",): 400} == values(found, "backups_stored_bytes")


def test_what_would_not_bring_everything_back_is_no_last_backup() -> None:
    """A newer backup of chosen collections, or a damaged one, must not keep an alert silent."""
    bad = (a_verdict("objects", 1, is_sound=False),)
    chosen = a_backup(700, namespaces=("shop.*",))
    found = told(BARE, a_backup(500), chosen, a_backup(600, verdicts=bad))
    assert 500 == value(found, "last_backup_timestamp_seconds")
    assert 3 == value(found, "backups")
    assert 1 == value(found, "backups_damaged")
    alone = told(BARE, chosen)
    assert None is value(alone, "last_backup_timestamp_seconds")


def test_the_last_verdict_of_each_depth_is_told() -> None:
    """Whichever backup it was of."""
    found = told(
        BARE,
        a_backup(500, verdicts=(a_verdict("objects", 1), a_verdict("content", 2))),
        a_backup(600, verdicts=(a_verdict("objects", 3, is_sound=False),)),
    )
    expected = {("main", "objects"): 0, ("main", "content"): 1}
    assert expected == values(found, "last_verify_sound")
    at_minute = {each: NOW.timestamp() + 60 * each for each in (2, 3)}
    times = {("main", "objects"): at_minute[3], ("main", "content"): at_minute[2]}
    assert times == values(found, "last_verify_timestamp_seconds")


def test_the_newest_range_is_told() -> None:
    """Its length, its begin and its end; and how many there are."""
    spans = (Recoverable(begin=at(10), last=at(20)), Recoverable(begin=at(40), last=at(100)))
    found = told(replace(BARE, recoverable=spans))
    assert 2 == value(found, "recoverable_ranges")
    assert 60 == value(found, "recoverable_seconds")
    assert 40 == value(found, "recoverable_begin_timestamp_seconds")
    assert 100 == value(found, "recoverable_end_timestamp_seconds")


def test_the_archive_is_told_as_the_status_has_it() -> None:
    """Lag, window, headroom, gaps; a window that is not known is left out."""
    oplog = OplogStatus(
        archived_to=at(90),
        archived_at=NOW,
        lag_s=2.5,
        window_s=3600,
        headroom_s=3597.5,
        gaps=(Span(begin=at(1), last=at(2)),),
    )
    found = told(replace(BARE, oplog=oplog))
    assert 2.5 == value(found, "archive_lag_seconds")
    assert 90 == value(found, "archive_last_timestamp_seconds")
    assert 1 == value(found, "archive_gaps")
    assert 3600 == value(found, "oplog_window_seconds")
    assert 3597.5 == value(found, "oplog_headroom_seconds")
    bare = told(replace(BARE, oplog=replace(oplog, window_s=None, headroom_s=None)))
    assert None is value(bare, "oplog_window_seconds")
    assert None is value(bare, "oplog_headroom_seconds")


def test_a_job_that_runs_is_a_ratio() -> None:
    """Not a percentage; and under the name of its command alone."""
    running = Running(command_id=1, command="backup", phase="reading", percent=25.0, eta_s=None)
    found = told(replace(BARE, running=running))
    assert {("backup",): 0.25} == values(found, "running_progress_ratio")


def own(**changes: object) -> AgentView:
    """Return an agent that has just begun."""
    storage = StorageStatus(label="main", ok=True, bucket="b", credential_source="environment")
    view = AgentView(
        name="a:1",
        version="1",
        server_version="6.0.5",
        written=None,
        is_coordinator=False,
        is_archiver=False,
        storage=storage,
        credentials={},
    )
    return replace(view, **changes)  # type: ignore[arg-type]


def test_an_agent_that_has_just_begun_has_no_heartbeat() -> None:
    """It says who it is, and what it is not."""
    found = list(of_agent(own()))
    assert {("a:1", "1", "6.0.5"): 1} == values(found, "agent_info")
    assert (0, 0) == (value(found, "coordinator"), value(found, "archiver"))
    assert None is value(found, "heartbeat_timestamp_seconds")
    assert {("main",): 1} == values(found, "storage_up")


def test_an_agent_tells_how_its_node_stands() -> None:
    """A lag that nobody knows is left out."""
    written = replace(an_agent("a:1", NOW, None), node_lag_s=3.0)
    found = list(of_agent(own(written=written)))
    assert NOW.timestamp() == value(found, "heartbeat_timestamp_seconds")
    assert 3 == value(found, "node_lag_seconds")
    unknown = list(of_agent(own(written=replace(written, node_lag_s=None))))
    assert None is value(unknown, "node_lag_seconds")


@pytest.mark.parametrize("error", [None, "STS does not answer"])
def test_keys_are_told_by_their_end_alone(error: str | None) -> None:
    """Neither their source nor whose they are; static ones have no end."""
    keys = {
        "main": CredentialFacts(source="web identity", expires_at=NOW, renewal_error=error),
        "other": CredentialFacts(source="configuration", identity="arn:aws:iam::1:user/u"),
    }
    found = list(of_agent(own(credentials=keys)))
    expected = {("main",): NOW.timestamp()}
    assert expected == values(found, "credentials_expiry_timestamp_seconds")
    failing = {("main",): float(error is not None), ("other",): 0}
    assert failing == values(found, "credentials_renewal_failing")
    assert "arn" not in str(found)


def full_cluster() -> ClusterView:
    """Return a cluster of which everything is known."""
    oplog = OplogStatus(
        archived_to=at(1), archived_at=NOW, lag_s=0, window_s=1, headroom_s=1, gaps=()
    )
    status = replace(
        BARE,
        problems=(a_problem("x"),),
        recoverable=(Recoverable(begin=at(1), last=at(2)),),
        oplog=oplog,
        running=Running(command_id=1, command="backup", phase="reading", percent=1, eta_s=None),
    )
    verified = a_backup(1, verdicts=(a_verdict("content", 1),))
    return ClusterView(seen_at=NOW, status=status, entries=(verified,))


def full_agent() -> AgentView:
    """Return an agent of which everything is known."""
    keys = {"main": CredentialFacts(source="x", expires_at=NOW)}
    written = replace(an_agent("a:1", NOW, None), node_lag_s=0.0)
    return own(written=written, credentials=keys)


def test_every_figure_is_in_the_catalogue() -> None:
    """With exactly the labels that it is said to have."""
    cluster, agent = list(of_cluster(full_cluster())), list(of_agent(full_agent()))
    for figures, known in ((cluster, CLUSTER), (agent, AGENT)):
        found = {each.name: tuple(each.labels) for each in figures}
        assert {each.name: each.labels for each in known} == found
