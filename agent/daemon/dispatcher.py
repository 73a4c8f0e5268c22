"""Gives claimed tasks to this agent's workers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.errors import LeaseLost, TransientError
from agent.core.flow import Pipe, Shared, Stop, WorkerGroup
from agent.core.keeper import Held, Keeper
from agent.model.tasks import Claim
from agent.ports import NO_INSTRUMENTS, Instruments, TaskBoard, TaskEnd

# How often an idle agent looks for tasks: it bounds the start of a small backup.
LOOK_S: Final = 0.5
# How often it looks while tasks are there.
LOOK_AGAIN_S: Final = 0.02
# How a task ends that the end of the agent interrupts.
_LEFT: Final[TaskEnd] = "given_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherPorts:
    """What claiming needs; ``run_task`` does a claim, settles it, and says how it ended."""

    board: TaskBoard
    keeper: Keeper
    clock: Clock
    agent: str
    may_read: Callable[[], bool]
    run_task: Callable[[Claim, Held, Stop], TaskEnd]
    instruments: Instruments = NO_INSTRUMENTS


class Dispatcher:
    """Claims a task whenever a worker is free and this node may read."""

    def __init__(self, ports: DispatcherPorts, workers: int) -> None:
        self._ports = ports
        self._workers = workers
        self._free = Shared(workers)

    def run(self, stop: Stop) -> None:
        """Claim until stopped. Raises: Stopped."""
        with WorkerGroup("worker", stop) as group:
            claims: Pipe[tuple[Claim, Held]] = Pipe(self._workers, group.stop)
            for number in range(self._workers):
                group.start(lambda: self._work(claims, group.stop), str(number))
            pause_s = LOOK_S
            while not group.stop.wait(pause_s):
                pause_s = self._claim(claims)

    def _claim(self, claims: Pipe[tuple[Claim, Held]]) -> float:
        """Claim one task if there is one; return the seconds until the next look."""
        if self._free.get() <= 0:
            return LOOK_AGAIN_S
        if not self._ports.may_read():
            return LOOK_S
        asked_at = self._ports.clock.monotonic()
        try:
            claim = self._ports.board.claim(self._ports.agent)
        except (LeaseLost, TransientError):
            # Lost: this agent stalled in the middle, and another one has the task by now.
            return LOOK_S
        if claim is None:
            return LOOK_S
        passing(Point.TASK_CLAIMED)
        held = self._ports.keeper.keep(
            f"task {claim.task.number}", asked_at, lambda: self._ports.board.renew(claim)
        )
        self._ports.instruments.count_claim()
        self._free.update(lambda count: count - 1)
        claims.put((claim, held))
        return 0.0

    def _work(self, claims: Pipe[tuple[Claim, Held]], stop: Stop) -> None:
        for claim, held in claims:
            begun_at, end = self._ports.clock.monotonic(), _LEFT
            try:
                end = self._ports.run_task(claim, held, stop)
            finally:
                self._ports.instruments.count_task(end, self._ports.clock.monotonic() - begun_at)
                self._ports.keeper.drop(held)
                self._free.update(lambda count: count + 1)
