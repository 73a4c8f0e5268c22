"""The collections of the control database: every change is a compare-and-set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from agent.model.backups import BackupEntry
from agent.model.check import Finding
from agent.model.commands import CommandRecord, Ended
from agent.model.leases import Grant
from agent.model.outcome import Outcome
from agent.model.progress import Progress
from agent.model.schedules import Mark
from agent.model.states import State
from agent.model.status import AgentStatus, ClusterStatus, EventLevel, Problem
from agent.model.tasks import Claim, JobTasks, Record, Task, TaskFailure, TaskReport
from agent.model.timetable import ScheduleRecord
from agent.model.verdict import Verdict


class LeaseStore(Protocol):
    """Leases in the control database, judged by the server's clock and by tokens.

    Raises TransientError when the primary cannot be asked; the outcome is then unknown.
    """

    def acquire(self, name: str, holder: str, duration_s: float) -> Grant | None:
        """Take a lease that nobody holds, whose time is over, or that ``holder`` left behind.

        Every success gives a new, larger token: also to the same holder, so that what an
        earlier life of it still does is fenced off. None if another holds it.
        """
        ...

    def renew(self, grant: Grant, duration_s: float) -> None:
        """Prolong a lease from now. Raises: LeaseLost if it is no longer this grant's."""
        ...

    def release(self, grant: Grant) -> None:
        """Give a lease back at once, if it is still this grant's."""
        ...

    def holder(self, name: str) -> str | None:
        """Return who holds a lease now, if anyone."""
        ...


class CommandBoard(Protocol):
    """The commands collection: every change is a compare-and-set, fenced by ``token``.

    A change under a token lower than one that the document has seen raises LeaseLost.
    """

    def open_commands(self) -> Sequence[CommandRecord]:
        """Return every command not in an end state, oldest first."""
        ...

    def get(self, command_id: object) -> CommandRecord | None:
        """Return one command, if it exists."""
        ...

    def last_ended(self, command: str) -> Ended | None:
        """Return which command of a name was ``done`` or ``failed`` last, if any was."""
        ...

    def move(
        self,
        record: CommandRecord,
        new: State,
        token: int,
        outcome: Outcome,
    ) -> bool:
        """Move a command from the state that ``record`` shows to ``new``; False if it moved on.

        Sets ``started_at`` or ``finished_at`` by the server's clock as the state demands.
        Repeating a move that was made is True.
        """
        ...

    def report(
        self, command_id: object, token: int, progress: Progress, eta_s: float | None
    ) -> None:
        """Write the progress of a running command."""
        ...

    def insert(self, options: Mapping[str, object]) -> object:
        """Insert a command as an operator would, and return its ``_id``, which options may name.

        Raises: PermanentError ``bad_command`` with the fields that the validator refused;
        ``duplicate_key`` if there is a command of that ``_id``.
        """
        ...

    def ended_runs(self, before: datetime, limit: int) -> Sequence[object]:
        """Return the ``_id`` of runs of schedules that ended before a time, at most so many."""
        ...

    def ended_others(self, before: datetime, limit: int) -> Sequence[object]:
        """Return the ``_id`` of commands that are no runs and ended before a time, oldest first.

        At most so many; the last of each name that was ``done`` or ``failed`` is not among them.
        """
        ...

    def remove(self, command_ids: Sequence[object]) -> None:
        """Remove commands that have ended; those that have not stay."""
        ...


class ScheduleBoard(Protocol):
    """The schedules collection: operators write it, agents only the marks."""

    def records(self) -> Sequence[ScheduleRecord]:
        """Return every schedule by its name, also those that cannot be understood."""
        ...

    def mark(self, record: ScheduleRecord, mark: Mark) -> bool:
        """Replace a mark if it is as ``record`` has it; False if it is not, or no schedule is.

        Repeating a change that was made is True.
        """
        ...


class JobNotes(Protocol):
    """What a job must remember so that another coordinator can go on with it."""

    def load(self, job: object) -> Mapping[str, object] | None:
        """Return the notes of a job, if there are any."""
        ...

    def save(self, job: object, token: int, notes: Mapping[str, object]) -> None:
        """Replace the notes. Raises: LeaseLost if a larger token has written."""
        ...

    def forget(self, job: object) -> None:
        """Remove the notes, and what half-written ones left; no error if there are none.

        The tasks of the job are removed before.
        """
        ...

    def jobs(self) -> Sequence[object]:
        """Return the jobs that have notes."""
        ...


class TaskBoard(Protocol):
    """Tasks of running jobs. A claim is a lease on a task: 15 s, by the server's clock."""

    def publish(self, tasks: Sequence[Task]) -> None:
        """Put tasks up for claiming; a task that is there already (same job and number) stays."""
        ...

    def claim(self, holder: str) -> Claim | None:
        """Take the largest task that waits or whose holder's time is over; None if there is none.

        Every claim has a new, larger token.
        """
        ...

    def renew(self, claim: Claim) -> None:
        """Prolong a claim. Raises: LeaseLost."""
        ...

    def record(self, claim: Claim, records: Sequence[Record]) -> None:
        """Add what was done; recording the same again changes nothing. Raises: LeaseLost."""
        ...

    def finish(self, claim: Claim) -> None:
        """Mark a task done. Raises: LeaseLost."""
        ...

    def give_back(self, claim: Claim, failure: TaskFailure | None, *, not_before_s: float) -> None:
        """Let go of a claim: for others after ``not_before_s``, or, with a failure, for good."""
        ...

    def glance(self, job: object) -> JobTasks:
        """Return counts and sums over a job's tasks."""
        ...

    def reports(self, job: object) -> Sequence[TaskReport]:
        """Return every task of a job with all its records, by number."""
        ...

    def remove(self, job: object) -> None:
        """Remove all tasks of a job; claims on them are lost."""
        ...


class QuestionBoard(Protocol):
    """What the coordinator asks every agent to find out, and their answers."""

    def ask(self, job: object, agents: Sequence[str], token: int) -> None:
        """Ask agents for their findings; who was asked before is not asked again.

        Raises: LeaseLost if the job was asked for under a larger token.
        """
        ...

    def waiting(self, agent: str) -> Sequence[object]:
        """Return the jobs that wait for this agent's answer."""
        ...

    def answer(self, job: object, agent: str, findings: Sequence[Finding]) -> None:
        """Answer for an agent. The first answer stays; no error if the job is over."""
        ...

    def answers(self, job: object) -> Mapping[str, Sequence[Finding] | None]:
        """Return every agent that was asked, with its findings once it has answered."""
        ...

    def remove(self, job: object) -> None:
        """Remove the questions of a job, and the answers; no error if there are none."""
        ...

    def jobs(self) -> Sequence[object]:
        """Return the jobs that have questions."""
        ...


class StatusBoard(Protocol):
    """The status collection."""

    def write_agent(self, status: AgentStatus) -> None:
        """Replace this agent's document; ``updated_at`` is the server's time."""
        ...

    def write_cluster(self, status: ClusterStatus, token: int) -> None:
        """Replace the cluster's document. Raises: LeaseLost if a larger token has written."""
        ...

    def problems(self) -> Sequence[Problem]:
        """Return the problems of the cluster's document, by whomever it was written."""
        ...

    def told(self) -> Sequence[Problem]:
        """Return the problems of which the webhook has been told, and not yet of their end."""
        ...

    def agents(self) -> Sequence[AgentStatus]:
        """Return every agent's document, also stale ones."""
        ...

    def server_now(self) -> datetime:
        """Return the primary's wall clock, UTC."""
        ...


class BackupCatalogue(Protocol):
    """The backups collection: a copy for people; the storage is the truth."""

    def entries(self) -> Sequence[BackupEntry]:
        """Return all entries, oldest consistent time first."""
        ...

    def put(self, entry: BackupEntry) -> None:
        """Add or replace an entry."""
        ...

    def remove(self, backup_id: str, storage: str) -> None:
        """Remove an entry; no error if there is none."""
        ...

    def replace(self, storage: str, entries: Sequence[BackupEntry]) -> None:
        """Make the entries of one storage be exactly these."""
        ...

    def judge(self, backup_id: str, storage: str, verdict: Verdict) -> None:
        """Write down what verifying a backup found, unless a newer look was as deep.

        Nothing if there is no such entry: a backup that is gone does not come back.
        """
        ...


class EventLog(Protocol):
    """The events collection, capped: what an operator would want to be told."""

    def write(self, level: EventLevel, code: str, message: str, **facts: object) -> None:
        """Add an event; a failure to write is swallowed, since events never stop the work."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Boards:
    """All collections of the control database."""

    commands: CommandBoard
    tasks: TaskBoard
    notes: JobNotes
    questions: QuestionBoard
    status: StatusBoard
    catalogue: BackupCatalogue
    events: EventLog
    leases: LeaseStore
    schedules: ScheduleBoard
