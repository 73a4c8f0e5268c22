"""The oplog between a backup and the target time, replayed into what was loaded."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace

from agent.core.flow import Shared
from agent.jobs.replay import ReplayLimits, ReplayResult, replay
from agent.jobs.restore.feed import Fetched
from agent.jobs.restore.goal import archive_of
from agent.jobs.restore.ports import PATIENCE, RestorePorts
from agent.jobs.workspace import Workspace
from agent.model.names import Namespace, is_backed_up
from agent.model.progress import Progress
from agent.model.restore_plan import RestorePlan
from agent.model.selection import Selection
from agent.ports import Batch, JobContext


def renewed(plan: RestorePlan, ports: RestorePorts) -> RestorePlan:
    """Return the plan with the oplog's segments as they are now: some may have been joined.

    Raises: PermanentError ``object_missing``.
    """
    stretch = plan.goal.stretch
    if stretch is None:
        return plan
    found = archive_of(ports, plan.manifest).renewed(stretch)
    return replace(plan, goal=replace(plan.goal, stretch=found))


def replay_oplog(
    plan: RestorePlan,
    ports: RestorePorts,
    workspace: Workspace,
    context: JobContext,
    progress: Shared[Progress],
) -> ReplayResult:
    """Bring loaded collections to the target time; return what took effect.

    A backup's own window is the way to its consistent time, and replayed like any other.

    Raises: PermanentError of the replay, or naming a damaged segment; Stopped; LeaseLost.
    """
    stretch, manifest = plan.goal.stretch, plan.manifest
    if stretch is None:
        reached = manifest.consistent_at
        return ReplayResult(applied_count=0, skipped_count=0, missing_count=0, reached=reached)
    limits = ReplayLimits(
        until=plan.goal.target,
        tolerate_missing_until=manifest.consistent_at,
        catalogue_at=manifest.catalogue_at,
        selects=_Chosen(plan, ports.control_database).wants,
        followed=plan.followed,
        closed=frozenset({ports.control_database}),
    )
    progress.update(lambda old: replace(old, done_bytes=0, total_bytes=stretch.stored_bytes))
    feed = archive_of(ports, manifest).feed(stretch, context.stop)
    with closing(feed), closing(_batches(feed, context, progress)) as batches:
        result = replay(batches, workspace, ports.replay, limits, context.stop, policy=PATIENCE)
    ports.log.info(
        "oplog replayed",
        segments=len(stretch.segments),
        applied=result.applied_count,
        skipped=result.skipped_count,
        reached=str(result.reached),
    )
    return replace(result, reached=max(result.reached, manifest.consistent_at))


class _Chosen:
    """What the restore wants of what the oplog tells of."""

    def __init__(self, plan: RestorePlan, control_database: str) -> None:
        self._wish = plan.wish
        self._held = Selection.parse(plan.manifest.namespaces)
        self._control_database = control_database

    def wants(self, name: Namespace) -> bool:
        """Whether a collection of this name is wanted; a backup of a part knows no others."""
        return (
            self._wish.target(name) is not None
            and self._held.takes(name)
            and is_backed_up(name, self._control_database)
        )


def _batches(
    feed: Iterator[Fetched], context: JobContext, progress: Shared[Progress]
) -> Generator[Batch, None, None]:
    for fetched in feed:
        for part in fetched.parts():
            context.held()
            context.stop.check()
            yield Batch(data=part, docs=0)
        progress.update(_further(fetched.segment.stored_bytes))


def _further(stored_bytes: int) -> Callable[[Progress], Progress]:
    return lambda old: replace(old, done_bytes=old.done_bytes + stored_bytes)
