"""Counting what an agent does, and keeping what its coordinator saw last."""

from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import Counter, Histogram
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from agent.core.clock import Clock
from agent.core.flow import Shared
from agent.metrics.catalogue import (
    COMMAND_BUCKETS,
    PREFIX,
    REQUEST_BUCKETS,
    TASK_BUCKETS,
    WORK,
)
from agent.metrics.figures import ClusterView
from agent.model.backups import BackupEntry
from agent.model.states import State
from agent.model.status import ClusterStatus
from agent.ports import Instruments
from agent.ports.instruments import Direction, TaskEnd

# Commands whose failure somebody wants to be told of.
_USUAL: Final = ("backup", "restore", "verify")
_WORK: Final = {each.name: each for each in WORK}


class Counts:
    """The instruments of one agent; ``registry`` holds the counters, and those of the process."""

    def __init__(self, storages: Iterable[str], clock: Clock) -> None:
        self._clock = clock
        self._view: Shared[ClusterView | None] = Shared(None)
        self.registry = CollectorRegistry()
        self._requests = self._counter("s3_requests")
        self._request_times = self._histogram("s3_request_duration_seconds", REQUEST_BUCKETS)
        self._bytes: dict[Direction, Counter] = {
            "written": self._counter("storage_written_bytes"),
            "read": self._counter("storage_read_bytes"),
        }
        self._retries = self._counter("storage_retries")
        self._claims = self._counter("tasks_claimed")
        self._tasks = self._histogram("task_duration_seconds", TASK_BUCKETS)
        self._commands = self._histogram("command_duration_seconds", COMMAND_BUCKETS)
        self._command_bytes = self._counter("command_processed_bytes")
        ProcessCollector(registry=self.registry)
        # An increase needs a zero to begin at.
        for command in _USUAL:
            for state in (State.DONE, State.FAILED):
                self._commands.labels(command, state)
        for label in storages:
            for counter in (*self._bytes.values(), self._retries):
                counter.labels(label)

    @property
    def view(self) -> ClusterView | None:
        """What the coordinator saw last, if this agent is it."""
        return self._view.get()

    def count_request(self, operation: str, status: str, elapsed_s: float) -> None:
        """Count a request to S3."""
        self._requests.labels(operation, status).inc()
        self._request_times.labels(operation).observe(elapsed_s)

    def count_bytes(self, storage: str, direction: Direction, size_bytes: int) -> None:
        """Count the bytes of an object."""
        self._bytes[direction].labels(storage).inc(size_bytes)

    def count_retry(self, storage: str) -> None:
        """Count a failure after which the same is tried again."""
        self._retries.labels(storage).inc()

    def count_claim(self) -> None:
        """Count a claimed task."""
        self._claims.inc()

    def count_task(self, end: TaskEnd, elapsed_s: float) -> None:
        """Count a task that ended here."""
        self._tasks.labels(end).observe(elapsed_s)

    def count_command(
        self, command: str, state: State, elapsed_s: float, size_bytes: int | None
    ) -> None:
        """Count a command that ended here."""
        self._commands.labels(command, state).observe(elapsed_s)
        if size_bytes is not None:
            self._command_bytes.labels(command).inc(size_bytes)

    def tell_cluster(self, status: ClusterStatus, entries: Sequence[BackupEntry]) -> None:
        """Keep what the coordinator saw."""
        seen_at = self._clock.now()
        self._view.set(ClusterView(seen_at=seen_at, status=status, entries=tuple(entries)))

    def forget_cluster(self) -> None:
        """Forget it."""
        self._view.set(None)

    def _counter(self, name: str) -> Counter:
        known = _WORK[name]
        return Counter(PREFIX + name, known.help, known.labels, registry=self.registry)

    def _histogram(self, name: str, buckets: Sequence[float]) -> Histogram:
        known = _WORK[name]
        return Histogram(
            PREFIX + name, known.help, known.labels, registry=self.registry, buckets=buckets
        )


def _proof(counts: Counts) -> Instruments:
    return counts
