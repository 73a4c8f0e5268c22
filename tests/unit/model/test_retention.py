"""Retention: why each backup stays or goes, and which segments go with them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived
from agent.model.retention import GONE_AFTER, Policy, RetentionPlan, plan, policies
from agent.model.schedules import Retention, parse
from agent.model.verdict import Verdict

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def at(day: int, hour: int = 3) -> datetime:
    """Return a time in November 2026."""
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def time(moment: datetime) -> ClusterTime:
    """Return the cluster time of a moment."""
    return ClusterTime(int(moment.timestamp()), 1)


def backup(
    day: int,
    *,
    of_id: str = "a",
    part: tuple[str, ...] = (),
    keep: bool = False,
    is_damaged: bool = False,
) -> BackupEntry:
    """Return a backup of three in the morning, of five bytes."""
    verdict = Verdict(depth="objects", checked_at=at(day, 4), is_sound=False)
    return BackupEntry(
        backup_id=f"202611{day:02d}T030000Z",
        storage="main",
        replset_id=of_id,
        consistent_at=time(at(day)),
        oplog_from=time(at(day) - timedelta(minutes=1)),
        started_at=at(day),
        finished_at=at(day),
        docs=1,
        bytes=10,
        stored_bytes=5,
        chunks=1,
        collections=1,
        nodes=("n1",),
        server_version="6.0.1",
        namespaces=part,
        keep=keep,
        verdicts=(verdict,) if is_damaged else (),
    )


def days(first: int, last: int) -> list[Archived]:
    """Return segments of a day each, from midnight to midnight, of two bytes."""
    return [
        Archived(
            key=f"segment-{day}",
            begin=time(at(day, 0)),
            last=time(at(day, 0) + timedelta(days=1)),
            stored_bytes=2,
        )
        for day in range(first, last + 1)
    ]


def rules(*, is_enabled: bool = True, part: tuple[str, ...] = (), **counts: int) -> Policy:
    """Return the policy of a schedule."""
    return Policy(
        schedule_id="nightly",
        retention=Retention(**counts),
        where=UTC,
        namespaces=part,
        is_enabled=is_enabled,
    )


def planned(entries: list[BackupEntry], *ruling: Policy) -> RetentionPlan:
    """Return the plan for backups without an archive."""
    return plan(entries, {}, ruling, replset_id="a", now=NOW)


def gone(found: RetentionPlan) -> list[int]:
    """Return the days whose backups go, in the order in which they do."""
    return [each.started_at.day for each in found.going]


def reasons(found: RetentionPlan, day: int) -> str:
    """Return why the backup of a day has its fate."""
    (fate,) = (each for each in found.fates if each.entry.started_at.day == day)
    return "; ".join(fate.reasons)


def test_each_backup_has_a_reason() -> None:
    """Newest first in the list; the oldest is removed first."""
    found = planned([backup(day) for day in (18, 19, 20, 21)], rules(keep_last=1, keep_weekly=1))
    assert [each.entry.started_at.day for each in found.fates] == [21, 20, 19, 18]
    assert gone(found) == [18, 19, 20]
    assert found.stored_bytes == 15
    expected = "it is the newest good backup; nightly: keep_last 1"
    assert reasons(found, 21) == f"{expected}; nightly: keep_weekly 1, for 2026-W47"
    assert reasons(found, 18) == "no rule keeps it (nightly: keep_last 1, keep_weekly 1)"


def test_the_newest_good_backup_never_goes() -> None:
    """Though it is older than all that is kept; nor does anything go while there is none."""
    old = [backup(1), backup(2), backup(3, is_damaged=True)]
    assert gone(planned(old, rules(keep_within_days=1))) == [1, 3]
    spoiled = [backup(1, is_damaged=True), backup(2, is_damaged=True)]
    found = planned(spoiled, rules(keep_within_days=1))
    assert gone(found) == []
    assert "there is no good backup" in reasons(found, 1)


def test_a_damaged_backup_takes_nobodys_place() -> None:
    """Of the last two, one is damaged: the one before it stays as well."""
    entries = [backup(18), backup(19), backup(20, is_damaged=True), backup(21)]
    assert gone(planned(entries, rules(keep_last=2))) == [18]
    assert "it is damaged" in reasons(planned(entries, rules(keep_last=1)), 20)


def test_what_is_to_be_kept_is_kept() -> None:
    """Whatever the rules say."""
    found = planned([backup(1, keep=True), backup(2), backup(21)], rules(keep_last=1))
    assert gone(found) == [2]
    assert "to be kept" in reasons(found, 1)


def test_nothing_goes_without_a_rule_about_it() -> None:
    """Backups of a part have rules of their own; a disabled schedule removes nothing."""
    part = ("shop.*",)
    entries = [backup(day, part=part) for day in (1, 2)] + [backup(20), backup(21)]
    assert gone(planned(entries, rules(keep_last=1))) == [20]
    assert gone(planned(entries, rules(keep_last=1, part=part))) == [1]
    assert gone(planned(entries, rules(keep_last=1, is_enabled=False))) == []
    both = (rules(keep_last=1), rules(keep_last=2, is_enabled=False))
    assert gone(planned(entries, *both)) == []


def test_a_lost_replica_set_is_counted_by_itself() -> None:
    """The backups of the new one do not push its last ones out."""
    entries = [backup(1, of_id="lost"), backup(2, of_id="lost"), backup(20), backup(21)]
    assert gone(planned(entries, rules(keep_last=1))) == [1, 20]


def test_days_are_those_of_the_zone() -> None:
    """Three in the morning in London is the day before in New York; both zones keep two days."""
    entries = [backup(20), backup(21)]
    ruling = [
        parse({
            "_id": "nightly",
            "timezone": name,
            "retention": {"keep_daily": 2},
        })
        for name in ("UTC", "America/New_York")
    ]
    for schedule, day in zip(ruling, ("2026-11-21", "2026-11-20"), strict=True):
        found = planned(entries, *policies([schedule], "main", "main"))
        assert f"for {day}" in reasons(found, 21)


def test_a_window_keeps_what_it_begins_with() -> None:
    """The newest backup before it, whose way leads into it, and all within."""
    entries = [backup(day) for day in (15, 17, 19, 21)]
    held = {"a": days(10, 21)}
    ruling = [rules(recovery_window_days=4)]
    found = plan(entries, held, ruling, replset_id="a", now=NOW)
    assert gone(found) == [15]
    (cut,) = found.cuts
    assert [each.key for each in cut.going] == [f"segment-{day}" for day in range(10, 16 + 1)]
    assert cut.up_to == time(at(17) - timedelta(minutes=1))
    assert cut.stored_bytes == 14
    assert found.stored_bytes == 19
    assert "20261117T030000Z" in cut.reason


def test_a_window_keeps_the_backup_whose_way_leads_further() -> None:
    """The newest one before it cannot go on: it needs oplog from before the archive begins."""
    stuck = replace(backup(17), oplog_from=time(at(12)))
    entries = [backup(13), backup(14), stuck, backup(21)]
    window = [rules(recovery_window_days=4)]
    found = plan(entries, {"a": days(13, 21)}, window, replset_id="a", now=NOW)
    assert gone(found) == [13]
    assert "which gets furthest" in reasons(found, 14)
    assert gone(plan(entries, {}, window, replset_id="a", now=NOW)) == [13, 14]


def test_segments_go_only_from_the_old_end() -> None:
    """Those between two backups stay; so do those that a manifest names."""
    entries = [backup(12, keep=True), backup(21)]
    named = {"20261112T030000Z": ["segment-9"]}
    found = plan(
        entries,
        {"a": days(8, 21)},
        [rules(keep_last=1)],
        replset_id="a",
        now=NOW,
        named=named,
    )
    (cut,) = found.cuts
    assert [each.key for each in cut.going] == ["segment-8", "segment-10", "segment-11"]


def test_an_archive_waits_for_its_first_backup() -> None:
    """That of the replica set itself; that of a lost one goes after its last backup."""
    ruling = [rules(keep_last=1)]
    held = {"a": days(1, 3), "lost": days(1, 3)}
    own, lost = plan([], held, ruling, replset_id="a", now=NOW).cuts
    assert (own.up_to, own.going) == (None, ())
    assert len(lost.going) == 3
    _, kept = plan([backup(1, of_id="lost")], held, ruling, replset_id="a", now=NOW).cuts
    assert kept.going == ()


def test_an_archive_that_somebody_writes_stays() -> None:
    """Another replica set of the same name, whose first backup may be under way."""
    held = {"other": days(1, 20)}
    (cut,) = plan([], held, [rules(keep_last=1)], replset_id="a", now=NOW).cuts
    assert cut.going == ()
    (cut,) = plan([], held, [rules(keep_last=1)], replset_id="a", now=NOW + GONE_AFTER).cuts
    assert len(cut.going) == 20


def test_no_segment_goes_when_it_cannot_be_told() -> None:
    """Without a rule about all of the data, and beside manifests that cannot be read."""
    held = {"a": days(1, 21)}
    entries = [backup(21)]
    part = rules(keep_last=1, part=("shop.*",))
    assert plan(entries, held, [part], replset_id="a", now=NOW).cuts == ()
    ruling = [rules(keep_last=1)]
    found = plan(entries, held, ruling, replset_id="a", now=NOW, is_complete=False)
    assert found.cuts == ()


def test_policies_are_those_of_the_storage() -> None:
    """By the label in the command, or beside a retention alone; absent, it is the main one."""
    backups = {"cron": "0 3 * * *", "retention": {"keep_last": 1}}
    documents: list[dict[str, object]] = [
        {"_id": "a", **backups, "command": {"command": "backup", "namespaces": ["x.*"]}},
        {"_id": "b", **backups, "command": {"command": "backup", "storage": "far"}},
        {"_id": "c", "retention": {"keep_last": 1}, "storage": "far", "enabled": False},
        {"_id": "d", "cron": "0 3 * * *", "command": {"command": "backup"}},
    ]
    schedules = [parse(each) for each in documents]
    (main,) = policies(schedules, "main", "main")
    assert (main.schedule_id, main.namespaces) == ("a", ("x.*",))
    far = policies(schedules, "far", "main")
    assert [(each.schedule_id, each.is_enabled) for each in far] == [("b", True), ("c", False)]
