"""Which remains of backups may go."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from agent.model.orphans import SAFE_AGE, Remains, orphans

NOW = datetime(2026, 11, 21, tzinfo=UTC)
OLD = Remains(
    backup_id="20261101T000000Z",
    has_manifest=False,
    objects=2,
    stored_bytes=9,
    written_at=NOW - SAFE_AGE,
)


def test_old_remains_without_a_manifest_are_orphans() -> None:
    """Oldest first."""
    older = replace(OLD, backup_id="20261031T000000Z")
    assert (older, OLD) == orphans([OLD, older], (), NOW)


def test_what_may_still_be_a_backup_is_none() -> None:
    """It is one, is being made, was written lately, or nobody knows when."""
    lately = NOW - SAFE_AGE + timedelta(seconds=1)
    found = [
        replace(OLD, has_manifest=True),
        replace(OLD, written_at=lately),
        replace(OLD, written_at=None),
        replace(OLD, written_at=NOW + timedelta(days=9)),
    ]
    assert () == orphans(found, (), NOW)
    assert () == orphans([OLD], {OLD.backup_id}, NOW)
