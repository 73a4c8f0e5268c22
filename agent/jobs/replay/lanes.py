"""Lanes: threads that apply changes, each in the order that they were put in.

Two changes of one document always share a lane; a fence waits for all of them.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from agent.codec.operations import Encoder
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Pipe, WorkerGroup
from agent.core.retry import RetryPolicy, retry
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace
from agent.model.replay import Change, ChangeKind, placed, restore_before
from agent.ports import ReplayTarget

T = TypeVar("T")

# The round trip is paid once a batch; an applyOps entry must stay well below 16 MiB.
BATCH_COUNT: Final = 1000
BATCH_BYTES: Final = 1024 * 1024
# What a change becomes by being an operation, more or less.
_OPERATION_BYTES: Final = 100
# Batches that wait for a lane: enough to keep it busy, little memory.
_WAITING: Final = 2


class Step(NamedTuple):
    """One operation for a lane, a change as one of this kind.

    ``key`` is equal for all steps on one document. ``early``: an insert that may come before
    steps on other documents. A tuple, because a replay makes a million of them.
    """

    change: Change
    kind: ChangeKind
    encoder: Encoder
    key: Hashable
    time: ClusterTime
    early: bool

    @property
    def operation(self) -> bytes:
        """The step as ``applyOps`` takes it."""
        return self.encoder.operation(self.change, self.kind)


@dataclass(frozen=True, slots=True)
class _Batch:
    steps: tuple[Step, ...]
    atomic: bool


@dataclass(slots=True)
class _Lane:
    """Owned by the thread that puts, but for the counts: those are the worker's."""

    pipe: "Pipe[_Batch | None]"
    pending: list[Step] = field(default_factory=list)
    pending_bytes: int = 0
    atomic: bool = True
    applied_count: int = 0
    missing_count: int = 0


class Lanes:
    """``count`` lanes whose workers belong to a group; used by one thread.

    Leave the group's context only after ``close``, which waits for everything.
    """

    def __init__(
        self,
        target: ReplayTarget,
        group: WorkerGroup,
        *,
        count: int,
        tolerate_missing_until: ClusterTime,
        policy: RetryPolicy,
    ) -> None:
        self._target = target
        self._group = group
        self._tolerate_missing_until = tolerate_missing_until
        self._policy = policy
        self._passed: Pipe[int] = Pipe(count, group.stop)
        self._lanes = [_Lane(Pipe(_WAITING, group.stop)) for _ in range(count)]

    def start(self) -> None:
        """Start the workers."""
        for number, lane in enumerate(self._lanes):
            self._group.start(partial(self._work, lane), f"lane-{number}")

    def put(self, spread: int, step: Step, *, atomic: bool) -> None:
        """Add a step to the lane that ``spread`` leads to. Raises: Stopped."""
        lane = self._lanes[spread % len(self._lanes)]
        if lane.atomic is not atomic:
            self._flush(lane)
            lane.atomic = atomic
        lane.pending.append(step)
        lane.pending_bytes += len(step.change.body) + _OPERATION_BYTES
        if len(lane.pending) >= BATCH_COUNT or lane.pending_bytes >= BATCH_BYTES:
            self._flush(lane)

    def fence(self) -> None:
        """Wait until all that was put is applied. Raises: Stopped."""
        for lane in self._lanes:
            self._flush(lane)
            lane.pipe.put(None)
        for _ in islice(self._passed, len(self._lanes)):
            pass

    def close(self) -> None:
        """Wait for everything and let the workers end. Raises: Stopped."""
        self.fence()
        for lane in self._lanes:
            lane.pipe.close()

    @property
    def applied_count(self) -> int:
        """Steps that took effect; exact after a fence."""
        return sum(lane.applied_count for lane in self._lanes)

    @property
    def missing_count(self) -> int:
        """Updates of missing documents that were tolerated; exact after a fence."""
        return sum(lane.missing_count for lane in self._lanes)

    def _flush(self, lane: _Lane) -> None:
        if lane.pending:
            lane.pipe.put(_Batch(tuple(lane.pending), lane.atomic))
            lane.pending = []
            lane.pending_bytes = 0

    def _work(self, lane: _Lane) -> None:
        for batch in lane.pipe:
            if batch is None:
                self._passed.put(1)
                continue
            missing_count = self._apply(batch)
            passing(Point.RESTORE_REPLAYED)
            lane.missing_count += missing_count
            lane.applied_count += len(batch.steps) - missing_count

    def _apply(self, batch: _Batch) -> int:
        """Apply a batch; return how many updates met no document."""
        early, steps = _parted(batch.steps)
        for place, inserts in early.items():
            documents = [step.change.body for step in inserts]
            self._send(inserts, partial(self._target.put, place, documents))
        if not steps:
            return 0
        operations = [step.operation for step in steps]
        missing, tries = self._send(
            steps, partial(self._target.apply, operations, atomic=batch.atomic)
        )
        for position in missing:
            self._judge(steps, position, repeated=tries > 1)
        return len(missing)

    def _send(self, steps: Sequence[Step], send: Callable[[], T]) -> tuple[T, int]:
        """Call the target until it answers; return its answer, and how often that took."""
        tries = 1

        def count_try(_error: TransientError, number: int) -> None:
            nonlocal tries
            tries = number + 1

        try:
            answer = retry(send, policy=self._policy, stop=self._group.stop, on_retry=count_try)
        except PermanentError as error:
            position = error.facts.get("position", 0)
            step = steps[position if isinstance(position, int) else 0]
            raise placed(error, step.time) from error
        return answer, tries

    def _judge(self, steps: Sequence[Step], position: int, *, repeated: bool) -> None:
        """Raise unless a missing document is one that may be missing."""
        step = steps[position]
        if step.kind == "u" and step.time <= self._tolerate_missing_until:
            return
        # A batch whose answer was lost may have been applied: its deletes too.
        if repeated and any(
            later.kind == "d" and later.key == step.key and later.change.uuid == step.change.uuid
            for later in steps[position + 1 :]
        ):
            return
        raise PermanentError(
            "replay_diverged",
            f"a document of {step.change.namespace} that was updated at {step.time} is not there",
            hint=f"the backup and the oplog do not fit together; {restore_before(step.time)}, "
            "or from another backup",
            at=str(step.time),
        )


def _parted(
    steps: Sequence[Step],
) -> tuple[Mapping[Namespace, Sequence[Step]], Sequence[Step]]:
    """Return the inserts that can be sent first, by place, and the other steps in order.

    Steps on different documents do not mind each other. An insert stays behind a step on the
    same document: a delete of the one that had its ``_id`` before.
    """
    early: dict[Namespace, list[Step]] = defaultdict(list)
    others: list[Step] = []
    touched: set[tuple[bytes, Hashable]] = set()
    for step in steps:
        document = step.change.uuid, step.key
        if step.early and document not in touched:
            early[step.encoder.place].append(step)
        else:
            others.append(step)
            touched.add(document)
    return early, others
