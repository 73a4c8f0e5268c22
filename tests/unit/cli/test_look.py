"""The verbs that only look."""

from dataclasses import replace
from datetime import timedelta
from io import StringIO

import pytest
from rich.console import Console as Rich

from agent.cli.overview import overview
from agent.cli.verdict import Picture
from agent.core.errors import TransientError
from agent.model.cluster_time import ClusterTime
from agent.model.verdict import Verdict
from tests.fakes.console import NOW
from tests.unit.cli.terminal import (
    Terminal,
    a_backup,
    a_cluster,
    an_agent,
    an_archive,
    kept,
)


@pytest.fixture
def terminal() -> Terminal:
    """A terminal on a replica set in good order."""
    terminal = Terminal()
    terminal.console.agent_list = [an_agent("a:27017"), an_agent("b:27017"), an_agent("c:27017")]
    terminal.console.entry_list = [a_backup("20261120T181512Z", age_h=26), a_backup()]
    terminal.console.documents.cluster_document = a_cluster()
    return terminal


def _first_line(text: str) -> str:
    return text.splitlines()[0]


def test_status_says_first_that_all_is_safe(terminal: Terminal) -> None:
    """One sentence, before anything else."""
    ended = terminal("status")
    expected = (
        "Safe: 2 backups can be restored, and no times between them; the newest backup is 2 hours"
        " old."
    )
    assert (0, expected) == (ended.exit_code, _first_line(ended.stdout))


def test_status_fits_one_screen(terminal: Terminal) -> None:
    """Even with many problems it is at most 24 lines."""
    problem = {"level": "warning", "message": "m", "hint": "h"}
    terminal.console.documents.cluster_document = a_cluster(*[problem] * 30)
    shown = terminal("status").stdout.splitlines()
    assert len(shown) <= 24
    assert any("and 26 more" in line for line in shown)


def test_without_a_backup_it_is_not_safe(terminal: Terminal) -> None:
    """The exit status tells scripts, too."""
    terminal.console.entry_list = []
    ended = terminal("status")
    assert (8, "Not safe: there is no backup.") == (ended.exit_code, _first_line(ended.stdout))


def test_a_stale_agent_is_shown_as_not_there(terminal: Terminal) -> None:
    """A document over 15 seconds old belongs to an agent that is not there."""
    terminal.console.agent_list = [an_agent("a:27017", age_s=15), an_agent("b:27017", age_s=16)]
    lines = terminal("status").stdout.splitlines()
    (gone,) = (line for line in lines if line.startswith("b:27017"))
    (present,) = (line for line in lines if line.startswith("a:27017"))
    assert "not there" in gone
    assert "not there" not in present


def test_without_agents_it_is_not_safe(terminal: Terminal) -> None:
    """What the agents wrote before they went says nothing of now."""
    terminal.console.agent_list = [an_agent(age_s=3600)]
    terminal.console.documents.cluster_document = a_cluster(age_s=3600)
    ended = terminal("status")
    assert 8 == ended.exit_code
    first, second = ended.stdout.splitlines()[:2]
    assert first.startswith("Not safe since 2026-11-21 19:15:12 UTC (1 hour): no agent is there.")
    assert "Do: start `backstay run` beside each node" == second


def test_without_a_coordinator_it_is_not_safe(terminal: Terminal) -> None:
    """Agents alone take no command."""
    terminal.console.documents.cluster_document = a_cluster(age_s=16)
    first = _first_line(terminal("status").stdout)
    assert first.startswith("Not safe since 2026-11-21 20:14:56 UTC (16 s): no agent coordinates")


def test_an_error_makes_it_not_safe_and_comes_first(terminal: Terminal) -> None:
    """Errors stand before warnings, each with its hint."""
    terminal.console.documents.cluster_document = a_cluster(
        {"level": "warning", "message": "an agent is missing", "hint": "start it"},
        {"level": "error", "message": "the storage does not answer", "hint": "look at the bucket"},
    )
    ended = terminal("status")
    assert 8 == ended.exit_code
    assert _first_line(ended.stdout).startswith("Not safe: the storage does not answer. ")
    shown = ended.stdout
    assert shown.index("Do: look at the bucket") < shown.index("hint: start it")


def test_a_warning_leaves_it_safe(terminal: Terminal) -> None:
    """A warning is told in the sentence, and the exit status stays 0."""
    terminal.console.documents.cluster_document = a_cluster({
        "level": "warning",
        "message": "an agent is missing",
        "hint": "start it",
    })
    ended = terminal("status")
    assert (0, True) == (ended.exit_code, ended.stdout.startswith("Safe, with 1 warning: "))


def test_status_shows_what_runs(terminal: Terminal) -> None:
    """The running job, how far it is and how long it should take."""
    running = {"command": "backup", "phase": "reading", "percent": 43.2, "eta_s": 12.0}
    terminal.console.documents.cluster_document = a_cluster(running=running)
    assert "backup: reading 43 %, 12 s left" in terminal("status").stdout


def test_status_shows_what_a_dead_coordinator_left_running(terminal: Terminal) -> None:
    """A switch may be half done: that is not nothing."""
    running = {"command": "restore", "phase": "switching", "percent": 100.0, "eta_s": 0.0}
    told_at = NOW - timedelta(minutes=2)
    terminal.console.documents.cluster_document = a_cluster(running=running, updated_at=told_at)
    assert "restore: switching 100 %, and nobody goes on with it now" in terminal("status").stdout


def test_status_shows_the_archive_in_a_line(terminal: Terminal) -> None:
    """How far, how long ago, how late, how long it may fail."""
    terminal.console.documents.cluster_document = a_cluster(**an_archive())
    lines = terminal("status").stdout.splitlines()
    (line,) = (line for line in lines if line.strip().startswith("archive "))
    expected = "up to 2026-11-21 20:15:07 UTC, stored 3 s ago, lag 4 s, headroom 1 d 0 h"
    assert expected == line.split("archive", 1)[1].strip()


def test_status_shows_an_archive_that_nobody_keeps(terminal: Terminal) -> None:
    """What is archived is still shown, and how much has come since."""
    error = {"level": "error", "message": "nobody archives the oplog", "hint": "see the logs"}
    archive = an_archive(lag_s=400, archiver=None)
    gaps = [{"from": ClusterTime(1, 1), "to": ClusterTime(2, 1)}]
    archive["oplog"] = {**archive["oplog"], "gaps": gaps}
    terminal.console.documents.cluster_document = a_cluster(error, **archive)
    ended = terminal("status")
    assert 8 == ended.exit_code
    assert "Not safe: nobody archives the oplog. " in _first_line(ended.stdout)
    (line,) = (line for line in ended.stdout.splitlines() if line.strip().startswith("archive "))
    assert "nobody archives now, up to 2026-11-21 20:15:07 UTC, " in line
    assert "lag 6 min 40 s" in line
    assert line.endswith(", 1 gap")


def test_status_shows_no_archive_where_there_is_none(terminal: Terminal) -> None:
    """Nor one that a coordinator told of that is gone."""
    terminal.console.documents.cluster_document = a_cluster(oplog=None, archiver=None)
    assert "archive" not in terminal("status").stdout
    terminal.console.documents.cluster_document = a_cluster(age_s=16, **an_archive())
    assert "up to 2026-11-21" not in terminal("status").stdout


def test_status_shows_what_can_be_restored_as_ranges(terminal: Terminal) -> None:
    """The newest one in full; a single moment where there is no more."""

    def shown(*ranges: tuple[int, int]) -> str:
        begin = 1_795_291_200
        recoverable = [
            {"from": ClusterTime(begin + one, 1), "to": ClusterTime(begin + two, 9)}
            if one != two
            else {"from": ClusterTime(begin + one, 1), "to": ClusterTime(begin + one, 1)}
            for one, two in ranges
        ]
        terminal.console.documents.cluster_document = a_cluster(recoverable=recoverable)
        lines = terminal("status").stdout.splitlines()
        return next(
            (
                line.split("recoverable", 1)[1].strip()
                for line in lines
                if line.strip().startswith("recoverable")
            ),
            "",
        )

    moment = "2026-11-21 20:00:00 UTC"
    assert not shown()
    assert moment == shown((0, 0))
    assert f"{moment} to 2026-11-21 20:01:30 UTC" == shown((0, 90))
    assert f"{moment} to 2026-11-21 20:00:09 UTC, and 1 earlier range" == shown((-5, -5), (0, 9))
    assert shown((-50, -40), (-5, -5), (0, 9)).endswith(", and 2 earlier ranges")


def test_status_with_an_archive_fits_one_screen(terminal: Terminal) -> None:
    """With many problems, too."""
    problem = {"level": "warning", "message": "m", "hint": "h"}
    recoverable = [{"from": ClusterTime(1, 1), "to": ClusterTime(2, 1)}] * 3
    document = a_cluster(*[problem] * 30, recoverable=recoverable, **an_archive())
    terminal.console.documents.cluster_document = document
    assert len(terminal("status").stdout.splitlines()) <= 24


def test_status_as_json(terminal: Terminal) -> None:
    """Everything on the screen, and whether each agent is there."""
    terminal.console.agent_list[2] = an_agent("c:27017", age_s=100)
    shown = terminal.json("status")
    assert (True, [True, True, False]) == (
        shown["safe"],
        [each["is_there"] for each in shown["agents"]],
    )
    assert "rs0" == shown["cluster"]["replset"]


def test_list_is_newest_first(terminal: Terminal) -> None:
    """The backup that one would restore stands on top."""
    lines = terminal("list").stdout.splitlines()
    assert ["20261121T181512Z", "20261120T181512Z"] == [line.split()[0] for line in lines[1:3]]
    assert "2026-11-21 18:15:12" in lines[1]


def test_list_says_what_was_verified(terminal: Terminal) -> None:
    """Damage stands out, and stays until a look as deep is good."""
    sound = Verdict(depth="content", checked_at=NOW - timedelta(hours=3), is_sound=True)
    bad = replace(sound, is_sound=False)
    later = Verdict(depth="objects", checked_at=NOW - timedelta(minutes=5), is_sound=True)
    newest, older = a_backup(), a_backup("20261120T181512Z", age_h=26)
    oldest = a_backup("20261119T181512Z", age_h=50)
    terminal.console.entry_list = [
        kept(newest, verdicts=(sound,)),
        kept(older, verdicts=(later, bad)),
        oldest,
    ]
    assert "verified (content) 3 hours ago" in terminal("status").stdout
    lines = terminal("list").stdout.splitlines()
    assert "content, 3 hours ago" in lines[1]
    assert "DAMAGED, 3 hours ago" in lines[2]
    assert "never" in lines[3]
    shown = terminal("show", older.backup_id).stdout
    assert "verified (objects)" in shown
    assert "DAMAGED, 2026-11-21" in shown
    document = terminal.json("show", older.backup_id)
    assert ("content", False, 2) == (
        document["verdict"]["depth"],
        document["verdict"]["is_sound"],
        len(document["verdicts"]),
    )
    assert terminal.json("show", oldest.backup_id)["verdict"] is None


def test_list_as_json(terminal: Terminal) -> None:
    """One array; the consistent time can be given to `restore --to`."""
    (newest, _) = terminal.json("list")
    entry = terminal.console.entry_list[1]
    time = entry.consistent_at
    assert (entry.backup_id, f"{time.seconds}.{time.increment}") == (
        newest["backup"],
        newest["consistent_at"],
    )


def test_list_of_nothing(terminal: Terminal) -> None:
    """No backup is said in words to people, and is an empty array to scripts."""
    terminal.console.entry_list = []
    assert "There is no backup.\n" == terminal("list").stdout
    assert [] == terminal.json("list")


def test_show_a_backup(terminal: Terminal) -> None:
    """Everything that is known of it, its exact time among that."""
    entry = kept(a_backup("20261121T000000Z"), keep=True, note="before 2.0", tags={"by": "ada"})
    terminal.console.entry_list.append(entry)
    shown = terminal("show", "20261121T000000Z").stdout
    for expected in ("before 2.0", "by=ada", "retention never deletes it", "a:27017, b:27017"):
        assert expected in shown
    assert f"({entry.consistent_at.seconds}.3)" in shown


def test_show_a_command(terminal: Terminal) -> None:
    """What was asked for, and how it ended."""
    terminal.console.documents.stored["an-id"] = {
        "_id": "an-id",
        "command": "restore",
        "to": ClusterTime(1795292112, 3),
        "state": "rejected",
        "error": {"code": "c", "message": "no backup stands for that", "hint": "take another"},
    }
    ended = terminal("show", "an-id")
    assert 0 == ended.exit_code
    assert "restore an-id: rejected" == _first_line(ended.stdout)
    assert "2026-11-21 20:15:12 UTC (1795292112.3)" in ended.stdout
    assert "hint: take another" in ended.stderr


def test_show_follows_a_command(terminal: Terminal) -> None:
    """One can come back to a command that was left alone."""
    terminal.console.documents.stored["an-id"] = {"_id": "an-id", "command": "backup"}
    terminal.ends({}, {"state": "running"}, {"state": "canceled"})
    assert 6 == terminal("show", "an-id", "--follow").exit_code


def test_show_of_nothing(terminal: Terminal) -> None:
    """An id that nothing has is an error."""
    ended = terminal("show", "nonsense")
    assert 1 == ended.exit_code
    assert "neither a backup nor a command nonsense" in ended.stderr


def test_watch_elsewhere_than_at_a_terminal_tells_what_changes(terminal: Terminal) -> None:
    """A line at first and one for each new answer; Ctrl-C ends it, with what was true last."""
    sound = terminal.console.documents.cluster_document
    error = {"level": "error", "message": "the storage is away", "hint": "", "since": NOW}
    terminal.console.documents.clusters = [sound, sound, a_cluster(error), KeyboardInterrupt()]
    ended = terminal("status", "--watch")
    assert 8 == ended.exit_code
    lines = [line.split("  ")[1] for line in ended.stdout.splitlines()]
    assert ["Safe: 2 ", "Not safe"] == [line[:8] for line in lines]


def test_watch_bears_an_election(terminal: Terminal) -> None:
    """It says once that nobody answers, and goes on when somebody does."""
    away = TransientError("mongodb_unreachable", "nobody answers")
    sound = terminal.console.documents.cluster_document
    terminal.console.documents.clusters = [sound, away, away, sound, KeyboardInterrupt()]
    ended = terminal("status", "--watch")
    assert 0 == ended.exit_code
    told = ["Safe: " in line for line in ended.stdout.splitlines()]
    assert [True, False, True] == told
    assert "The replica set cannot be asked: nobody answers" in ended.stdout


def test_status_shows_what_schedules_do_next(terminal: Terminal) -> None:
    """The nearest first; whatever is odd in them is left out."""
    runs = [
        {"schedule": "weekly", "command": "verify", "at": NOW + timedelta(days=3)},
        {"schedule": "nightly", "command": {"command": "backup"}, "at": NOW + timedelta(hours=6)},
        {"schedule": "odd", "at": None},
        "odder",
    ]
    terminal.console.documents.cluster_document = a_cluster(next_runs=runs)
    lines = [line.strip() for line in terminal("status").stdout.splitlines()]
    first = lines.index("next           backup (nightly) in 6 h 00 min, 2026-11-22 02:15:12 UTC")
    assert "verify (weekly) in 3 d 0 h, 2026-11-24 20:15:12 UTC" == lines[first + 1]
    assert "odd" not in "".join(lines)


@pytest.mark.parametrize("lines", [12, 24, 40])
def test_status_fits_the_terminal_whatever_is_wrong(lines: int) -> None:
    """Long problems, many agents with long names, many runs: 80 columns, and no line too many."""
    long = "the oplog from 2026-11-21T20:15:12Z to 2026-11-21T20:19:12Z was never archived: " * 2
    troubles = [{"level": "error", "message": long, "hint": long, "since": NOW}] * 7
    runs = [{"schedule": f"s{n}", "command": "backup", "at": NOW} for n in range(9)]
    picture = Picture(
        now=NOW,
        agents=[an_agent(f"database-{n}.eu-west-1.example.net:27017") for n in range(9)],
        entries=[a_backup()],
        cluster=a_cluster(*troubles, next_runs=runs, **an_archive()),
    )
    on = Rich(file=StringIO(), force_terminal=True, width=80, height=lines)
    parts = overview(picture, on)
    drawn = [line for part in parts for line in on.render_lines(part, pad=False)]
    assert len(drawn) < lines or lines == 12
    assert "Not safe since" in "".join(each.text for each in drawn[0])


def test_list_draws_what_can_be_restored(terminal: Terminal) -> None:
    """Full where every second can be, a mark for each backup, and what the signs mean."""
    newest, oldest = terminal.console.entry_list[1], terminal.console.entry_list[0]
    ranges = [{"from": oldest.consistent_at, "to": ClusterTime(int(NOW.timestamp()) - 4, 1)}]
    terminal.console.documents.cluster_document = a_cluster(recoverable=ranges)
    told, cells, marks, ends, legend = terminal("list").stdout.splitlines()[-5:]
    assert told.startswith("recoverable: 2026-11-20 18:15:12 UTC to 2026-11-21 20:15:08 UTC")
    assert {"█"} == set(cells)
    assert 110 == marks.index("▲", 1)
    assert "▲" == marks[0]
    assert ends.startswith("2026-11-20 18:15")
    assert ends.endswith("now (UTC)")
    assert "█ restorable to any second  ▲ backup" == legend
    assert newest.backup_id in terminal("list").stdout
