"""The agent that holds the coordinator's lease decides about commands and runs their jobs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.errors import LeaseLost, PermanentError, TransientError
from agent.core.flow import Stop
from agent.core.keeper import Held, Keeper
from agent.core.log import Log
from agent.daemon.active import JobPorts
from agent.daemon.decisions import (
    Accept,
    CancelTarget,
    Decision,
    Expire,
    GiveWay,
    Reject,
    Start,
    decide,
)
from agent.daemon.gaps import GapBackups
from agent.daemon.overview import Overview
from agent.daemon.schedules import ScheduleDuty
from agent.daemon.slots import Slots
from agent.daemon.unended import Unended, is_of_document
from agent.model.commands import CommandRecord
from agent.model.leases import COORDINATOR, LEASE_S, Grant
from agent.model.outcome import Failure, Outcome, cut
from agent.model.states import END_STATES, State
from agent.ports import Boards

# The cluster's status is written at least this often; progress too.
STATUS_S: Final = 2.0
BUSY_S: Final = 0.5

_BEFORE: Final = {
    State.ACCEPTED: Point.COMMAND_BEFORE_ACCEPTED,
    State.RUNNING: Point.COMMAND_BEFORE_RUNNING,
}
_AFTER: Final = {
    State.ACCEPTED: Point.COMMAND_ACCEPTED,
    State.RUNNING: Point.COMMAND_RUNNING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorPorts:
    """What coordinating needs; ``prepare`` makes what is missing of the control database.

    ``gaps`` is None if no backup is to start by itself after a gap in the archive.
    """

    boards: Boards
    prepare: Callable[[], None]
    jobs: JobPorts
    keeper: Keeper
    overview: Overview
    gaps: GapBackups | None
    schedules: ScheduleDuty
    clock: Clock
    agent: str
    poll_s: float
    ttl_s: float
    log: Log


class Coordinator:
    """Follows while another agent leads; leads when it has the lease."""

    def __init__(self, ports: CoordinatorPorts) -> None:
        self._ports = ports
        self._grant: Grant | None = None
        self._held: Held | None = None
        self._has_begun = False
        self._slots = Slots(ports.jobs)
        self._unended = Unended(ports.log)
        self._status_at = 0.0

    @property
    def leads(self) -> bool:
        """Whether this agent is the coordinator; from any thread."""
        held = self._held
        return held is not None and held.is_held

    def run(self, stop: Stop) -> None:
        """Coordinate until stopped, then hand the lease back."""
        try:
            while True:
                self._tick_safely(stop)
                if stop.wait(self._pause_s()):
                    return
        finally:
            self.resign("the agent stops")

    def _pause_s(self) -> float:
        """While a job runs, its end is noticed soon, whatever the interval of looks."""
        return self._ports.poll_s if self._slots.is_empty else min(BUSY_S, self._ports.poll_s)

    def _tick_safely(self, stop: Stop) -> None:
        try:
            self.tick(stop)
        except LeaseLost as error:
            self._ports.log.warning("coordinator lease lost", reason=error.message)
            self.resign("the lease was lost")
        except TransientError as error:
            self._ports.log.warning(
                "coordinator cannot reach the primary", code=error.code, reason=error.message
            )

    def tick(self, stop: Stop) -> None:
        """Look once: keep or take the lease, run what is due, decide about every open command."""
        if not self._leads():
            return
        self._settle()
        if self._held is not None:
            self._ports.schedules.look(self._held)
        for _ in range(2):
            decisions = self._decisions()
            for decision in decisions:
                self._carry_out_alone(decision, stop)
            if not any(isinstance(one, Accept) for one in decisions):
                break
        self._write_status()

    # -- the lease

    def _leads(self) -> bool:
        if self._held is not None:
            if self._held.is_held:
                if not self._has_begun:
                    self._begin_to_lead()
                return True
            self.resign("the lease was lost")
        asked_at = self._ports.clock.monotonic()
        grant = self._ports.boards.leases.acquire(COORDINATOR, self._ports.agent, LEASE_S)
        if grant is None:
            return False
        passing(Point.COORDINATOR_ACQUIRED)
        self._grant = grant
        self._held = self._ports.keeper.keep(
            COORDINATOR, asked_at, lambda: self._ports.boards.leases.renew(grant, LEASE_S)
        )
        self._ports.log.info("coordinator now", token=grant.token)
        self._has_begun = False
        self._begin_to_lead()
        return True

    def _begin_to_lead(self) -> None:
        """Sweep what an earlier coordinator left of ended jobs; fill an empty catalogue."""
        # Somebody may have dropped the control database, and with it validators and indexes.
        self._ports.prepare()
        boards = self._ports.boards
        for job in (*boards.notes.jobs(), *boards.questions.jobs()):
            record = boards.commands.get(job)
            if record is None or record.state in END_STATES:
                boards.tasks.remove(job)
                boards.questions.remove(job)
                passing(Point.COORDINATOR_SWEEPING)
                boards.notes.forget(job)
        standing = boards.status.problems()
        self._ports.overview.take_over(standing)
        self._ports.jobs.hooks.take_over(standing)
        self._ports.jobs.notices.take_over(boards.status.told())
        passing(Point.COORDINATOR_SWEPT)
        if not boards.catalogue.entries():
            self._fill_catalogue()
        self._has_begun = True

    def _fill_catalogue(self) -> None:
        """Insert a resync, under this lease once: one whose answer was lost is there."""
        token = self._grant.token if self._grant is not None else 0
        try:
            self._ports.boards.commands.insert({"_id": f"resync-{token}", "command": "resync"})
        except PermanentError as error:
            if error.code != "duplicate_key":
                raise

    def resign(self, reason: str) -> None:
        """Stop the jobs that run, and hand the lease back."""
        self._slots.end(reason)
        self._ports.overview.end()
        if self._held is not None:
            self._ports.keeper.drop(self._held)
            self._held = None
        if self._grant is not None:
            try:
                self._ports.boards.leases.release(self._grant)
            except TransientError:
                self._ports.log.warning("lease not handed back; it ends by itself")
            self._grant = None

    # -- commands

    def _settle(self) -> None:
        for record, error, failure in self._slots.settle():
            self._unended.note(record, error, self._ports.clock.now(), failure)

    def _decisions(self) -> list[Decision]:
        records = self._ports.boards.commands.open_commands()
        self._unended.keep(records)
        # Their jobs have run, and must not take the turn of others again and again.
        left, ended = self._unended.split(records)
        decided = decide(
            left,
            places=self._slots.places,
            now=self._ports.boards.status.server_now(),
            ttl_s=self._ports.ttl_s,
        )
        return [*ended, *decided]

    def _carry_out_alone(self, decision: Decision, stop: Stop) -> None:
        """Carry out one decision; a document that takes no change must not stop the others."""
        try:
            self._carry_out(decision, stop)
        except PermanentError as error:
            if not is_of_document(error):
                raise
            self._unended.note(decision.record, error, self._ports.clock.now())
        else:
            self._unended.forget(decision.record)

    def _carry_out(self, decision: Decision, stop: Stop) -> None:
        match decision:
            case Expire():
                failure = Failure(
                    code="expired",
                    message=f"no agent took the command within {self._ports.ttl_s:.0f} s",
                    hint="insert it again; control.command_ttl_s sets the time",
                )
                self._move(decision.record, State.EXPIRED, failure=failure)
            case Reject():
                state = State.REJECTED
                if decision.record.state is State.RUNNING:
                    state = State.FAILED
                self._move(decision.record, state, failure=decision.failure)
            case Accept():
                self._move(decision.record, State.ACCEPTED)
            case GiveWay():
                failure = Failure(
                    code="run_superseded",
                    message=f"a later run of the schedule waited as well: {decision.later}",
                    hint="",
                )
                self._move(decision.record, State.CANCELED, failure=failure)
            case CancelTarget():
                self._cancel(decision.record, decision.target)
            case Start():
                self._start(decision, stop)

    def _start(self, turn: Start, stop: Stop) -> None:
        if self._held is not None and self._grant is not None:
            self._slots.start(turn, token=self._grant.token, held=self._held, stop=stop)

    def _cancel(self, record: CommandRecord, target: CommandRecord | None) -> None:
        """Bring a cancel to its end once its target has come to one."""
        itself = target is not None and target.command_id == record.command_id
        if record.state is State.ACCEPTED and (target is None or itself):
            failure = Failure(
                code="nothing_to_cancel",
                message="there is no such command that waits or runs",
                hint="look at its state in the commands collection",
            )
            self._move(record, State.REJECTED, failure=failure)
        elif target is None:
            self._end_cancel(record)
        elif (active := self._slots.find(target.command_id)) is not None:
            if not active.may_cancel:
                failure = Failure(
                    code="too_late_to_cancel",
                    message="the work has come too far to be undone; it goes on to its end",
                    hint="wait for it to end",
                )
                refused = State.REJECTED if record.state is State.ACCEPTED else State.FAILED
                self._move(record, refused, failure=failure)
            elif self._take(record):
                active.cancel()
        elif target.state is State.ACCEPTED and self._take(record):
            self._move(target, State.CANCELED)

    def _take(self, record: CommandRecord) -> bool:
        """Begin a cancel before anything is done for it; False if it was cancelled itself.

        Whoever comes after a death in between goes on with it.
        """
        return record.state is State.RUNNING or self._move(record, State.RUNNING)

    def _end_cancel(self, record: CommandRecord) -> None:
        target = self._ports.boards.commands.get(record.options.get("target"))
        state = target.state if target is not None else None
        if state is State.CANCELED:
            self._move(record, State.DONE, result={"target": record.options.get("target")})
            return
        failure = Failure(
            code="too_late_to_cancel",
            message=f"the command had ended before: {state or 'it is gone'}",
            hint="",
        )
        self._move(record, State.FAILED, failure=failure)

    def _move(
        self,
        record: CommandRecord,
        new: State,
        *,
        result: dict[str, object] | None = None,
        failure: Failure | None = None,
    ) -> bool:
        """Move a command, and tell of it; False if it is not as it was seen any more."""
        if self._grant is None or self._held is None:
            return False
        self._held.check()
        outcome = Outcome(coordinator=self._ports.agent, result=result, failure=failure)
        passing(_BEFORE.get(new, Point.COMMAND_BEFORE_END))
        if not self._ports.boards.commands.move(record, new, self._grant.token, outcome):
            self._ports.log.info("command had moved on", id=str(record.command_id), to=new)
            return False
        passing(_AFTER.get(new, Point.COMMAND_ENDED))
        self._ports.log.info(
            "command moved", id=cut(str(record.command_id)), to=new, code=failure and failure.code
        )
        if new in END_STATES:
            self._ports.jobs.notices.command_ended(record, new, result=result, failure=failure)
        if failure is not None:
            name = cut(str(record.options.get("command")))
            self._ports.boards.events.write(
                "warning",
                f"command_{new}",
                f"{name} {new}: {failure.message}",
                id=record.command_id,
                cause=failure.code,
            )
        return True

    # -- status

    def _write_status(self) -> None:
        now = self._ports.clock.monotonic()
        if self._grant is None or now - self._status_at < STATUS_S / 2:
            return
        self._status_at = now
        notices = self._ports.jobs.notices
        status = self._ports.overview.look(
            self._ports.agent,
            self._slots.report(),
            self._ports.schedules.timetable,
            self._unended.problems(),
        )
        self._ports.boards.status.write_cluster(
            replace(status, told=notices.told()), self._grant.token
        )
        notices.problems(status.problems)
        if self._ports.gaps is not None and status.open_gap is not None:
            self._ports.gaps.mend(status.open_gap)
