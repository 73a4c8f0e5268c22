"""The check command: everybody is asked, and silence is an answer too."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from agent.core.clock import SystemClock
from agent.core.errors import LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.core.log import get
from agent.daemon.respondent import Respondent
from agent.jobs.check.examination import Examination, Part
from agent.jobs.check.job import CheckJob, CheckPorts
from agent.model.check import Finding
from agent.ports import CANCELED, JobContext, JobError
from tests.fakes.clock import VirtualClock
from tests.fakes.control import MemoryControl
from tests.fakes.status import an_agent

OK = Finding(test="node", outcome="ok", message="it is there")
WARNING = Finding(test="oplog window", outcome="warning", message="it is short")
FAILED = Finding(
    test="put", outcome="failed", message="denied", storage="main", missing="s3:PutObject"
)


class Site:
    """A control database, and agents that may live."""

    def __init__(self, *, answer_s: float = 20.0) -> None:
        self.clock = VirtualClock()
        self.control = MemoryControl(self.clock)
        self.stop = Stop()
        self.answer_s = answer_s
        self.may_act = True

    def lives(self, *names: str) -> None:
        """Let agents write their status."""
        for name in names:
            self.control.status.write_agent(an_agent(name, self.clock.now()))

    def job(self, token: int = 1) -> CheckJob:
        """Return the job of a coordinator beside a:1."""

        def held() -> None:
            if not self.may_act:
                raise LeaseLost("coordinator")

        context = JobContext(command_id="job", agent="a:1", token=token, stop=self.stop, held=held)
        # Waiting is real: the job looks at its stop.
        ports = CheckPorts(
            status=self.control.status,
            questions=self.control.questions,
            clock=SystemClock(),
            log=get(),
            answer_s=self.answer_s,
        )
        return CheckJob(context, ports)

    def answer(self, **found: Finding) -> None:
        """Answer for agents before they are asked to: a question that is there is kept."""
        self.control.questions.ask("job", [f"{name}:1" for name in found], 1)
        for name, finding in found.items():
            self.control.questions.answer("job", f"{name}:1", [finding])


def rows(result: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return agent, test and outcome of each row of a result."""
    return [(each["agent"], each["test"], each["outcome"]) for each in result["rows"]]


def test_rows_of_all_agents_come_together_worst_first() -> None:
    """Warnings are no failure."""
    site = Site()
    site.lives("a:1", "b:1")
    site.answer(a=OK, b=WARNING)
    result = site.job().run()
    assert (1, 1, 0) == (result["ok"], result["warnings"], result["failed"])
    assert [("b:1", "oplog window", "warning"), ("a:1", "node", "ok")] == rows(result)


def test_a_failed_row_fails_the_check_and_keeps_the_result() -> None:
    """Whoever reads the error sees the first of them, and all in the result."""
    site = Site()
    site.lives("a:1", "b:1")
    site.answer(a=OK, b=FAILED)
    with pytest.raises(JobError) as caught:
        site.job().run()
    assert "check_failed" == caught.value.code
    assert "put of storage main on b:1: denied" in caught.value.message
    assert [("b:1", "put", "failed"), ("a:1", "node", "ok")] == rows(caught.value.result)


def test_an_agent_that_does_not_answer_is_a_failed_row() -> None:
    """It was there a moment ago; the others' answers count all the same."""
    site = Site(answer_s=0.3)
    site.lives("a:1", "b:1")
    site.answer(a=OK)
    with pytest.raises(JobError) as caught:
        site.job().run()
    assert [("b:1", "agent", "failed"), ("a:1", "node", "ok")] == rows(caught.value.result)


def test_an_agent_that_dies_is_waited_for_only_until_that_is_known() -> None:
    """Its status tells; the others have answered long before."""
    site = Site()
    site.lives("b:1")
    site.answer(a=OK)
    site.control.questions.ask("job", ["b:1"], 1)
    site.clock.move(60)
    site.lives("a:1")
    with pytest.raises(JobError) as caught:
        site.job().run()
    assert [("b:1", "agent", "failed"), ("a:1", "node", "ok")] == rows(caught.value.result)


def test_a_question_that_somebody_removed_is_not_answered() -> None:
    """A check without answers is no success."""
    site = Site(answer_s=0.3)
    site.lives("a:1", "b:1")
    site.answer(a=OK)
    site.control.questions.ask = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(JobError) as caught:
        site.job().run()
    assert [("b:1", "agent", "failed"), ("a:1", "node", "ok")] == rows(caught.value.result)


def test_an_agent_that_came_later_is_not_told_of() -> None:
    """It was not asked, and is not gone."""
    site = Site()
    site.answer(a=OK)
    answers = site.control.questions.answers

    def come_meanwhile(job: object) -> Mapping[str, Any]:
        site.lives("b:1")
        return answers(job)

    site.control.questions.answers = come_meanwhile  # type: ignore[method-assign]
    assert [("a:1", "node", "ok")] == rows(site.job().run())


def test_an_agent_that_was_away_is_a_warning_and_not_waited_for() -> None:
    """Its node may be gone for good."""
    site = Site()
    site.lives("b:1")
    site.clock.move(60)
    site.lives("a:1")
    site.answer(a=OK)
    assert [("b:1", "agent", "warning"), ("a:1", "node", "ok")] == rows(site.job().run())


def test_the_coordinator_answers_even_if_its_status_is_late() -> None:
    """A check never ends without any row."""
    site = Site()
    site.answer(a=OK)
    assert [("a:1", "node", "ok")] == rows(site.job().run())


def test_a_check_ends_soon_when_it_is_canceled_or_the_lease_is_lost() -> None:
    """It does not wait for answers then."""
    site = Site()
    site.lives("a:1")
    site.stop.set(CANCELED)
    with pytest.raises(Stopped):
        site.job().run()
    other = Site()
    other.may_act = False
    with pytest.raises(LeaseLost):
        other.job().run()
    assert {} == other.control.questions.answers("job")


def test_an_agent_answers_all_questions_by_one_examination() -> None:
    """Once: an answered question waits no more."""
    control, count = MemoryControl(VirtualClock()), iter(range(9))

    def examine(_stop: Stop) -> tuple[Finding, ...]:
        next(count)
        return (OK,)

    respondent = Respondent(control.questions, "a:1", examine, get())
    respondent.look(Stop())
    control.questions.ask("one", ["a:1", "b:1"], 1)
    control.questions.ask("two", ["a:1"], 1)
    for _ in range(2):
        respondent.look(Stop())
    assert 1 == next(count)
    assert {"a:1": (OK,), "b:1": None} == control.questions.answers("one")
    assert {"a:1": (OK,)} == control.questions.answers("two")


def test_an_agent_outlives_a_primary_that_is_away() -> None:
    """It answers at a later look."""
    control = MemoryControl(VirtualClock())
    answer, away = control.questions.answer, [TransientError("no_primary", "none")]

    def fail_once(job: object, agent: str, findings: Any) -> None:
        if away:
            raise away.pop()
        answer(job, agent, findings)

    control.questions.answer = fail_once  # type: ignore[method-assign]
    control.questions.ask("job", ["a:1"], 1)
    respondent = Respondent(control.questions, "a:1", lambda _: (OK,), get())
    respondent.look(Stop())
    respondent.look(Stop())
    assert {"a:1": (OK,)} == control.questions.answers("job")


def _part(name: str, run: Callable[[], Iterator[Finding]]) -> Part:
    return Part(name=name, run=run, storage="main")


def _ends_with(error: Exception | None) -> Callable[[], Iterator[Finding]]:
    def run() -> Iterator[Finding]:
        yield OK
        if error is not None:
            raise error

    return run


def test_a_test_that_dies_is_a_row_and_takes_no_other_with_it() -> None:
    """Neither an error that we know, nor a fault of ours."""
    parts = [
        _part("first", _ends_with(KeyError("x"))),
        _part("second", _ends_with(PermanentError("storage_tls", "no certificate", hint="mend"))),
        _part("third", _ends_with(None)),
    ]
    found = Examination(parts, SystemClock(), get()).findings(Stop())
    told = [(each.test, each.outcome, each.message) for each in found]
    assert [
        ("node", "ok", "it is there"),
        ("first", "failed", "the test died of KeyError"),
        ("node", "ok", "it is there"),
        ("second", "failed", "no certificate"),
        ("node", "ok", "it is there"),
    ] == told


def test_a_test_that_never_ends_is_a_row_beside_what_it_found_before() -> None:
    """The answer must be there before the coordinator stops waiting."""
    begun, parent = Stop(), Stop()

    def run() -> Iterator[Finding]:
        yield OK
        begun.wait(20)
        yield OK

    doctor = Examination([_part("slow", run)], SystemClock(), get(), longest_s=0.2)
    found = doctor.findings(parent)
    begun.set()
    assert ["ok", "failed"] == [each.outcome for each in found]
    assert "did not end" in found[1].message


def test_tests_that_are_broken_off_by_the_end_of_the_agent_died_of_nothing() -> None:
    """An agent that was told to end while it tests is no fault."""
    parent = Stop()

    def run() -> Iterator[Finding]:
        parent.set("SIGTERM")
        yield OK
        yield OK

    found = Examination([_part("first", run)], SystemClock(), get()).findings(parent)
    assert "ok" == found[0].outcome
    assert all("died" not in each.message for each in found)
