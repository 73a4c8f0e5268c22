"""Which backup, brought to which time, stands for what a restore asks for: pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Reach, Recoverable, Span, gaps, recoverable

PointInTime = datetime | ClusterTime | Literal["latest"]

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A backup, and the cluster time that it is brought to: up to and with it."""

    reach: Reach
    target: ClusterTime


def at_time(reaches: Iterable[Reach], time: ClusterTime) -> Aim | None:
    """Return the newest backup that can be brought to a time; None if none can."""
    fitting = [each for each in reaches if each.base.consistent_at <= time <= each.last]
    return Aim(reach=max(fitting, key=_newness), target=time) if fitting else None


def latest(reaches: Iterable[Reach]) -> Aim | None:
    """Return the latest time of all, by the newest backup that reaches it; None without any."""
    found = max(reaches, key=lambda each: (each.last, _newness(each)), default=None)
    return None if found is None else Aim(reach=found, target=found.last)


def in_second(reaches: Iterable[Reach], date: datetime) -> Aim | None:
    """Return the newest backup whose own time lies in the second of a date.

    Without an archive a date can mean nothing else: people read a backup's time to the second.
    """
    fitting = [
        each
        for each in reaches
        if timedelta(0) <= utc(date) - each.base.consistent_at.wall < _SECOND
    ]
    if not fitting:
        return None
    found = max(fitting, key=_newness)
    return Aim(reach=found, target=found.base.consistent_at)


def newest(aims: Iterable[Aim]) -> Aim | None:
    """Return the aim with the newest backup: of several histories, the one that went on."""
    return max(aims, key=lambda aim: _newness(aim.reach), default=None)


def utc(date: datetime) -> datetime:
    """Return a date with its zone: one from MongoDB that carries none is UTC."""
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def spoken(time: ClusterTime) -> str:
    """Write a cluster time as a person reads it, and as ``to`` takes it."""
    return f"{time.wall.isoformat()} (Timestamp({time.seconds}, {time.increment}))"


def not_recoverable(
    reaches: Sequence[Reach],
    covered: Mapping[str, Sequence[Span]],
    to: PointInTime,
    now: datetime,
) -> PermanentError:
    """Return why a time cannot be restored: ``no_backup``, or ``not_recoverable`` with ranges.

    ``covered`` is what the archive holds, by replica set id.
    """
    ranges = recoverable(reaches)
    if not ranges or to == "latest":
        return PermanentError(
            "no_backup", "the storage holds no backup that can serve", hint="make a backup first"
        )
    time = _last_of(to)
    before = [each for each in ranges if each.last < time]
    after = [each for each in ranges if each.begin > time]
    nearest = (*before[-1:], *after[:1]) or ranges[-1:]
    asked = spoken(to) if isinstance(to, ClusterTime) else utc(to).isoformat()
    names = {each.base.consistent_at: each.base.backup_id for each in reaches}
    shown = " and ".join(_range(each, names[each.begin]) for each in nearest)
    return PermanentError(
        "not_recoverable",
        f"{asked} cannot be restored: {_reason(time, covered, now, is_late=not after)}; "
        f"recoverable is {shown}",
        hint=_hint(nearest, is_late=not after),
        nearest=tuple((str(each.begin), str(each.last)) for each in nearest),
    )


def _newness(reach: Reach) -> tuple[ClusterTime, str]:
    return reach.base.consistent_at, reach.base.backup_id


def _last_of(to: datetime | ClusterTime) -> ClusterTime:
    """Return a cluster time for a date: at the end of its second, which no entry is beyond."""
    if isinstance(to, ClusterTime):
        return to
    return ClusterTime(int(utc(to).timestamp() // 1), 2**32 - 1)


def _reason(
    time: ClusterTime, covered: Mapping[str, Sequence[Span]], now: datetime, *, is_late: bool
) -> str:
    if time.seconds > now.timestamp():
        return f"it is in the future, now is {now.isoformat(timespec='seconds')}"
    holes = (gap for spans in covered.values() for gap in gaps(spans))
    hole = next((each for each in holes if each.begin < time < each.last), None)
    if hole is not None:
        return f"the archive has a gap from {spoken(hole.begin)} to {spoken(hole.last)}"
    if is_late:
        return "it is not archived yet, or never was"
    return "no backup from before it is followed by the archive up to it"


def _range(each: Recoverable, backup_id: str) -> str:
    begin = f"{spoken(each.begin)}, of the backup {backup_id}"
    if each.begin == each.last:
        return f"the single time {begin}"
    return f"{begin}, to {spoken(each.last)}"


def _hint(nearest: Sequence[Recoverable], *, is_late: bool) -> str:
    if is_late:
        last = nearest[-1].last
        return f'the latest restorable time is {spoken(last)}; to: "latest" restores to it'
    return 'give a time within these ranges, a backup id, or "latest"'
