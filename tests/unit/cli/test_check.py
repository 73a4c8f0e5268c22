"""``backstay check``: asks the agents, or tests from here."""

import json
from typing import Any

import pytest

from agent.core.errors import TransientError
from tests.fakes.console import NOW
from tests.unit.cli.terminal import Terminal, an_agent


def _row(agent: str, outcome: str, test: str, **more: Any) -> dict[str, Any]:
    empty = {"storage": None, "message": f"{test} is {outcome}", "missing": None, "hint": ""}
    return {"agent": agent, "test": test, "outcome": outcome, **empty, **more}


ROWS = [
    _row("b:1", "failed", "put", storage="main", hint="allow s3:PutObject", code="storage_denied"),
    _row("a:1", "ok", "backup privileges", message="the user has find"),
    _row("a:1", "ok", "backup privileges", message="the user has insert"),
    _row("a:1", "ok", "user"),
    _row("b:1", "ok", "user"),
]
RESULT = {"ok": 4, "warnings": 0, "failed": 1, "rows": ROWS}
ENDED = {
    "state": "failed",
    "finished_at": NOW,
    "result": RESULT,
    "error": {"code": "check_failed", "message": "1 of 5 tests failed", "hint": "see the rows"},
}


@pytest.fixture
def terminal() -> Terminal:
    """A terminal on an empty replica set."""
    return Terminal()


def test_the_agents_are_asked_and_what_failed_stands_first(terminal: Terminal) -> None:
    """With the mend, and one line for what several agents found alike."""
    terminal.console.agent_list = [an_agent("a:1"), an_agent("b:1")]
    terminal.ends(ENDED)
    done = terminal("check")
    assert [{"command": "check"}] == terminal.console.inserted
    assert 3 == done.exit_code
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines[2:] == [
        "failed put (main) b:1 put is failed [storage_denied]",
        "allow s3:PutObject",
        "ok backup privileges a:1 2 of them are there",
        "ok user all user is ok",
        "1 failed, 0 warnings, 4 ok",
    ]


def test_json_is_the_document_of_the_command(terminal: Terminal) -> None:
    """For scripts."""
    terminal.console.agent_list = [an_agent("a:1")]
    terminal.ends(ENDED)
    assert ROWS == terminal.json("check")["result"]["rows"]


@pytest.mark.parametrize(("failed", "status"), [(0, 0), (1, 3)])
def test_local_tests_from_here_and_inserts_nothing(
    terminal: Terminal, failed: int, status: int
) -> None:
    """The exit status tells whether anything failed."""
    terminal.console.agent_list = [an_agent("a:1")]
    terminal.found_here = {**RESULT, "failed": failed}
    assert status == terminal("check", "--local").exit_code
    assert [] == terminal.console.inserted
    document = json.loads(terminal("check", "--local", "--json").stdout)
    assert ROWS == document["result"]["rows"]
    assert ("failed" if failed else "done") == document["state"]


def test_without_agents_the_tests_run_from_here_and_it_says_so(terminal: Terminal) -> None:
    """Also when MongoDB does not answer: then that is what has to be found out."""
    terminal.found_here = {**RESULT, "failed": 0}
    terminal.console.agent_list = [an_agent("a:1", age_s=60)]
    alone = terminal("check")
    terminal.open_error = TransientError("mongodb_unreachable", "MongoDB cannot be reached")
    away = terminal("check")
    assert (0, 0) == (alone.exit_code, away.exit_code)
    assert "no agent is there, so the tests run from here" in alone.stderr
    assert "MongoDB cannot be reached; so the tests run from here" in away.stderr
    assert [] == terminal.console.inserted
