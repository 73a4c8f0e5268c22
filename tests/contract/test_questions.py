"""What questions to every agent keep to: answered once, fenced, gone with their job."""

import pytest

from agent.core.errors import LeaseLost
from agent.model.check import Finding
from tests.contract.conftest import Control

FOUND = Finding(test="list", outcome="ok", message="it may be listed", storage="main")
OTHER = Finding(test="node", outcome="failed", message="it is gone", missing="find", hint="mend it")


def test_each_agent_sees_its_question_until_it_has_answered(control: Control) -> None:
    """And the answer is what it gave."""
    control.questions.ask("job", ["a:1", "b:1"], 1)
    assert ["job"] == list(control.questions.waiting("a:1"))
    assert [] == list(control.questions.waiting("c:1"))

    control.questions.answer("job", "a:1", [FOUND, OTHER])

    assert [] == list(control.questions.waiting("a:1"))
    assert {"a:1": (FOUND, OTHER), "b:1": None} == control.questions.answers("job")


def test_the_first_answer_stays(control: Control) -> None:
    """An agent that was slow to learn that its answer had arrived may answer again."""
    control.questions.ask("job", ["a:1"], 1)
    control.questions.answer("job", "a:1", [FOUND])
    control.questions.answer("job", "a:1", [OTHER])
    assert {"a:1": (FOUND,)} == control.questions.answers("job")


def test_a_new_coordinator_keeps_the_answers_and_asks_the_others(control: Control) -> None:
    """The one before can ask nothing any more."""
    control.questions.ask("job", ["a:1"], 1)
    control.questions.answer("job", "a:1", [FOUND])
    control.questions.ask("job", ["a:1", "b:1"], 2)
    assert {"a:1": (FOUND,), "b:1": None} == control.questions.answers("job")
    with pytest.raises(LeaseLost):
        control.questions.ask("job", ["a:1"], 1)


def test_questions_go_with_their_job(control: Control) -> None:
    """An answer that comes later brings nothing back; other jobs are not touched."""
    control.questions.ask("job", ["a:1"], 1)
    control.questions.ask("next", ["a:1", "b:1"], 1)
    control.questions.remove("job")
    control.questions.answer("job", "a:1", [FOUND])
    assert ({}, ["next"]) == (control.questions.answers("job"), list(control.questions.jobs()))
    control.questions.remove("next")
    control.questions.remove("next")
    assert [] == list(control.questions.jobs())


def test_questions_are_no_tasks(control: Control) -> None:
    """They are not claimed, nor counted, nor removed with the tasks of their job."""
    control.questions.ask("job", ["a:1"], 1)
    assert control.tasks.claim("a:1") is None
    assert 0 == control.tasks.glance("job").total_count
    control.tasks.remove("job")
    assert ["job"] == list(control.questions.waiting("a:1"))
