"""What a webhook is told, and when."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.model.cluster_time import ClusterTime
from agent.model.notices import Notice, body_of, id_of, of_command, of_problems
from agent.model.outcome import Failure
from agent.model.states import END_STATES, State
from agent.model.status import Problem

NOW = datetime(2026, 11, 22, 3, 0, 0, 123000, tzinfo=UTC)
AWAY = Problem(code="agent_missing", level="warning", message="m", hint="h", since=NOW)
OTHER = replace(AWAY, message="of another")


def events(*looks: tuple[Problem, ...]) -> list[tuple[str, str]]:
    """Return event and message of each notice between two looks."""
    return [
        (each.event, str(_problem(each)["message"])) for each in of_problems(looks[0], looks[1])
    ]


def _problem(notice: Notice) -> dict[str, Any]:
    found = notice.facts["problem"]
    assert isinstance(found, dict)
    return found


def document(notice: Notice) -> dict[str, Any]:
    """Return what is posted."""
    found: dict[str, Any] = json.loads(body_of(notice, replset="rs0", agent="a:1", time=NOW))
    return found


def test_a_problem_is_told_when_it_begins_and_when_it_ends() -> None:
    """Not while it stands, also if its hint changes."""
    assert [("problem_begun", "m")] == events((), (AWAY,))
    assert [] == events((AWAY,), (replace(AWAY, hint="another"),))
    assert [("problem_ended", "m")] == events((AWAY,), ())
    assert [("problem_begun", "of another"), ("problem_ended", "m")] == events((AWAY,), (OTHER,))


def test_a_warning_that_becomes_an_error_is_told_again() -> None:
    """As another notice; an error that becomes a warning is not."""
    error = replace(AWAY, level="error")
    assert [("problem_begun", "m")] == events((AWAY,), (error,))
    assert [] == events((error,), (AWAY,))
    (first,), (second,) = of_problems((), (AWAY,)), of_problems((AWAY,), (error,))
    assert id_of(first, "rs0") != id_of(second, "rs0")


def test_the_same_notice_has_the_same_id_whoever_sends_it() -> None:
    """What a document in MongoDB cannot keep of a time does not matter; the replica set does."""
    (first,) = of_problems((), (AWAY,))
    (again,) = of_problems((), (replace(AWAY, since=NOW + timedelta(microseconds=400)),))
    (later,) = of_problems((), (replace(AWAY, since=NOW + timedelta(seconds=1)),))
    assert id_of(first, "rs0") == id_of(again, "rs0")
    assert 4 == len({id_of(first, "rs0"), id_of(later, "rs0"), id_of(first, "rs1"), ""})


def test_what_is_posted_of_a_problem() -> None:
    """Everything that the status has of it, and a line for people."""
    (notice,) = of_problems((), (AWAY,))
    assert {
        "id": id_of(notice, "rs0"),
        "event": "problem_begun",
        "time": "2026-11-22T03:00:00.123Z",
        "replset": "rs0",
        "agent": "a:1",
        "text": "backstay rs0: warning: m",
        "problem": {
            "code": "agent_missing",
            "level": "warning",
            "message": "m",
            "hint": "h",
            "since": "2026-11-22T03:00:00.123Z",
        },
    } == document(notice)


@pytest.mark.parametrize("state", sorted(END_STATES))
def test_every_end_of_a_command_is_an_event(state: State) -> None:
    """Named after the state."""
    notice = of_command("x", "backup", state, result=None, failure=None)
    assert f"command_{state}" == notice.event


def test_what_is_posted_of_a_command() -> None:
    """The plain part of its result, in JSON's types."""
    result = {
        "backup": "20261122T030000Z",
        "consistent_at": ClusterTime(1795302427, 3),
        "docs": 12,
        "nodes": ["a:1"],
        "plan": {},
    }
    notice = of_command("x", "backup", State.DONE, result=result, failure=None)
    shown = document(notice)
    assert "backstay rs0: backup done" == shown["text"]
    assert {
        "id": "x",
        "command": "backup",
        "state": "done",
        "result": {
            "backup": "20261122T030000Z",
            "consistent_at": "2026-11-21T23:07:07.000Z",
            "docs": 12,
        },
    } == shown["command"]


def test_what_is_posted_of_a_failure() -> None:
    """Its code, message and hint."""
    failure = Failure(code="c", message="why", hint="do")
    shown = document(of_command("x", "verify", State.FAILED, result=None, failure=failure))
    assert "backstay rs0: verify failed: why" == shown["text"]
    assert {"code": "c", "message": "why", "hint": "do"} == shown["command"]["error"]


def test_what_a_role_was_given_is_not_posted() -> None:
    """An external id is between whoever asked and AWS."""
    result = {"external_id": "8d0f4c1e"}
    notice = of_command("x", "authorize_role", State.DONE, result=result, failure=None)
    assert "8d0f4c1e" not in json.dumps(document(notice))
