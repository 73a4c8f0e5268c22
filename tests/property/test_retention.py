"""Retention: whatever backups, holes and rules there are, what was promised is still there."""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived
from agent.model.keys import backup_id, segment
from agent.model.retention import Policy, RetentionPlan, plan
from agent.model.schedules import Retention
from agent.model.verdict import Verdict

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ZONES: tuple[tzinfo, ...] = (UTC, ZoneInfo("America/New_York"), ZoneInfo("Pacific/Auckland"))


def time(at: datetime) -> ClusterTime:
    """Return the cluster time of a moment."""
    return ClusterTime(int(at.timestamp()), 1)


def backup(at: datetime, **changes: object) -> BackupEntry:
    """Return a backup that was started at a time, and whose data is of a minute later."""
    entry = BackupEntry(
        backup_id=backup_id(at),
        storage="main",
        replset_id="a",
        consistent_at=time(at + timedelta(minutes=1)),
        oplog_from=time(at),
        started_at=at,
        finished_at=at + timedelta(minutes=2),
        docs=1,
        bytes=10,
        stored_bytes=5,
        chunks=1,
        collections=1,
        nodes=("n1",),
        server_version="6.0.1",
    )
    return replace(entry, **changes)  # type: ignore[arg-type]


def damaged(at: datetime) -> tuple[Verdict, ...]:
    """Return what is found of a backup that is not whole."""
    return (Verdict(depth="objects", checked_at=at, is_sound=False),)


def archived(of_id: str, begin: datetime, last: datetime) -> Archived:
    """Return a segment of the archive of a replica set id."""
    ends = time(begin), time(last)
    return Archived(key=segment("rs", of_id, *ends), begin=ends[0], last=ends[1], stored_bytes=1)


@dataclass
class Storage:
    """What lies in a storage, as a prune finds and leaves it."""

    entries: list[BackupEntry] = field(default_factory=list)
    segments: dict[str, list[Archived]] = field(default_factory=dict)

    def prune(
        self, ruling: Sequence[Policy], of_id: str, now: datetime, most: int = 10**6
    ) -> RetentionPlan:
        """Do what a plan says: backups, then segments; and die after so many of them."""
        found = plan(self.entries, self.segments, ruling, replset_id=of_id, now=now)
        gone = {each.backup_id for each in found.going[:most]}
        self.entries = [each for each in self.entries if each.backup_id not in gone]
        segments = [each for cut in found.cuts for each in cut.going]
        removed = {each.key for each in segments[: max(0, most - len(found.going))]}
        for replset_id, held in self.segments.items():
            self.segments[replset_id] = [each for each in held if each.key not in removed]
        return found

    def ways(self) -> dict[str, ClusterTime]:
        """Return how far the archive leads from each backup, by its id, read entry by entry."""
        found = {}
        for entry in self.entries:
            position = entry.oplog_from
            for each in sorted(self.segments.get(entry.replset_id, []), key=lambda one: one.begin):
                if each.begin <= position:
                    position = max(position, each.last)
            found[entry.backup_id] = position
        return found

    def restorable(self, of_id: str, moments: Iterable[datetime]) -> set[datetime]:
        """Return which moments some good full backup can be brought to."""
        ways = self.ways()
        full = good(self.entries, of_id, ())
        return {
            at
            for at in moments
            if any(each.consistent_at <= time(at) <= ways[each.backup_id] for each in full)
        }


def good(entries: Iterable[BackupEntry], of_id: str, part: Collection[str]) -> list[BackupEntry]:
    """Return the good backups of a part of a replica set, oldest first."""
    found = [
        each
        for each in entries
        if each.replset_id == of_id and set(each.namespaces) == set(part) and not each.is_damaged
    ]
    return sorted(found, key=lambda each: each.backup_id)


def promised(entries: Sequence[BackupEntry], policy: Policy, of_id: str, now: datetime) -> set[str]:
    """Return which backups a policy's own words keep, but for the window."""
    held = good(entries, of_id, policy.namespaces)
    rules = policy.retention
    kept = {each.backup_id for each in held[-1:]}
    kept |= {each.backup_id for each in held[-(rules.keep_last or 1) :]}
    spans: Mapping[str, int | None] = {
        "%Y %j": rules.keep_daily,
        "%G %V": rules.keep_weekly,
        "%Y %m": rules.keep_monthly,
    }
    for form, count in spans.items():
        newest: dict[str, str] = {}
        for each in held:
            local = each.consistent_at.wall.astimezone(policy.where)
            newest[local.strftime(form)] = each.backup_id
        kept |= set(sorted(newest.values())[-count:]) if count else set()
    if rules.keep_within_days is not None:
        begin = now - timedelta(days=rules.keep_within_days)
        kept |= {each.backup_id for each in held if each.consistent_at.wall >= begin}
    return kept


counts = st.none() | st.integers(1, 5)
retentions = st.builds(
    Retention,
    keep_last=st.integers(1, 5),
    keep_daily=counts,
    keep_weekly=counts,
    keep_monthly=counts,
    keep_within_days=counts,
    recovery_window_days=st.none() | st.integers(1, 9),
)
policies = st.builds(
    Policy,
    schedule_id=st.sampled_from(["one", "two"]),
    retention=retentions,
    where=st.sampled_from(ZONES),
    namespaces=st.sampled_from([(), (), ("shop.*",)]),
    is_enabled=st.sampled_from([True, True, False]),
)


def go_on(chance: random.Random, storage: Storage, of_id: str, at: datetime) -> None:
    """Let a day pass: some backups of any kind, and an archive that may have holes."""
    for hour in range(0, 24, 4):
        begin = at + hour * HOUR
        if chance.random() < 0.97:
            overlap = chance.choice([0, 0, 1]) * HOUR
            segments = storage.segments.setdefault(of_id, [])
            segments.append(archived(of_id, begin - overlap, begin + 4 * HOUR))
    for _ in range(chance.choice([0, 1, 1, 2])):
        started = at + timedelta(minutes=chance.randrange(20 * 60))
        if any(each.backup_id == backup_id(started) for each in storage.entries):
            continue
        storage.entries.append(
            backup(
                started,
                replset_id=of_id,
                namespaces=("shop.*",) if chance.random() < 0.2 else (),
                keep=chance.random() < 0.03,
                verdicts=damaged(started) if chance.random() < 0.15 else (),
            )
        )


@settings(max_examples=25, deadline=None)
@given(st.lists(policies, max_size=3), st.integers(0, 2**32))
def test_what_was_promised_is_never_deleted(ruling: list[Policy], seed: int) -> None:
    """In two months in which the replica set is lost and made anew, and agents die in prunes."""
    chance = random.Random(seed)
    storage = Storage()
    lost_at = chance.randrange(60)
    for day in range(60):
        of_id = "a" if day < lost_at else "b"
        go_on(chance, storage, of_id, BEGIN + timedelta(days=day))
        if chance.random() < 0.7:
            continue
        now = BEGIN + timedelta(days=day + 1, minutes=chance.randrange(60))
        before = Storage(list(storage.entries), {k: list(v) for k, v in storage.segments.items()})
        found = storage.prune(ruling, of_id, now, chance.choice([0, 1, 3, 10, 10**6, 10**6]))
        assert len(found.fates) == len(before.entries)
        assert all(fate.reasons for fate in found.fates)
        check_backups(ruling, before, storage, now)
        check_times(ruling, before, storage, now)


def check_backups(ruling: Sequence[Policy], before: Storage, after: Storage, now: datetime) -> None:
    """Backups that were promised to stay are there."""
    left = {each.backup_id for each in after.entries}
    assert left >= {each.backup_id for each in before.entries if each.keep}
    for replset_id in ("a", "b"):
        for part in ((), ("shop.*",)):
            held = good(before.entries, replset_id, part)
            assert left >= {each.backup_id for each in held[-1:]}
            if not any(each.is_enabled and each.namespaces == part for each in ruling):
                assert left >= {each.backup_id for each in held}
        for policy in ruling:
            assert left >= promised(before.entries, policy, replset_id, now)


def check_times(ruling: Sequence[Policy], before: Storage, after: Storage, now: datetime) -> None:
    """What could be restored of a promised window still can be; and all that stays, as far."""
    for policy in ruling:
        days = policy.retention.recovery_window_days
        if days is not None and not policy.namespaces:
            begin = now - timedelta(days=days)
            moments = [begin + hours * HOUR for hours in range(days * 24 + 1)]
            for replset_id in ("a", "b"):
                promise = before.restorable(replset_id, moments)
                assert promise <= after.restorable(replset_id, moments)
    ways = before.ways()
    assert all(way == ways[backup_id] for backup_id, way in after.ways().items())


def test_a_year_of_nightly_backups_comes_to_what_the_rules_say() -> None:
    """A week of days, five weeks, twelve months: nothing less, and nothing more."""
    rules = Retention(keep_daily=7, keep_weekly=5, keep_monthly=12, recovery_window_days=7)
    ruling = [Policy(schedule_id="nightly", retention=rules, where=UTC)]
    storage = Storage(segments={"a": []})
    for day in range(366):
        begin = BEGIN + timedelta(days=day)
        storage.segments["a"].append(archived("a", begin, begin + timedelta(days=1)))
        storage.entries.append(backup(begin + 3 * HOUR))
        now = begin + 4 * HOUR
        storage.prune(ruling, "a", now)
        if day % 10 == 9:
            moments = {now - timedelta(days=7) + hours * HOUR for hours in range(7 * 24 - 4)}
            assert storage.restorable("a", moments) == moments
    dates = [each.backup_id[:8] for each in storage.entries]
    assert dates == [
        *("20260228", "20260331", "20260430", "20260531", "20260630", "20260731"),
        *("20260831", "20260930", "20261031", "20261130", "20261206", "20261213", "20261220"),
        *("20261225", "20261226", "20261227", "20261228", "20261229", "20261230", "20261231"),
        "20270101",
    ]
    first = min(storage.segments["a"], key=lambda each: each.begin)
    assert f"{first.begin.wall:%Y%m%d}" == "20260228"
