"""Answers what the coordinator asks of every agent."""

from collections.abc import Callable, Sequence
from typing import Final

from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.core.log import Log
from agent.model.check import Finding
from agent.ports import QuestionBoard

LOOK_S: Final = 1.0


class Respondent:
    """Looks for questions, and answers them by what ``examine`` finds."""

    def __init__(
        self,
        board: QuestionBoard,
        agent: str,
        examine: Callable[[Stop], Sequence[Finding]],
        log: Log,
    ) -> None:
        self._board = board
        self._agent = agent
        self._examine = examine
        self._log = log

    def run(self, stop: Stop) -> None:
        """Answer until stopped. Raises: Stopped."""
        while not stop.wait(LOOK_S):
            self.look(stop)

    def look(self, stop: Stop) -> None:
        """Answer every question that waits, all by one examination. Raises: Stopped."""
        try:
            jobs = self._board.waiting(self._agent)
            if not jobs:
                return
            findings = self._examine(stop)
            for job in jobs:
                self._board.answer(job, self._agent, findings)
        except (TransientError, PermanentError) as error:
            # It is asked again at the next look, for as long as the coordinator waits.
            self._log.warning("check not answered", code=error.code, reason=error.message)
