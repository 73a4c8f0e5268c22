"""The tasks collection in memory."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.core.clock import Clock
from agent.core.errors import LeaseLost
from agent.model.leases import LEASE_S
from agent.model.tasks import (
    Claim,
    JobTasks,
    Record,
    Stored,
    Task,
    TaskFailure,
    TaskReport,
    TaskState,
)
from agent.mongo.task_documents import key_of
from tests.fakes.values import Tokens, key


@dataclass(slots=True)
class _Head:
    task: Task
    state: TaskState = "todo"
    token: int = 0
    attempt: int = 0
    ends_at: float = 0.0
    not_before: float = 0.0
    failure: TaskFailure | None = None
    records: dict[str, Record] = field(default_factory=dict)
    holders: dict[str, None] = field(default_factory=dict)


class MemoryTasks:
    """Tasks by a clock that a test may own; ``claim_s`` is how long a claim lasts."""

    def __init__(self, clock: Clock, tokens: Tokens, *, claim_s: float = LEASE_S) -> None:
        self._clock = clock
        self._tokens = tokens
        self._claim_s = claim_s
        self._lock = threading.Lock()
        self.heads: dict[tuple[bytes, int], _Head] = {}

    def publish(self, tasks: Sequence[Task]) -> None:
        """Put tasks up for claiming; a task that is there already stays."""
        with self._lock:
            for task in tasks:
                self.heads.setdefault((key(task.job), task.number), _Head(task))

    def claim(self, holder: str) -> Claim | None:
        """Take the largest task that waits or whose holder's time is over."""
        with self._lock:
            now = self._clock.monotonic()
            free = [
                head
                for head in self.heads.values()
                if (head.state == "todo" and head.not_before <= now)
                or (head.state == "running" and head.ends_at <= now)
            ]
            if not free:
                return None
            head = min(free, key=lambda each: (-each.task.size_bytes, each.task.number))
            head.state, head.token = "running", self._tokens.next()
            head.ends_at, head.attempt = now + self._claim_s, head.attempt + 1
            return Claim(
                task=head.task,
                holder=holder,
                token=head.token,
                attempt=head.attempt,
                records=tuple(head.records.values()),
            )

    def renew(self, claim: Claim) -> None:
        """Prolong a claim."""
        with self._lock:
            self._held(claim, "running").ends_at = self._clock.monotonic() + self._claim_s

    def record(self, claim: Claim, records: Sequence[Record]) -> None:
        """Add what was done; recording the same again changes nothing."""
        with self._lock:
            head = self._held(claim, "running", "todo", "done", "failed")
            for record in records:
                head.records.setdefault(key_of(record), record)
                head.holders[claim.holder] = None

    def finish(self, claim: Claim) -> None:
        """Mark a task done."""
        with self._lock:
            self._held(claim, "running", "done").state = "done"

    def give_back(self, claim: Claim, failure: TaskFailure | None, *, not_before_s: float) -> None:
        """Let go of a claim: until ``not_before_s`` from now, or, with a failure, for good."""
        state: TaskState = "todo" if failure is None else "failed"
        with self._lock:
            try:
                head = self._held(claim, "running", state)
            except LeaseLost:
                return
            head.state, head.failure = state, failure
            head.not_before = self._clock.monotonic() + not_before_s

    def glance(self, job: object) -> JobTasks:
        """Return counts and sums over a job's tasks."""
        heads = self._of(job)
        chunks = [
            record.chunk
            for head in heads
            for record in head.records.values()
            if isinstance(record, Stored)
        ]
        members = [member for head in heads for member in head.task.members]
        return JobTasks(
            total_count=len(heads),
            done_count=sum(head.state == "done" for head in heads),
            running_count=sum(head.state == "running" for head in heads),
            done_docs=sum(chunk.docs for chunk in chunks),
            done_bytes=sum(chunk.bytes for chunk in chunks),
            total_bytes=sum(member.size.bytes for member in members),
            total_docs=sum(member.size.docs for member in members),
            failures=tuple(head.failure for head in heads if head.failure is not None),
            latest_read_at=max(
                (record.read_at for head in heads for record in head.records.values()),
                default=None,
            ),
        )

    def reports(self, job: object) -> Sequence[TaskReport]:
        """Return every task of a job with all its records, by number."""
        return [
            TaskReport(
                task=head.task,
                state=head.state,
                holders=tuple(head.holders),
                records=tuple(head.records.values()),
            )
            for head in self._of(job)
        ]

    def remove(self, job: object) -> None:
        """Remove all tasks of a job; claims on them are lost."""
        with self._lock:
            for place in [place for place in self.heads if place[0] == key(job)]:
                del self.heads[place]

    def _of(self, job: object) -> list[_Head]:
        with self._lock:
            found = [head for place, head in self.heads.items() if place[0] == key(job)]
            return sorted(found, key=lambda head: head.task.number)

    def _held(self, claim: Claim, *states: TaskState) -> _Head:
        head = self.heads.get((key(claim.task.job), claim.task.number))
        if head is None or head.token != claim.token or head.state not in states:
            raise LeaseLost(f"of task {claim.task.number}")
        return head
