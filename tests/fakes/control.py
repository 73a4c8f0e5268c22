"""The control database in memory.

It passes the contract suite of `tests/contract/test_control.py`, so what holds over it holds over
a real replica set. A test may look into the stores; `drop` empties them all, as dropping the
database would.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from agent.core.clock import Clock
from agent.core.errors import LeaseLost
from agent.model.backups import BackupEntry
from agent.model.leases import COORDINATOR, LEASE_S, Grant
from agent.model.status import AgentStatus, ClusterStatus, EventLevel, Problem
from agent.model.verdict import Verdict, newest_of_each
from agent.ports import (
    BackupCatalogue,
    CommandBoard,
    EventLog,
    JobNotes,
    LeaseStore,
    QuestionBoard,
    ScheduleBoard,
    StatusBoard,
    TaskBoard,
)
from tests.fakes.commands import MemoryCommands
from tests.fakes.questions import MemoryQuestions
from tests.fakes.schedules import MemorySchedules
from tests.fakes.tasks import MemoryTasks
from tests.fakes.values import Tokens, key, stored


@dataclass(slots=True)
class _Lease:
    holder: str | None
    token: int
    ends_at: float


class MemoryLeases:
    """Leases by a clock that a test may own."""

    def __init__(self, clock: Clock, tokens: Tokens) -> None:
        self._clock = clock
        self._tokens = tokens
        self._lock = threading.Lock()
        self.leases: dict[str, _Lease] = {}

    def acquire(self, name: str, holder: str, duration_s: float) -> Grant | None:
        """Take a lease that nobody holds, whose time is over, or that ``holder`` left behind."""
        with self._lock:
            if self._holder(name) not in {None, holder}:
                return None
            ends_at = self._clock.monotonic() + duration_s
            token = self._tokens.next()
            self.leases[name] = _Lease(holder=holder, token=token, ends_at=ends_at)
            return Grant(name=name, holder=holder, token=token)

    def renew(self, grant: Grant, duration_s: float) -> None:
        """Prolong a lease from now."""
        with self._lock:
            self._mine(grant).ends_at = self._clock.monotonic() + duration_s

    def release(self, grant: Grant) -> None:
        """Give a lease back at once, if it is still this grant's."""
        with self._lock:
            try:
                self._mine(grant).holder = None
            except LeaseLost:
                return

    def holder(self, name: str) -> str | None:
        """Return who holds a lease now, if anyone."""
        with self._lock:
            return self._holder(name)

    def _holder(self, name: str) -> str | None:
        lease = self.leases.get(name)
        if lease is None or lease.ends_at <= self._clock.monotonic():
            return None
        return lease.holder

    def _mine(self, grant: Grant) -> _Lease:
        lease = self.leases.get(grant.name)
        if lease is None or (lease.holder, lease.token) != (grant.holder, grant.token):
            raise LeaseLost(grant.name)
        return lease


class MemoryNotes:
    """Notes as a real server would give them back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.notes: dict[bytes, tuple[object, int, dict[str, Any]]] = {}

    def load(self, job: object) -> Mapping[str, object] | None:
        """Return the notes of a job, if there are any."""
        with self._lock:
            found = self.notes.get(key(job))
            return None if found is None else stored(found[2])

    def save(self, job: object, token: int, notes: Mapping[str, object]) -> None:
        """Replace the notes."""
        with self._lock:
            if self.notes.get(key(job), (None, 0, {}))[1] > token:
                raise LeaseLost(COORDINATOR)
            self.notes[key(job)] = (job, token, stored(notes))

    def forget(self, job: object) -> None:
        """Remove the notes; no error if there are none."""
        with self._lock:
            self.notes.pop(key(job), None)

    def jobs(self) -> Sequence[object]:
        """Return the jobs that have notes."""
        with self._lock:
            return [job for job, _, _ in self.notes.values()]


class MemoryStatus:
    """The last status of each agent and of the cluster."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.by_agent: dict[str, AgentStatus] = {}
        self.cluster: ClusterStatus | None = None
        self._token = 0

    def write_agent(self, status: AgentStatus) -> None:
        """Replace this agent's document."""
        with self._lock:
            self.by_agent[status.name] = replace(status, updated_at=self._clock.now())

    def write_cluster(self, status: ClusterStatus, token: int) -> None:
        """Replace the cluster's document."""
        with self._lock:
            if self._token > token:
                raise LeaseLost(COORDINATOR)
            self.cluster, self._token = status, token

    def problems(self) -> Sequence[Problem]:
        """Return the problems that were written last."""
        with self._lock:
            return () if self.cluster is None else self.cluster.problems

    def told(self) -> Sequence[Problem]:
        """Return the problems of which the webhook has been told."""
        with self._lock:
            return () if self.cluster is None else self.cluster.told

    def agents(self) -> Sequence[AgentStatus]:
        """Return every agent's document, also stale ones."""
        with self._lock:
            return [self.by_agent[name] for name in sorted(self.by_agent)]

    def server_now(self) -> datetime:
        """Return the clock's wall time."""
        return self._clock.now()


class MemoryBackups:
    """Entries by storage and id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.by_key: dict[tuple[str, str], BackupEntry] = {}

    def entries(self) -> Sequence[BackupEntry]:
        """Return all entries, oldest consistent time first."""
        with self._lock:
            return sorted(
                self.by_key.values(),
                key=lambda entry: (entry.consistent_at, entry.backup_id, entry.storage),
            )

    def put(self, entry: BackupEntry) -> None:
        """Add or replace an entry."""
        with self._lock:
            self.by_key[entry.storage, entry.backup_id] = entry

    def remove(self, backup_id: str, storage: str) -> None:
        """Remove an entry; no error if there is none."""
        with self._lock:
            self.by_key.pop((storage, backup_id), None)

    def replace(self, storage: str, entries: Sequence[BackupEntry]) -> None:
        """Make the entries of one storage be exactly these."""
        with self._lock:
            others = {key: each for key, each in self.by_key.items() if key[0] != storage}
            self.by_key = others | {(storage, each.backup_id): each for each in entries}

    def judge(self, backup_id: str, storage: str, verdict: Verdict) -> None:
        """Write down what verifying a backup found."""
        with self._lock:
            entry = self.by_key.get((storage, backup_id))
            if entry is not None:
                verdicts = newest_of_each((*entry.verdicts, verdict))
                self.by_key[storage, backup_id] = replace(entry, verdicts=verdicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as it was written."""

    level: EventLevel
    code: str
    message: str
    facts: Mapping[str, object]


class MemoryEvents:
    """Every event that was written."""

    def __init__(self) -> None:
        self.written: list[Event] = []

    def write(self, level: EventLevel, code: str, message: str, **facts: object) -> None:
        """Add an event."""
        self.written.append(Event(level=level, code=code, message=message, facts=facts))


class MemoryControl:
    """All stores of one control database."""

    def __init__(self, clock: Clock, *, claim_s: float = LEASE_S) -> None:
        self._tokens = Tokens()
        self.leases = MemoryLeases(clock, self._tokens)
        self.commands = MemoryCommands(clock)
        self.notes = MemoryNotes()
        self.questions = MemoryQuestions()
        self.tasks = MemoryTasks(clock, self._tokens, claim_s=claim_s)
        self.status = MemoryStatus(clock)
        self.backups = MemoryBackups()
        self.events = MemoryEvents()
        self.schedules = MemorySchedules()

    def drop(self) -> None:
        """Lose everything but the cluster's own time."""
        self.leases.leases.clear()
        self.commands.commands.clear()
        self.notes.notes.clear()
        self.questions.asked.clear()
        self.tasks.heads.clear()
        self.status.by_agent.clear()
        self.backups.by_key.clear()
        self.schedules.documents.clear()


def _proves(control: MemoryControl) -> tuple[
    LeaseStore, CommandBoard, JobNotes, QuestionBoard, TaskBoard, StatusBoard, BackupCatalogue,
    EventLog, ScheduleBoard,
]:  # fmt: skip
    return (
        control.leases,
        control.commands,
        control.notes,
        control.questions,
        control.tasks,
        control.status,
        control.backups,
        control.events,
        control.schedules,
    )
