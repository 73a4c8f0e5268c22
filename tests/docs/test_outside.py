"""Notices and hooks: docs/operations.md has every event, hook and variable, and a true example."""

import json
from datetime import UTC, datetime
from typing import Any, get_args

from agent.model.commands import Backup
from agent.model.hooks import HookName, variables
from agent.model.notices import NoticeEvent, body_of, id_of, of_problems
from agent.model.outcome import Failure
from agent.model.states import State
from agent.model.status import Problem
from tests.docs import documents
from tests.docs.documents import OPERATIONS

TEXT = documents.section(OPERATIONS, "Notices and hooks")


def example() -> dict[str, Any]:
    """Return the notice that is shown."""
    (shown,) = documents.fenced(TEXT, "json")
    found: dict[str, Any] = json.loads(shown)
    return found


def test_every_event_and_hook_is_explained() -> None:
    """By its name in the configuration."""
    named = set(documents.all_named(TEXT))
    assert {*get_args(NoticeEvent), *get_args(HookName)} <= named


def test_every_variable_of_a_hook_is_explained() -> None:
    """In the table; and none that is not there."""
    failure = Failure(code="c", message="m", hint="h")
    result = {"backup": "20261122T030000Z"}
    told = variables("after_backup", "x", Backup(), State.FAILED, result=result, failure=failure)
    rows = documents.rows(documents.section(OPERATIONS, "Hooks"))
    named = {name for row in rows for name in documents.all_named(row[0])}
    assert {*told, "BACKSTAY_REPLSET", "BACKSTAY_AGENT"} == named


def test_the_example_is_what_is_posted() -> None:
    """Field by field, but for the id, which is made of the rest."""
    shown = example()
    fields = shown["problem"]
    problem = Problem(**{**fields, "since": datetime.fromisoformat(fields["since"])})
    (notice,) = of_problems((), (problem,))
    time = datetime.fromisoformat(shown["time"]).astimezone(UTC)
    body = body_of(notice, replset=shown["replset"], agent=shown["agent"], time=time)
    assert {**shown, "id": id_of(notice, shown["replset"])} == json.loads(body)
