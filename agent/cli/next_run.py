"""When schedules are due next, in a line."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from agent.cli import words
from agent.cli.verdict import Picture


def next_line(picture: Picture) -> str:
    """Say which schedule is due next; "" if that is not known."""
    found = (picture.cluster or {}).get("next_runs") if picture.is_led else None
    first = found[0] if isinstance(found, Sequence) and found else None
    at = first.get("at") if isinstance(first, Mapping) else None
    if not isinstance(first, Mapping) or not isinstance(at, datetime):
        return ""
    return f"{first.get('command')} ({first.get('schedule')}) {when(at, picture.now)}"


def when(at: datetime, now: datetime) -> str:
    """Write a moment that is to come, and how long that is."""
    return f"{words.moment(at)}, in {words.duration((at - now).total_seconds())}"
