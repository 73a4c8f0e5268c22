"""Which backups and segments go, and why each backup stays: pure, from what a storage holds.

Backups are counted by series: those of one replica set id, and of one part of the data. What is
not ruled by any retention stays; what several rule stays if any of them keeps it.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from agent.model.backups import BackupEntry, base_of, newest
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived, Span, reach, spans
from agent.model.schedules import Retention, Schedule

# How long the archive of another replica set has to be silent until it counts as a lost one's.
# One that lives writes at least once a minute; its first backup may take days.
GONE_AFTER: Final = timedelta(days=7)

Covered = Mapping[str, Sequence[Span]]
"""What the archive of each replica set id covers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The retention of one schedule, for one part of the data in one storage.

    One that is not enabled still keeps what it keeps, but is no reason to remove anything.
    """

    schedule_id: str
    retention: Retention
    where: tzinfo
    namespaces: tuple[str, ...] = ()
    is_enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of a backup; ``reasons`` are for people, at least one."""

    entry: BackupEntry
    stays: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Up to where the archive of one replica set id may go: the segments that end by then.

    ``up_to`` is None where nothing may go.
    """

    replset_id: str
    up_to: ClusterTime | None
    reason: str
    going: tuple[Archived, ...]

    @property
    def stored_bytes(self) -> int:
        """Bytes of what goes."""
        return sum(each.stored_bytes for each in self.going)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPlan:
    """What goes from one storage, and why; newest backups first."""

    fates: tuple[Fate, ...]
    cuts: tuple[Cut, ...]

    @property
    def going(self) -> tuple[BackupEntry, ...]:
        """The backups that go, the oldest first: what is left is sound after each of them."""
        return tuple(each.entry for each in reversed(self.fates) if not each.stays)

    @property
    def stored_bytes(self) -> int:
        """Bytes of all that goes."""
        of_backups = sum(each.stored_bytes for each in self.going)
        return of_backups + sum(each.stored_bytes for each in self.cuts)


def policies(schedules: Iterable[Schedule], label: str, main: str) -> tuple[Policy, ...]:
    """Return what schedules say of one storage; ``main`` is the label of the main one."""
    return tuple(
        Policy(
            schedule_id=each.schedule_id,
            retention=each.retention,
            where=each.where,
            namespaces=each.namespaces,
            is_enabled=each.enabled,
        )
        for each in schedules
        if each.retention is not None and (each.storage_label or main) == label
    )


def plan(
    entries: Sequence[BackupEntry],
    segments: Mapping[str, Sequence[Archived]],
    ruling: Sequence[Policy],
    *,
    replset_id: str,
    now: datetime,
    named: Mapping[str, Collection[str]] | None = None,
    is_complete: bool = True,
) -> RetentionPlan:
    """Return what may go from a storage now.

    ``entries`` are all its backups, ``segments`` its whole archive by replica set id, and
    ``replset_id`` is that of the replica set that asks. ``named`` are the keys of the segments
    that each backup's manifest names: those of a backup that stays, stay. Without ``is_complete``,
    if there are manifests that cannot be read, no segment goes: nobody knows what they need. The
    catalogue may be behind the storage: to be asked with what the manifests say.
    """
    covered = {each: spans(held) for each, held in segments.items()}
    fates = backup_fates(entries, ruling, covered, now)
    staying = [each.entry for each in fates if each.stays]
    wanted = {key for each in staying for key in (named or {}).get(each.backup_id, ())}
    # Without any rule about all of the data, the archive is nobody's to cut.
    may_cut = is_complete and any(each.is_enabled and not each.namespaces for each in ruling)
    cuts = tuple(
        _cut(each, held, staying, wanted, replset_id=replset_id, now=now)
        for each, held in sorted(segments.items())
        if may_cut
    )
    return RetentionPlan(fates=fates, cuts=cuts)


# ------------------------------------------------------------------ backups


def backup_fates(
    entries: Sequence[BackupEntry], ruling: Sequence[Policy], covered: Covered, now: datetime
) -> tuple[Fate, ...]:
    """Return what becomes of each backup of a storage, newest first."""
    series: dict[Hashable, list[BackupEntry]] = {}
    for each in entries:
        series.setdefault((each.replset_id, frozenset(each.namespaces)), []).append(each)
    fates = [
        fate
        for held in series.values()
        for fate in _fates(
            held,
            [
                each
                for each in ruling
                if frozenset(each.namespaces) == frozenset(held[0].namespaces)
            ],
            covered.get(held[0].replset_id, ()),
            now,
        )
    ]
    return tuple(sorted(fates, key=lambda each: _age(each.entry), reverse=True))


def _fates(
    series: Sequence[BackupEntry], ruling: Sequence[Policy], covered: Sequence[Span], now: datetime
) -> Iterator[Fate]:
    good = [each for each in series if not each.is_damaged]
    last_good = newest(good)
    sound_reasons = _kept(good, ruling, covered, now)
    # A damaged backup takes no other one's place, and goes no sooner than if it were sound.
    other_reasons = _kept(series, ruling, covered, now)
    is_ruled = any(each.is_enabled for each in ruling)
    for entry in series:
        reasons = []
        if entry.keep:
            reasons.append("it is to be kept")
        if entry == last_good:
            reasons.append("it is the newest good backup")
        if not is_ruled:
            reasons.append("no enabled retention is about it")
        if last_good is None:
            reasons.append("there is no good backup")
        reasons += (other_reasons if entry.is_damaged else sound_reasons).get(entry.backup_id, [])
        if reasons:
            yield Fate(entry=entry, stays=True, reasons=tuple(reasons))
        else:
            yield Fate(entry=entry, stays=False, reasons=(_why_not(entry, ruling),))


def _why_not(entry: BackupEntry, ruling: Sequence[Policy]) -> str:
    rules = "; ".join(
        f"{each.schedule_id}: "
        + ", ".join(f"{name} {count}" for name, count in each.retention.rules.items())
        for each in ruling
    )
    damaged = "it is damaged, and " if entry.is_damaged else ""
    return f"{damaged}no rule keeps it ({rules})"


def _kept(
    entries: Sequence[BackupEntry],
    ruling: Sequence[Policy],
    covered: Sequence[Span],
    now: datetime,
) -> Mapping[str, list[str]]:
    """Return the reasons of the rules for each backup id that has any."""
    found: dict[str, list[str]] = {}
    ordered = sorted(entries, key=_age, reverse=True)
    for policy in ruling:
        for name, count in policy.retention.rules.items():
            for entry, detail in _RULES[name](ordered, count, policy.where, _Facts(now, covered)):
                reason = f"{policy.schedule_id}: {name} {count}{detail}"
                found.setdefault(entry.backup_id, []).append(reason)
    return found


@dataclass(frozen=True, slots=True)
class _Facts:
    now: datetime
    covered: Sequence[Span]


_Kept = Iterator[tuple[BackupEntry, str]]
_Rule = Callable[[Sequence[BackupEntry], int, tzinfo, _Facts], _Kept]


def _last(ordered: Sequence[BackupEntry], count: int, _where: tzinfo, _facts: _Facts) -> _Kept:
    yield from ((entry, "") for entry in ordered[:count])


def _newest_of_each(name_of: Callable[[datetime], str]) -> _Rule:
    """Return the rule that keeps the newest of each span of local time that has any."""

    def rule(ordered: Sequence[BackupEntry], count: int, where: tzinfo, _facts: _Facts) -> _Kept:
        seen: set[str] = set()
        for entry in ordered:
            name = name_of(entry.consistent_at.wall.astimezone(where))
            if len(seen) == count:
                return
            if name not in seen:
                seen.add(name)
                yield entry, f", for {name}"

    return rule


def _within(ordered: Sequence[BackupEntry], count: int, _where: tzinfo, facts: _Facts) -> _Kept:
    begin = facts.now - timedelta(days=count)
    yield from ((entry, "") for entry in ordered if entry.consistent_at.wall >= begin)


def _window(ordered: Sequence[BackupEntry], count: int, _where: tzinfo, facts: _Facts) -> _Kept:
    """Keep what lies in the window, and what its beginning is restored from.

    That is the newest backup before it; and, where a hole in the archive ends the way of that
    one, the backup that gets furthest.
    """
    begin_s = int((facts.now - timedelta(days=count)).timestamp())
    before = []
    for entry in ordered:
        # What is of the very second in which the window begins may be after its beginning.
        if entry.consistent_at.seconds >= begin_s:
            yield entry, ", within it"
        else:
            before.append(entry)
    if not before:
        return
    furthest = max(before, key=lambda each: (reach(base_of(each), facts.covered).last, *_age(each)))
    yield before[0], ", where it begins"
    if furthest is not before[0]:
        yield furthest, ", which gets furthest into it"


_RULES: Final[Mapping[str, _Rule]] = {
    "keep_last": _last,
    "keep_daily": _newest_of_each(lambda at: f"{at:%Y-%m-%d}"),
    "keep_weekly": _newest_of_each(lambda at: f"{at:%G-W%V}"),
    "keep_monthly": _newest_of_each(lambda at: f"{at:%Y-%m}"),
    "keep_within_days": _within,
    "recovery_window_days": _window,
}


def _age(entry: BackupEntry) -> tuple[ClusterTime, str]:
    return entry.consistent_at, entry.backup_id


# ------------------------------------------------------------------ segments


def _cut(
    of_id: str,
    segments: Sequence[Archived],
    staying: Sequence[BackupEntry],
    wanted: Collection[str],
    *,
    replset_id: str,
    now: datetime,
) -> Cut:
    """Return what may go of one archive: only from its old end, so that no hole is made."""
    bases = [each for each in staying if each.replset_id == of_id]
    if bases:
        oldest = min(bases, key=lambda each: (each.oplog_from, each.backup_id))
        reason = f"the backup {oldest.backup_id} needs what comes after it"
        return _cut_at(of_id, segments, oldest.oplog_from, reason, wanted)
    if of_id == replset_id:
        return Cut(replset_id=of_id, up_to=None, reason="its first backup is yet to come", going=())
    last = max((each.last for each in segments), default=None)
    if last is None or last.wall > now - GONE_AFTER:
        reason = "another replica set of this name is writing it"
        return Cut(replset_id=of_id, up_to=None, reason=reason, going=())
    reason = "the backups of that replica set are gone"
    return _cut_at(of_id, segments, last, reason, wanted)


def _cut_at(
    of_id: str,
    segments: Sequence[Archived],
    up_to: ClusterTime,
    reason: str,
    wanted: Collection[str],
) -> Cut:
    going = [each for each in segments if each.last <= up_to and each.key not in wanted]
    return Cut(
        replset_id=of_id,
        up_to=up_to,
        reason=reason,
        going=tuple(sorted(going, key=lambda each: (each.begin, each.last))),
    )
