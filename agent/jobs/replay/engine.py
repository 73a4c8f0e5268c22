"""The replay itself: entries in, each to the place that its UUID leads to."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from agent.codec import oplog
from agent.codec.lane_keys import key_of_id
from agent.codec.operations import Encoder, care_of
from agent.core.errors import PermanentError
from agent.core.flow import Stop, WorkerGroup
from agent.core.retry import RetryPolicy, retry
from agent.jobs.replay.definitions import Barrier, Definitions
from agent.jobs.replay.lanes import Lanes, Step
from agent.jobs.replay.transactions import Committed, Transactions
from agent.jobs.workspace import Piece, Workspace
from agent.model.cluster_time import ClusterTime
from agent.model.replay import (
    Bundle,
    Change,
    ChangeKind,
    Entry,
    Nothing,
    Operation,
    ReplayLimits,
    ReplayResult,
    Settle,
    Strange,
    placed,
    unknown_entry,
)
from agent.ports import Batch, ReplayTarget

# Enough to keep the server busy while others wait for the majority.
LANE_COUNT: Final = 8
# An applyOps within an applyOps is legal, a tower of them is not sane.
_DEEPEST_BUNDLE: Final = 10


def replay(
    batches: Iterable[Batch],
    workspace: Workspace,
    target: ReplayTarget,
    limits: ReplayLimits,
    stop: Stop,
    *,
    policy: RetryPolicy | None = None,
) -> ReplayResult:
    """Bring the pieces of a workspace from their own times to ``limits.until``.

    ``batches`` hold whole raw oplog entries in order, cut anywhere between two entries, from
    the oldest that any piece needs, or a transaction that was prepared then; entries that come
    again are passed over. They end at or after ``until``: that they have no gap is the
    caller's to prove. Afterwards the workspace holds what the source held then, and nothing
    else; names, indexes and expiries of its pieces are those of that time.

    Raises: PermanentError ``replay_unknown_entry``, ``replay_diverged``, ``replay_refused``,
    ``replay_misses_collection``, ``replay_transaction_incomplete``,
    ``replay_transaction_large``, ``replay_without_id``, ``document_too_deep``,
    ``damaged_bson``; TransientError when the primary stays away; Stopped.
    """
    policy = policy or RetryPolicy()
    with WorkerGroup("replay", stop) as group:
        lanes = Lanes(
            target,
            group,
            count=LANE_COUNT,
            tolerate_missing_until=limits.tolerate_missing_until,
            policy=policy,
        )
        barrier = Barrier(
            fence=lanes.fence,
            attempt=partial(retry, policy=policy, stop=group.stop),
        )
        definitions = Definitions(workspace, target, limits, barrier)
        run = _Run(workspace, target, limits, definitions, lanes)
        lanes.start()
        run.take_all(_entries(batches))
        lanes.fence()
        definitions.finish()
        lanes.close()
    return run.result()


def _entries(batches: Iterable[Batch]) -> Iterator[Entry]:
    for batch in batches:
        yield from oplog.entries(batch.data)


@dataclass(frozen=True, slots=True)
class _Route:
    """Where the changes of one collection go; as long as it lives, nothing of this changes."""

    encoder: Encoder
    replay_from: ClusterTime
    # Set if all its changes share one lane.
    lane: int | None
    is_capped: bool
    skips_deletes: bool


class _Run:
    def __init__(
        self,
        workspace: Workspace,
        target: ReplayTarget,
        limits: ReplayLimits,
        definitions: Definitions,
        lanes: Lanes,
    ) -> None:
        self._workspace = workspace
        self._limits = limits
        self._definitions = definitions
        self._lanes = lanes
        self._deletes_from_capped = target.deletes_from_capped()
        starts = [piece.replay_from for piece in workspace]
        self._floor = min([limits.catalogue_at, *starts])
        self._transactions = Transactions(self._floor)
        self._routes: dict[bytes, _Route] = {}
        self._defined_count = 0
        self._skipped_count = 0
        self._reached = ClusterTime(0, 0)

    def take_all(self, entries: Iterator[Entry]) -> None:
        """Replay entries up to and with the limit."""
        for entry in entries:
            if entry.time > self._limits.until:
                if not self._transactions.has_prepared:
                    return
                self._take_late(entry)
            elif entry.time > self._reached:
                self._reached = entry.time
                try:
                    self._take(entry)
                except PermanentError as error:
                    raise placed(error, entry.time) from error

    def result(self) -> ReplayResult:
        """Return what was done; exact when the lanes are closed."""
        return ReplayResult(
            applied_count=self._lanes.applied_count + self._defined_count,
            skipped_count=self._skipped_count,
            missing_count=self._lanes.missing_count,
            reached=self._reached,
        )

    def _take(self, entry: Entry) -> None:
        content = entry.content
        match content:
            case Change():
                self._change(entry.time, content)
            case Bundle():
                self._take_committed(self._transactions.add(entry.time, content))
            case Settle():
                self._take_committed(self._transactions.settle(content))
            case _:
                self._operate(entry.time, content)

    def _take_late(self, entry: Entry) -> None:
        """Look beyond the limit for the end of a transaction that was visible before it."""
        content = entry.content
        if isinstance(content, Settle):
            committed = self._transactions.settle(content)
            if committed is not None and committed.at <= self._limits.until:
                self._take_committed(committed)

    def _take_committed(self, committed: Committed | None, depth: int = 0) -> None:
        if committed is None:
            return
        for raw in committed.operations:
            content = oplog.operation(raw)
            if isinstance(content, Bundle):
                if depth == _DEEPEST_BUNDLE:
                    raise unknown_entry(committed.at, "an applyOps within many others")
                inner = replace(committed, operations=content.operations, upserts=content.upserts)
                self._take_committed(inner, depth + 1)
                continue
            if committed.upserts and isinstance(content, Change) and content.kind == "u":
                content = content._replace(upserts=True)
            self._operate(committed.at, content)

    def _operate(self, time: ClusterTime, operation: Operation) -> None:
        match operation:
            case Change():
                self._change(time, operation)
            case Nothing():
                pass
            case Strange():
                if time > self._floor:
                    raise unknown_entry(time, operation.what)
            case _:
                if self._definitions.apply(time, operation):
                    self._defined_count += 1
                else:
                    self._skipped_count += 1

    def _change(self, time: ClusterTime, change: Change) -> None:
        piece = self._workspace.find(change.uuid)
        if piece is None or time <= piece.replay_from:
            self._skipped_count += 1
            return
        route = self._routes.get(change.uuid) or self._route(piece)
        if change.kind == "d" and route.skips_deletes:
            self._skipped_count += 1
            return
        key = key_of_id(change.selector)
        spread = hash((change.uuid, key)) if route.lane is None else route.lane

        care = care_of(change)
        atomic = care == "none" and not route.is_capped
        kinds: Sequence[ChangeKind] = ("d", "i") if care == "anew" else (change.kind,)
        for kind in kinds:
            early = kind == "i" and atomic and route.lane is None
            step = Step(change, kind, route.encoder, key, time, early)
            self._lanes.put(spread, step, atomic=atomic)

    def _route(self, piece: Piece) -> _Route:
        traits = piece.collection.traits
        # In a capped collection the order is part of the data; under a collation different
        # texts are one _id.
        one_lane = traits.is_capped or traits.has_collation
        route = _Route(
            encoder=Encoder(piece.place),
            replay_from=piece.replay_from,
            lane=hash(piece.collection.uuid) if one_lane else None,
            is_capped=traits.is_capped,
            skips_deletes=traits.is_capped and not self._deletes_from_capped,
        )
        self._routes[piece.collection.uuid] = route
        return route
