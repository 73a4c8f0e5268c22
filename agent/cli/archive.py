"""The archive of the oplog, and what can be restored, each in one line."""

from collections.abc import Sequence
from datetime import datetime

from agent.cli import words
from agent.cli.console import Document
from agent.cli.verdict import Picture
from agent.model.cluster_time import ClusterTime


def archive_line(picture: Picture) -> str:
    """Say how far the archive reaches, how late it is, and how long it may fail; "" if unknown."""
    archive = picture.archive
    if archive is None:
        return ""
    return ", ".join(each for each in _parts(archive, picture) if each)


def _parts(archive: Document, picture: Picture) -> tuple[str, ...]:
    reached, stored_at = archive.get("archived_to"), archive.get("archived_at")
    lag_s, headroom_s = archive.get("lag_s"), archive.get("headroom_s")
    gaps = archive.get("gaps")
    gap_count = len(gaps) if isinstance(gaps, Sequence) else 0
    return (
        "" if (picture.cluster or {}).get("archiver") else "nobody archives now",
        f"up to {words.moment(reached.wall)}" if isinstance(reached, ClusterTime) else "",
        f"stored {words.ago(stored_at, picture.now)}" if isinstance(stored_at, datetime) else "",
        f"lag {words.duration(lag_s)}" if isinstance(lag_s, int | float) else "",
        f"headroom {words.duration(headroom_s)}" if isinstance(headroom_s, int | float) else "",
        f"{gap_count} gap{'s' if gap_count > 1 else ''}" if gap_count else "",
    )


def recoverable_line(picture: Picture) -> str:
    """Write the newest range of times that can be restored, and how many there are before it."""
    ranges = picture.ranges
    if not ranges:
        return ""
    newest = ranges[-1]
    earlier = len(ranges) - 1
    more = f", and {earlier} earlier range{'s' if earlier > 1 else ''}" if earlier else ""
    if not picture.is_led and picture.told_at is not None:
        more += f" (as of {words.moment(picture.told_at)})"
    if newest.begin == newest.last:
        return f"{words.moment(newest.last.wall)}{more}"
    return f"{words.moment(newest.begin.wall)} to {words.moment(newest.last.wall)}{more}"
