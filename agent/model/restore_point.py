"""Which backup stands for the time that a restore asks for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from agent.core.errors import PermanentError
from agent.model.cluster_time import ClusterTime

PointInTime = datetime | ClusterTime | Literal["latest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A time that can be restored: that of one backup."""

    backup_id: str
    consistent_at: ClusterTime


def choose(points: Sequence[Point], to: PointInTime) -> Point:
    """Return the backup that is exact at ``to``; ``"latest"`` is the newest.

    Without a continuous archive only a backup's own consistent time can be restored. A date
    means the second that it lies in, since people read times to the second; the newest backup
    of that second counts.

    Raises: PermanentError ``no_backup`` if there is none at all; ``not_recoverable`` with the
    nearest times on both sides.
    """
    ordered = sorted(points, key=lambda point: (point.consistent_at, point.backup_id))
    if not ordered:
        raise PermanentError("no_backup", "the storage holds no backup", hint="make a backup first")
    if to == "latest":
        return ordered[-1]
    fitting = [point for point in ordered if _fits(point.consistent_at, to)]
    if fitting:
        return fitting[-1]
    raise _not_recoverable(ordered, to)


def _fits(time: ClusterTime, to: datetime | ClusterTime) -> bool:
    if isinstance(to, ClusterTime):
        return time == to
    return timedelta(0) <= _utc(to) - time.wall < timedelta(seconds=1)


def _utc(to: datetime) -> datetime:
    # A date from MongoDB that carries no zone is UTC.
    return to.replace(tzinfo=UTC) if to.tzinfo is None else to


def _not_recoverable(ordered: Sequence[Point], to: datetime | ClusterTime) -> PermanentError:
    if isinstance(to, ClusterTime):
        before = [point for point in ordered if point.consistent_at < to]
        asked = f"Timestamp({to.seconds}, {to.increment})"
    else:
        before = [point for point in ordered if point.consistent_at.wall <= _utc(to)]
        asked = _utc(to).isoformat()
    nearest = (*before[-1:], *ordered[len(before) : len(before) + 1])
    names = " and ".join(
        f"{point.consistent_at.wall.isoformat()} "
        f"(Timestamp({point.consistent_at.seconds}, {point.consistent_at.increment}), "
        f"backup {point.backup_id})"
        for point in nearest
    )
    return PermanentError(
        "not_recoverable",
        f"no backup stands for {asked}; the nearest recoverable times are {names}",
        hint='give one of these times, a backup id, or "latest"',
        nearest=tuple(str(point.consistent_at) for point in nearest),
    )
