"""How an agent takes tasks, whatever the board answers."""

from agent.core.clock import SystemClock
from agent.core.errors import LeaseLost, Stopped, TransientError
from agent.core.flow import Stop, WorkerGroup
from agent.core.keeper import Held, Keeper
from agent.daemon.dispatcher import Dispatcher, DispatcherPorts
from agent.model.tasks import Claim
from agent.ports import TaskEnd
from tests.fakes.control import MemoryControl
from tests.fakes.tasks import MemoryTasks
from tests.testbed.waiting import eventually


class _Faulty(MemoryTasks):
    """A board whose first claims fail."""

    faults: list[Exception]

    def claim(self, holder: str) -> Claim | None:
        """Fail as long as there are faults."""
        if self.faults:
            raise self.faults.pop()
        return super().claim(holder)


def test_a_claim_that_another_agent_overtook_ends_nothing() -> None:
    """An agent that stalled while it claimed finds a larger token, and just looks again."""
    clock = SystemClock()
    control = MemoryControl(clock)
    board = _Faulty(clock, control.tasks._tokens)
    board.faults = [TransientError("no_primary", "none"), LeaseLost("of task 0")]

    def never(_claim: Claim, _held: Held, _stop: Stop) -> TaskEnd:
        raise AssertionError

    ports = DispatcherPorts(
        board=board,
        keeper=Keeper(clock, every_s=4.0, lasts_s=12.0),
        clock=clock,
        agent="a:1",
        may_read=lambda: True,
        run_task=never,
    )
    stop = Stop()
    group = WorkerGroup("test", stop)
    group.start(lambda: Dispatcher(ports, 1).run(group.stop), "dispatcher")
    eventually(lambda: not board.faults, timeout_s=20)
    assert not group.failed
    stop.set("the test ends")
    try:
        group.join()
    except Stopped:
        return
