"""What is left of backups that never came to be: pure, from what a listing tells."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

# Longer than an upload may take to arrive, than hosts' clocks differ, and than a storage keeps
# anybody from writing who does not give up. A backup that is being made writes all the time.
SAFE_AGE: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """The objects of one backup id; ``written_at`` is when the newest of them was written.

    It is None if the storage does not tell that of all.
    """

    backup_id: str
    has_manifest: bool
    objects: int
    stored_bytes: int
    written_at: datetime | None


def orphans(found: Iterable[Remains], busy: Collection[str], now: datetime) -> tuple[Remains, ...]:
    """Return what may go, oldest first; ``busy`` are ids of backups that some job still makes.

    Those have no manifest, so that they are no backups, and nothing was written for a day: not
    by another cluster of this name either, whose jobs nobody here knows.
    """
    return tuple(
        sorted(
            (
                each
                for each in found
                if not each.has_manifest
                and each.backup_id not in busy
                and each.written_at is not None
                and each.written_at <= now - SAFE_AGE
            ),
            key=lambda each: each.backup_id,
        )
    )
