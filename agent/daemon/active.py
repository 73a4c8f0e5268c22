"""A job that runs, in a thread of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.errors import LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Stop, WorkerGroup
from agent.core.keeper import Held
from agent.core.log import Log
from agent.daemon.following import Following
from agent.daemon.hooks import Hooks
from agent.daemon.notices import Notices
from agent.daemon.unended import is_of_document, no_room
from agent.model.commands import CommandRecord, Request
from agent.model.leases import COORDINATOR
from agent.model.outcome import Failure, Outcome, failure_of
from agent.model.progress import Phase, Progress, eta_s
from agent.model.states import END_STATES, State
from agent.model.status import EventLevel
from agent.ports import NO_INSTRUMENTS, Boards, Instruments
from agent.ports.work import CANCELED, Job, JobContext, JobError

# A job that transient faults ended so often is given up: each time was minutes of retries.
MOST_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPorts:
    """What running jobs needs; ``make`` builds the job of a request.

    ``notices`` are told of every end; ``hooks`` run before and after backups and restores.
    """

    boards: Boards
    make: Callable[[Request, JobContext], Job]
    clock: Clock
    agent: str
    following: Following
    log: Log
    instruments: Instruments = NO_INSTRUMENTS
    notices: Notices = field(default_factory=Notices)
    hooks: Hooks = field(default_factory=Hooks)


class ActiveJob:
    """Runs one command's job to an end state, or until the right to do so ends."""

    def __init__(
        self, record: CommandRecord, request: Request, ports: JobPorts, *, token: int, tries: int
    ) -> None:
        self.record = record
        self.request = request
        self._ports = ports
        self._token = token
        self._tries = tries
        self._job: Job | None = None
        self._group: WorkerGroup | None = None
        self._stop = Stop()
        self._agent_stop = Stop()
        self._phase: Phase = "planning"
        self._phase_at = self._begun_at = ports.clock.monotonic()
        self._log = ports.log.bind(command=request.command, id=str(record.command_id))

    def start(self, held: Held, parent: Stop) -> None:
        """Begin in a thread of its own."""
        self._agent_stop = parent
        self._group = WorkerGroup("job", parent)
        self._stop = self._group.stop
        self._group.start(lambda: self._guarded(held), self.request.command)

    @property
    def is_alive(self) -> bool:
        """Whether the thread still runs."""
        return self._group is not None and self._group.alive_count > 0

    def end(self, reason: str) -> None:
        """Ask the job to stop; it does soon."""
        self._stop.set(reason)

    def settle(self) -> None:
        """Wait for the thread to end, and settle a job that died of a fault of our own.

        One whose end could not be written down is none of those: it is run again, and finds
        what it has done.

        Raises: LeaseLost, TransientError; PermanentError if the document of the command takes no
        end, however short.
        """
        if self._group is None:
            return
        error = self._group.outcome()
        if isinstance(error, LeaseLost | TransientError):
            self._log.warning("the end of a job was not written", reason=error.message)
        elif isinstance(error, PermanentError) and is_of_document(error):
            raise error
        elif error is not None and not isinstance(error, Stopped):
            self._log.error("job died", error=repr(error), exc_info=error)
            if self.record.state in END_STATES:
                return
            failure = Failure(
                code="internal_error",
                message=f"the job died of {type(error).__name__}",
                hint="this is a fault in the agent; its log has the details",
            )
            self._move(State.FAILED, failure=failure)

    @property
    def may_cancel(self) -> bool:
        """Whether the work can still be undone, as far as is known."""
        return self._job is None or self._job.may_cancel()

    def cancel(self) -> bool:
        """Ask for a cancel; False if the work can no longer be undone."""
        if not self.may_cancel:
            return False
        self.end(CANCELED)
        return True

    def report(self) -> tuple[Progress, float | None]:
        """Write the progress into the command's document, and return it with the ETA."""
        progress = self.progress()
        if progress.phase != self._phase:
            self._phase, self._phase_at = progress.phase, self._ports.clock.monotonic()
        left_s = eta_s(progress, self._ports.clock.monotonic() - self._phase_at)
        if self.record.state is State.RUNNING:
            self._report(progress, left_s)
        return progress, left_s

    def _report(self, progress: Progress, left_s: float | None) -> None:
        """Write the progress, unless the document has no room for it: the status tells it too."""
        try:
            self._ports.boards.commands.report(
                self.record.command_id, self._token, progress, left_s
            )
        except PermanentError as error:
            if not is_of_document(error):
                raise

    def _write_progress(self) -> None:
        commands = self._ports.boards.commands
        commands.report(self.record.command_id, self._token, self.progress(), None)

    def progress(self) -> Progress:
        """Return how far the job is."""
        return self._job.progress() if self._job is not None else Progress(phase="planning")

    def _guarded(self, held: Held) -> None:
        try:
            self._run(held)
        except LeaseLost as error:
            self._log.warning("job left to another coordinator", reason=error.message)
        except Stopped as error:
            if error.message == CANCELED:
                self._conclude(State.CANCELED)
            else:
                self._log.info("job left to another coordinator", reason=error.message)
        except TransientError as error:
            if self._tries >= MOST_TRIES:
                self._give_up(held)
                self._conclude(State.FAILED, failure=failure_of(error))
            else:
                self._log.warning("job will be tried again", code=error.code, reason=error.message)
        except JobError as error:
            self._conclude(State.FAILED, result=error.result, failure=failure_of(error))
        except PermanentError as error:
            begun = self.record.state is State.RUNNING
            self._conclude(State.FAILED if begun else State.REJECTED, failure=failure_of(error))

    def _run(self, held: Held) -> None:
        context = JobContext(
            command_id=self.record.command_id,
            agent=self._ports.agent,
            token=self._token,
            stop=self._stop,
            held=held.check,
            tell=self._write_progress,
        )
        self._job = job = self._ports.make(self.request, context)
        if self.record.state is State.RUNNING:
            self._take_over()
        else:
            job.plan()
            self._stop.check()
            # A plan takes its time, and this process may have slept through its lease.
            held.check()
            if not self._move(State.RUNNING):
                # It was cancelled between two looks, or somebody deleted it: nothing is begun.
                raise LeaseLost(COORDINATOR)
            self._ports.hooks.before(self.record, self.request, self._stop)
        result = job.run()
        self._report(job.progress(), 0.0)
        passing(Point.COMMAND_BEFORE_FOLLOWING)
        self._ports.following.insert_after(self.record)
        self._conclude(State.DONE, result=result)

    def _take_over(self) -> None:
        """Fence off the coordinator that ran the command before; it may not know yet.

        Raises: LeaseLost, also if that one has just brought the command to an end.
        """
        self._write_progress()
        commands = self._ports.boards.commands
        now = commands.get(self.record.command_id)
        if now is None or now.state is not State.RUNNING:
            raise LeaseLost(COORDINATOR)
        passing(Point.COMMAND_TAKEN_OVER)
        self._log.info("job resumed")

    def _give_up(self, held: Held) -> None:
        """Let the job remove what it left; what cannot be removed now is told."""
        held.check()
        if self._job is None:
            return
        try:
            self._job.give_up()
        except (TransientError, PermanentError) as error:
            self._log.warning("a failed job left something", reason=error.message)
            self._ports.boards.events.write(
                "warning",
                "job_left_something",
                f"{self.request.command}: what it left could not be removed: {error.message}",
                id=self.record.command_id,
            )

    def _conclude(
        self,
        end: State,
        *,
        result: Mapping[str, object] | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Bring the command to an end; what has begun has its hook first.

        Whoever goes on with the command after a death in between runs the hook again, and a
        cancel does not keep it from running: only the end of the agent does.
        """
        if self.record.state is State.RUNNING:
            try:
                self._ports.hooks.after(
                    self.record, self.request, end, self._agent_stop, result=result, failure=failure
                )
            except Stopped:
                self._log.info("job left to another coordinator", reason="the agent stops")
                return
        self._move(end, result=result, failure=failure)

    def _move(self, new: State, *, result: object = None, failure: Failure | None = None) -> bool:
        outcome = Outcome(
            coordinator=self._ports.agent,
            result=result if isinstance(result, dict) else None,
            failure=failure,
        )
        begins = new is State.RUNNING
        try:
            has_moved = self._write(new, outcome)
        except PermanentError as error:
            if begins or not is_of_document(error):
                raise
            failure = no_room(new, error)
            new = State.FAILED if self.record.state is State.RUNNING else State.REJECTED
            outcome = Outcome(coordinator=self._ports.agent, failure=failure)
            has_moved = self._write(new, outcome)
        if not has_moved:
            self._log.warning("command had moved on", to=new)
            return False
        self.record = replace(self.record, state=new)
        if begins:
            self._log.info("job begun")
            return True
        self._tell(new, failure)
        self._count(new, result)
        self._ports.notices.command_ended(self.record, new, result=outcome.result, failure=failure)
        self._ports.boards.tasks.remove(self.record.command_id)
        self._ports.boards.questions.remove(self.record.command_id)
        passing(Point.COMMAND_TASKS_GONE)
        self._ports.boards.notes.forget(self.record.command_id)
        return True

    def _write(self, new: State, outcome: Outcome) -> bool:
        begins = new is State.RUNNING
        passing(Point.COMMAND_BEFORE_RUNNING if begins else Point.COMMAND_BEFORE_END)
        has_moved = self._ports.boards.commands.move(self.record, new, self._token, outcome)
        if has_moved:
            passing(Point.COMMAND_RUNNING if begins else Point.COMMAND_ENDED)
        return has_moved

    def _count(self, new: State, result: object) -> None:
        size_bytes = result.get("bytes") if isinstance(result, Mapping) else None
        self._ports.instruments.count_command(
            self.request.command,
            new,
            self._ports.clock.monotonic() - self._begun_at,
            size_bytes if isinstance(size_bytes, int) else None,
        )

    def _tell(self, new: State, failure: Failure | None) -> None:
        what = f"{self.request.command} {new}"
        write = self._ports.boards.events.write
        if failure is None:
            self._log.info("job ended", state=new)
            write("info", f"command_{new}", what, id=self.record.command_id)
            return
        # A rejected command did nothing: only whoever inserted it need know.
        tell = self._log.warning if new is State.REJECTED else self._log.error
        tell("job ended", state=new, code=failure.code, reason=failure.message)
        text = f"{what}: {failure.message}"
        level: EventLevel = "warning" if new is State.REJECTED else "error"
        write(level, f"command_{new}", text, id=self.record.command_id, cause=failure.code)
