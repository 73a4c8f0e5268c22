"""Sizes, times and counts as people read them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from agent.model.cluster_time import ClusterTime
from agent.model.verdict import Verdict

_STEP = 1000


def size(count_bytes: float) -> str:
    """Write a size in decimal units: ``12.3 MB``."""
    value = float(count_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < _STEP or unit == "TB":
            break
        value /= _STEP
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def count(number: int) -> str:
    """Write a count with separators: ``1,234,567``."""
    return f"{number:,}"


def duration(seconds: float) -> str:
    """Write a duration in its two largest units: ``2 h 05 min``."""
    whole = max(0, round(seconds))
    minutes, rest_s = divmod(whole, 60)
    hours, rest_min = divmod(minutes, 60)
    days, rest_h = divmod(hours, 24)
    if days:
        return f"{days} d {rest_h} h"
    if hours:
        return f"{hours} h {rest_min:02d} min"
    if minutes:
        return f"{minutes} min {rest_s:02d} s"
    return f"{whole} s"


def ago(then: datetime, now: datetime) -> str:
    """Write how long ago a moment was, in its largest unit: ``3 hours ago``."""
    return f"{age(then, now)} ago"


def age(then: datetime, now: datetime) -> str:
    """Write how old something is, in its largest unit: ``3 hours``."""
    past = now - then
    for name, unit in (
        ("day", timedelta(days=1)),
        ("hour", timedelta(hours=1)),
        ("minute", timedelta(minutes=1)),
    ):
        if past >= unit:
            many = past // unit
            return f"{many} {name}{'s' if many > 1 else ''}"
    return f"{max(0, round(past.total_seconds()))} s"


def verified(verdict: Verdict | None, now: datetime) -> str:
    """Write how a backup was found when it was verified last, and when that was."""
    if verdict is None:
        return "never verified"
    found = f"verified ({verdict.depth})" if verdict.is_sound else "DAMAGED, found"
    return f"{found} {ago(verdict.checked_at, now)}"


def moment(when: datetime) -> str:
    """Write a moment in UTC, to the second."""
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def coming(at: datetime, now: datetime) -> str:
    """Write how long it is to a moment, and the moment."""
    wait_s = (at - now).total_seconds()
    return f"{f'in {duration(wait_s)}' if wait_s >= 1 else 'now'}, {moment(at)}"


def cluster_time(time: ClusterTime) -> str:
    """Write a cluster time as a person reads it, exact enough to restore to."""
    return f"{moment(time.wall)} ({time.seconds}.{time.increment})"


def plain(value: object) -> object:
    """Return a value of a document as JSON has it: dates as ISO texts, cluster times as ``S.I``."""
    match value:
        case bool() | int() | float() | str() | None:
            return value
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case ClusterTime():
            return f"{value.seconds}.{value.increment}"
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case Sequence() if not isinstance(value, bytes):
            return [plain(each) for each in value]
        case _:
            return str(value)


def text(value: object) -> str:
    """Write any value of a document for people, on one line."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return count(value)
        case datetime():
            return moment(value)
        case ClusterTime():
            return cluster_time(value)
        case Mapping():
            return ", ".join(f"{key}={text(each)}" for key, each in value.items())
        case Sequence() if not isinstance(value, str | bytes):
            return ", ".join(text(each) for each in value)
        case _:
            return str(value)
