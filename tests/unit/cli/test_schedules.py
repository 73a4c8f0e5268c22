"""The verb that lists schedules, and the next run in the status."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.cli.terminal import Terminal, a_backup, a_cluster, an_agent

NIGHTLY: dict[str, Any] = {
    "_id": "nightly",
    "cron": "0 3 * * *",
    "timezone": "Europe/Vienna",
    "command": {"command": "backup", "namespaces": ["shop.*"]},
    "retention": {"keep_last": 3, "keep_daily": 7},
    "handled_to": datetime(2026, 11, 21, 2, tzinfo=UTC),
    "seen_as": "0 3 * * * Europe/Vienna on",
}
OFF: dict[str, Any] = {"_id": "off", "retention": {"keep_last": 1}, "enabled": False}
BAD: dict[str, Any] = {**NIGHTLY, "_id": "bad", "timezone": "Europe/Wienna"}


@pytest.fixture
def terminal() -> Terminal:
    """A terminal on a replica set in good order, with schedules of every kind; it is 20:15 UTC."""
    terminal = Terminal()
    terminal.console.agent_list = [an_agent()]
    terminal.console.entry_list = [a_backup()]
    terminal.console.documents.cluster_document = a_cluster()
    terminal.console.documents.schedule_documents = [BAD, NIGHTLY, OFF]
    return terminal


def line(terminal: Terminal, name: str) -> str:
    """Return what is shown of a schedule."""
    (found,) = (
        each for each in terminal("schedules").stdout.splitlines() if each.startswith(f"{name} ")
    )
    return " ".join(found.split())


def test_a_schedule_is_a_line(terminal: Terminal) -> None:
    """When it runs what, by its own clock, what it keeps, and when it is due in UTC."""
    expected = (
        "nightly 0 3 * * * Europe/Vienna backup namespaces=shop.* keep_last=3, keep_daily=7"
        " in 5 h 44 min, 2026-11-22 02:00:00 UTC"
    )
    assert expected == line(terminal, "nightly")
    assert "off UTC keep_last=1 disabled" == line(terminal, "off")


def test_one_that_makes_no_sense_says_why(terminal: Terminal) -> None:
    """Also while no agent is there to tell it."""
    terminal.console.documents.cluster_document = None
    ended = terminal("schedules")
    assert 0 == ended.exit_code
    assert line(terminal, "bad").endswith("never bad_schedule")
    assert "did you mean 'Europe/Vienna'" in ended.stdout


def test_what_agents_tell_of_a_schedule_stands_beside_it(terminal: Terminal) -> None:
    """Of this one alone, and nothing twice."""
    problems = [
        {"code": "backup_overdue", "message": "as the schedule 'nightly' promises", "hint": "why"},
        {"code": "bad_schedule", "message": "the schedule 'bad': timezone ...", "hint": ""},
    ]
    terminal.console.documents.cluster_document = a_cluster(*problems)
    found = {each["schedule"]: each for each in terminal.json("schedules")}
    assert ["backup_overdue"] == [each["code"] for each in found["nightly"]["problems"]]
    assert ["bad_schedule"] == [each["code"] for each in found["bad"]["problems"]]
    assert [] == found["off"]["problems"]


def test_json_has_what_was_written_and_when_it_is_due(terminal: Terminal) -> None:
    """Without the marks of the agents."""
    found = {each["schedule"]: each for each in terminal.json("schedules")}
    assert {
        "schedule": "nightly",
        "cron": "0 3 * * *",
        "timezone": "Europe/Vienna",
        "command": {"command": "backup", "namespaces": ["shop.*"]},
        "retention": {"keep_last": 3, "keep_daily": 7},
        "storage": None,
        "enabled": True,
        "next_run": "2026-11-22T02:00:00.000Z",
        "problems": [],
    } == found["nightly"]
    assert (False, None) == (found["off"]["enabled"], found["off"]["next_run"])


def test_without_schedules_it_says_so(terminal: Terminal) -> None:
    """And in JSON it is an empty list."""
    terminal.console.documents.schedule_documents = []
    assert terminal("schedules").stdout.startswith("There is no schedule.")
    assert [] == terminal.json("schedules")
