"""The check command: the coordinator asks every agent, and puts the answers together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.log import Log
from agent.model.check import Finding, Row, result_of
from agent.model.nodes import STALE_S
from agent.model.progress import Progress
from agent.model.status import AgentStatus
from agent.ports import Job, JobContext, JobError, QuestionBoard, StatusBoard

# More than the tests of an agent may take, and than an agent needs to notice the question.
ANSWER_S: Final = 30.0
_LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPorts:
    """The doors of a check."""

    status: StatusBoard
    questions: QuestionBoard
    clock: Clock
    log: Log
    answer_s: float = ANSWER_S


class CheckJob:
    """One ``check`` command; every agent that lives does the work."""

    def __init__(self, context: JobContext, ports: CheckPorts) -> None:
        self._context = context
        self._ports = ports

    def plan(self) -> None:
        """Nothing can be in the way: the coordinator itself is an agent that answers."""

    def progress(self) -> Progress:
        """Return that it is under way: it takes seconds."""
        return Progress(phase="checking")

    def may_cancel(self) -> bool:
        """Nothing is changed: always."""
        return True

    def give_up(self) -> None:
        """Leave everything: questions go with the command."""

    def run(self) -> Mapping[str, object]:
        """Ask the agents that live, and those that an earlier coordinator asked; wait for them.

        Raises: JobError ``check_failed``, with all rows.
        """
        living = sorted(self._living())
        self._context.held()
        self._ports.questions.ask(self._context.command_id, living, self._context.token)
        passing(Point.CHECK_ASKED)
        answers = self._answers(living)
        agents, now = self._ports.status.agents(), self._ports.status.server_now()
        rows = [*_rows(answers)]
        away = (each for each in agents if not _lives(each, now))
        rows += [_gone(each, now) for each in away if each.name not in answers]
        result = result_of(rows)
        self._ports.log.info("checked", agents=len(answers), failed=result["failed"])
        bad = [row for row in rows if row.finding.outcome == "failed"]
        if not bad:
            return result
        raise JobError(
            "check_failed",
            f"{len(bad)} of {len(rows)} tests failed, first {_named(bad[0])}",
            hint="the rows of the result say of each what is missing and how to mend it",
            result=result,
        )

    def _answers(self, asked: Sequence[str]) -> Mapping[str, Sequence[Finding] | None]:
        """Wait until all that live have answered, or as long as one of them may take.

        A question that somebody removed is one without an answer.
        """
        until = self._ports.clock.monotonic() + self._ports.answer_s
        while True:
            there = self._ports.questions.answers(self._context.command_id)
            answers = {**dict.fromkeys(asked), **there}
            silent = {agent for agent, findings in answers.items() if findings is None}
            if not silent & self._living() or self._ports.clock.monotonic() >= until:
                return answers
            if self._context.stop.wait(_LOOK_S):
                self._context.stop.check()
            self._context.held()

    def _living(self) -> set[str]:
        """Return the agents that were heard of lately, and this one, whatever its status says."""
        status = self._ports.status
        now = status.server_now()
        return {each.name for each in status.agents() if _lives(each, now)} | {self._context.agent}


def _lives(agent: AgentStatus, now: datetime) -> bool:
    return now - agent.updated_at <= timedelta(seconds=STALE_S)


def _rows(answers: Mapping[str, Sequence[Finding] | None]) -> Iterator[Row]:
    for agent, findings in sorted(answers.items()):
        if findings is None:
            silent = Finding(
                test="agent",
                outcome="failed",
                message="the agent was asked, and did not answer",
                hint="its log says why; it may have ended, or stall",
            )
            yield Row(agent=agent, finding=silent)
        yield from (Row(agent=agent, finding=finding) for finding in findings or ())


def _gone(agent: AgentStatus, now: datetime) -> Row:
    silent_s = (now - agent.updated_at).total_seconds()
    finding = Finding(
        test="agent",
        outcome="warning",
        message=f"the agent has not been heard of for {silent_s:.0f} s, and was not asked",
        hint="start it there, or delete its document in status if the node is gone",
    )
    return Row(agent=agent.name, finding=finding)


def _named(row: Row) -> str:
    about = f" of storage {row.finding.storage}" if row.finding.storage else ""
    return f"{row.finding.test}{about} on {row.agent}: {row.finding.message}"


def _proof(context: JobContext, ports: CheckPorts) -> Job:
    return CheckJob(context, ports)
