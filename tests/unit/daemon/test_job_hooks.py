"""Where hooks stand in the life of a job."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from agent.core.errors import LeaseLost, PermanentError, TransientError
from agent.core.flow import Stop
from agent.core.keeper import Held
from agent.core.log import get
from agent.daemon.active import MOST_TRIES, ActiveJob, JobPorts
from agent.daemon.following import Following
from agent.daemon.hooks import HookPorts, Hooks
from agent.model.commands import Backup, CommandRecord
from agent.model.leases import COORDINATOR
from agent.model.outcome import Outcome
from agent.model.progress import Progress
from agent.model.states import State
from agent.ports import Boards, JobContext
from agent.ports.outside import Ran
from tests.fakes.clock import VirtualClock
from tests.fakes.control import MemoryControl
from tests.testbed.waiting import eventually


@dataclass
class Scene:
    """A backup that does what a test says, with hooks that write down when they ran."""

    refusal: PermanentError | None = None
    error: Exception | None = None
    waits: bool = False
    hook: Callable[[Stop], None] = lambda _stop: None
    seen: list[str] = field(default_factory=list)
    stop: Stop = field(default_factory=Stop)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        """Insert the command."""
        self.control = MemoryControl(self.clock)
        self.command = self.control.commands.insert({"command": "backup"})
        self._move(State.ACCEPTED)

    def record(self) -> CommandRecord:
        """Return the command."""
        found = self.control.commands.get(self.command)
        assert found is not None
        return found

    def _move(self, state: State) -> None:
        outcome = Outcome(coordinator="a:1")
        assert self.control.commands.move(self.record(), state, 1, outcome)

    # -- a runner of hooks

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        limit_s: float,
        stop: Stop,
    ) -> Ran:
        """Write down what the hook was told, and the state of the command meanwhile."""
        stop.check()
        told = f"{environment['BACKSTAY_EVENT']} {environment['BACKSTAY_STATE']}"
        self.seen.append(f"{told} ({self.record().state})")
        self.hook(stop)
        return Ran(fault="fails" if limit_s < 0 else None, output=arguments[0])

    # -- a job

    def plan(self) -> None:
        """Refuse, if the test says so."""
        if self.refusal is not None:
            raise self.refusal

    def work(self, context: JobContext) -> Mapping[str, object]:
        """Wait, fail or end."""
        self.seen.append("works")
        while self.waits:
            context.stop.wait(0.001)
            context.stop.check()
        if self.error is not None:
            raise self.error
        return {"backup": "20261122T030000Z"}

    def begin(self, *, tries: int = 1) -> ActiveJob:
        """Start the job in its thread."""
        control = self.control
        boards = Boards(
            commands=control.commands,
            tasks=control.tasks,
            notes=control.notes,
            schedules=control.schedules,
            questions=control.questions,
            status=control.status,
            catalogue=control.backups,
            events=control.events,
            leases=control.leases,
        )
        hooks = Hooks(
            HookPorts(
                runner=self,
                programs={"before_backup": ("/b",), "after_backup": ("/a",)},
                limit_s=60,
                replset="rs0",
                agent="a:1",
                clock=self.clock,
                log=get(),
            )
        )
        ports = JobPorts(
            boards=boards,
            make=lambda _request, context: _Job(self, context),
            clock=self.clock,
            agent="a:1",
            following=Following(control.schedules, control.commands, "main", get()),
            log=get(),
            hooks=hooks,
        )
        job = ActiveJob(self.record(), Backup(), ports, token=1, tries=tries)
        job.start(Held(COORDINATOR, self.clock, 1e9), self.stop)
        return job

    def end(self, job: ActiveJob) -> State | None:
        """Wait for the job's end and return the command's state."""
        eventually(lambda: not job.is_alive, interval_s=0.002)
        job.settle()
        return self.record().state


@dataclass
class _Job:
    scene: Scene
    context: JobContext

    def plan(self) -> None:
        self.scene.plan()

    def run(self) -> Mapping[str, object]:
        return self.scene.work(self.context)

    def progress(self) -> Progress:
        return Progress(phase="reading")

    def may_cancel(self) -> bool:
        return True

    def give_up(self) -> None:
        return


BEFORE = "before_backup running (running)"


def test_hooks_run_around_the_work() -> None:
    """The command is running at the first one, and not done before the last one has ended."""
    scene = Scene()
    assert State.DONE is scene.end(scene.begin())
    assert [BEFORE, "works", "after_backup done (running)"] == scene.seen


def test_a_job_that_fails_has_its_hook() -> None:
    """With the state that follows."""
    scene = Scene(error=PermanentError("c", "m"))
    assert State.FAILED is scene.end(scene.begin())
    assert [BEFORE, "works", "after_backup failed (running)"] == scene.seen


def test_a_job_that_is_refused_has_none() -> None:
    """Nothing has begun."""
    scene = Scene(refusal=PermanentError("c", "m"))
    assert State.REJECTED is scene.end(scene.begin())
    assert [] == scene.seen


@pytest.mark.parametrize("where", ["the hook", "the work"])
def test_a_job_that_is_canceled_has_its_hook(where: str) -> None:
    """Also if it was canceled while the hook before it ran."""

    def hang(stop: Stop) -> None:
        while where == "the hook" and len(scene.seen) == 1:
            stop.wait(0.001)
            stop.check()

    scene = Scene(waits=True, hook=hang)
    job = scene.begin()
    count = 1 if where == "the hook" else 2
    eventually(lambda: len(scene.seen) == count, interval_s=0.002)
    assert job.cancel()
    assert State.CANCELED is scene.end(job)
    assert "after_backup canceled (running)" == scene.seen[-1]


def test_a_job_that_another_goes_on_with_has_none() -> None:
    """The one that brings it to its end runs the hook; the one before it ran before."""
    scene = Scene(error=LeaseLost(COORDINATOR))
    assert State.RUNNING is scene.end(scene.begin())
    assert [BEFORE, "works"] == scene.seen
    scene.error = None
    assert State.DONE is scene.end(scene.begin())
    assert ["works", "after_backup done (running)"] == scene.seen[2:]


def test_a_job_that_will_be_tried_again_has_none_yet() -> None:
    """Only the last try is an end."""
    scene = Scene(error=TransientError("c", "m"))
    assert State.RUNNING is scene.end(scene.begin())
    assert [BEFORE, "works"] == scene.seen
    assert State.FAILED is scene.end(scene.begin(tries=MOST_TRIES))
    assert ["works", "after_backup failed (running)"] == scene.seen[2:]


def test_an_agent_that_stops_during_the_last_hook_leaves_the_end_to_the_next() -> None:
    """Which runs the hook again: at least once."""

    def stop_first(stop: Stop) -> None:
        if "after_backup done (running)" in scene.seen and len(scene.seen) == 3:
            scene.stop.set("the agent stops")
            stop.check()

    scene = Scene(hook=stop_first)
    assert State.RUNNING is scene.end(scene.begin())
    scene.stop = Stop()
    assert State.DONE is scene.end(scene.begin())
    assert 2 == scene.seen.count("after_backup done (running)")
