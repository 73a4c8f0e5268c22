"""Questions and answers in memory."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.core.errors import LeaseLost
from agent.model.check import Finding
from agent.model.leases import COORDINATOR
from agent.ports import QuestionBoard
from tests.fakes.values import key


@dataclass(slots=True)
class _Question:
    job: object
    token: int
    findings: Sequence[Finding] | None = None


class MemoryQuestions:
    """One question for each job and agent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.asked: dict[tuple[bytes, str], _Question] = {}

    def ask(self, job: object, agents: Sequence[str], token: int) -> None:
        """Ask agents; who was asked before is not asked again."""
        with self._lock:
            for agent in agents:
                question = self.asked.setdefault((key(job), agent), _Question(job, token))
                if question.token > token:
                    raise LeaseLost(COORDINATOR)
                question.token = token

    def waiting(self, agent: str) -> Sequence[object]:
        """Return the jobs that wait for this agent's answer."""
        with self._lock:
            found = [each for (_, name), each in self.asked.items() if name == agent]
            return [each.job for each in found if each.findings is None]

    def answer(self, job: object, agent: str, findings: Sequence[Finding]) -> None:
        """Answer, unless there is an answer or the job is over."""
        with self._lock:
            question = self.asked.get((key(job), agent))
            if question is not None and question.findings is None:
                question.findings = tuple(findings)

    def answers(self, job: object) -> Mapping[str, Sequence[Finding] | None]:
        """Return every agent that was asked."""
        with self._lock:
            return {
                name: each.findings for (of, name), each in self.asked.items() if of == key(job)
            }

    def remove(self, job: object) -> None:
        """Remove the questions of a job."""
        with self._lock:
            self.asked = {name: each for name, each in self.asked.items() if name[0] != key(job)}

    def jobs(self) -> Sequence[object]:
        """Return the jobs that have questions."""
        with self._lock:
            return list({of: each.job for (of, _), each in self.asked.items()}.values())


def _proves(questions: MemoryQuestions) -> QuestionBoard:
    return questions
