"""The verb prune, and what it prints."""

import pytest

from tests.fakes.console import NOW
from tests.unit.cli.terminal import Terminal

_RESULT = {
    "storage": "main",
    "dry_run": False,
    "backups": 51,
    "segments": 12,
    "orphans": 2,
    "bytes": 3_000_000,
    "staying": 3,
    "going": [{"backup": "20260101T030000Z", "bytes": 1_000_000, "why": "no rule keeps it (x)"}],
    "archive": [
        {"replset_id": "a", "segments": 12, "bytes": 36, "why": "it needs what comes after"},
        {"replset_id": "b", "segments": 0, "bytes": 0, "why": "another one writes it"},
    ],
    "orphaned": [{"backup": "20260102T030000Z", "objects": 2, "bytes": 9}],
    "kept": [{"backup": "20260105T030000Z", "bytes": 5, "why": "it is the newest good backup"}],
    "unreadable": [{"backup": "20260104T030000Z", "what": "its manifest is cut off"}],
    "foreign": 1,
    "left": 0,
    "refused": [],
    "old_versions": "kept",
}


@pytest.fixture
def terminal() -> Terminal:
    """A terminal on an empty replica set."""
    return Terminal()


def test_prune_inserts_its_options(terminal: Terminal) -> None:
    """Only those that were given."""
    done = {"state": "done", "finished_at": NOW, "result": _RESULT}
    terminal.ends(done)
    terminal("prune")
    terminal.ends(done)
    terminal("prune", "--dry-run", "--storage", "old")
    second = {"command": "prune", "dry_run": True, "storage": "old"}
    assert [{"command": "prune"}, second] == terminal.console.inserted


def test_prune_shows_what_went_and_why_the_rest_stays(terminal: Terminal) -> None:
    """A line each, sums, and what deleted objects go on to cost."""
    terminal.ends({"state": "done", "finished_at": NOW, "result": _RESULT})
    ended = terminal("prune")
    assert 0 == ended.exit_code
    lines = [" ".join(line.split()) for line in ended.stdout.splitlines()]
    for line in (
        "gone backup 20260101T030000Z 1.0 MB no rule keeps it (x)",
        "gone 12 segments of oplog 36 B it needs what comes after",
        "gone left of 20260102T030000Z 9 B it is no backup, and over a day old",
        "stays backup 20260105T030000Z 5 B it is the newest good backup",
        "stays backup 20260104T030000Z its manifest is cut off",
        "... and 50 more that go",
        "... and 1 more that stay",
        "gone 51 backups, 12 segments, 2 objects of dead jobs: 3.0 MB",
        "no oplog goes: nobody knows what a manifest that cannot be read needs",
        "1 objects there are not Backstay's, and were left alone",
    ):
        assert line in lines
    assert "another one writes it" not in ended.stdout
    assert "NoncurrentVersionExpiration" in ended.stdout


def test_a_dry_run_says_that_nothing_was_changed(terminal: Terminal) -> None:
    """What would go is not told as gone."""
    terminal.ends({
        "state": "done",
        "dry_run": True,
        "finished_at": NOW,
        "result": {**_RESULT, "dry_run": True},
    })
    shown = terminal("prune", "--dry-run").stdout
    assert "(dry run: nothing was changed)" in shown
    assert "goes" in shown
    assert "would go" in shown
    assert "gone" not in shown


def test_prune_shows_what_could_not_be_deleted(terminal: Terminal) -> None:
    """The exit status tells scripts."""
    terminal.ends({
        "state": "failed",
        "result": {**_RESULT, "left": 2, "refused": [{"key": "rs/a", "what": "denied"}]},
        "error": {"code": "prune_incomplete", "message": "2 objects", "hint": "allow it"},
    })
    ended = terminal("prune")
    assert 3 == ended.exit_code
    assert {"2 could not be deleted", "  rs/a: denied"} <= set(ended.stdout.splitlines())


def test_a_prune_that_told_nothing_prints_no_table(terminal: Terminal) -> None:
    """It was rejected before it looked."""
    terminal.ends({
        "state": "rejected",
        "error": {"code": "retention_unclear", "message": "a schedule", "hint": "correct it"},
    })
    ended = terminal("prune")
    assert (4, "prune rejected") == (ended.exit_code, ended.stdout.splitlines()[0])
