"""Does claimed tasks, and settles every outcome on the board."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.core.crash import Point, passing
from agent.core.errors import LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.core.keeper import Held
from agent.core.log import Log
from agent.jobs.backup.cleaning import remove_late
from agent.jobs.backup.reading import ReadingPorts, TaskReading
from agent.model.tasks import Claim, Record, TaskFailure
from agent.ports import TaskBoard, TaskEnd

# A task that so many agents gave back will not succeed with the next one.
MOST_ATTEMPTS: Final = 20
# Another node may take a task at once; this one tries it again only after a pause.
GIVE_BACK_S: Final = 1.0
# What is wrong with this agent alone: others may do the task all the same.
_OWN_FAULTS: Final = frozenset({"unknown_storage"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRunner:
    """Does one claim after another, from any number of threads.

    ``reading`` returns what reading needs, with the storage of a label; it raises
    PermanentError for a label that this agent does not know.
    """

    board: TaskBoard
    reading: Callable[[str], ReadingPorts]
    log: Log

    def run(self, claim: Claim, held: Held, stop: Stop) -> TaskEnd:
        """Do a claim, and say how it ended. Raises: Stopped, after giving the claim back."""
        log = self.log.bind(backup=claim.task.backup_id, task=claim.task.number)

        def record(records: Sequence[Record]) -> None:
            self.board.record(claim, records)
            passing(Point.TASK_RECORDED)

        try:
            ports = self.reading(claim.task.storage)
            work = TaskReading(claim, ports, record=record, held=held.check, stop=stop)
            try:
                work.run()
                held.check()
                passing(Point.TASK_BEFORE_FINISH)
                self.board.finish(claim)
                passing(Point.TASK_FINISHED)
            except LeaseLost:
                log.warning("task lost", token=claim.token)
                self._clean(claim, ports, work.stored)
                return "lost"
        except Stopped:
            self._give_back(claim, None)
            raise
        except TransientError as error:
            log.warning("task given back", code=error.code, reason=error.message)
            return self._give_back(claim, _failure(claim, error) if _is_last(claim) else None)
        except PermanentError as error:
            log.error("task failed", code=error.code, reason=error.message, hint=error.hint)
            is_final = error.code not in _OWN_FAULTS or _is_last(claim)
            return self._give_back(claim, _failure(claim, error) if is_final else None)
        return "done"

    def _clean(self, claim: Claim, ports: ReadingPorts, stored: Sequence[str]) -> None:
        """Remove what came too late; while the task exists, its next holder may need it."""
        if stored and not self.board.glance(claim.task.job).total_count:
            remove_late(ports.store, ports.replset, claim.task.backup_id, stored)

    def _give_back(self, claim: Claim, failure: TaskFailure | None) -> TaskEnd:
        with contextlib.suppress(LeaseLost, TransientError):
            # The end of the claim gives the task back by itself.
            self.board.give_back(claim, failure, not_before_s=GIVE_BACK_S)
        return "given_back" if failure is None else "failed"


def _is_last(claim: Claim) -> bool:
    return claim.attempt >= MOST_ATTEMPTS


def _failure(claim: Claim, error: PermanentError | TransientError) -> TaskFailure:
    return TaskFailure(
        number=claim.task.number, code=error.code, message=error.message, hint=error.hint
    )
