"""The oplog that belongs to a backup: fetched, proven to have no gap, and replayed."""

from collections.abc import Iterator

from agent.codec.parts import document_parts
from agent.core.errors import PermanentError
from agent.jobs.replay import ReplayLimits, replay
from agent.jobs.restore.objects import fetch
from agent.jobs.restore.ports import PATIENCE, RestorePorts
from agent.jobs.workspace import Workspace
from agent.model.manifest import Window
from agent.model.names import is_backed_up
from agent.model.restore_plan import RestorePlan
from agent.ports import Batch, JobContext

_PART_BYTES = 8 * 1024 * 1024


def check_window(plan: RestorePlan) -> None:
    """Prove by the manifest that the window's segments leave nothing out.

    Raises: PermanentError ``oplog_gap``.
    """
    window = plan.manifest.window
    if window is None:
        return
    reached = window.begin
    for segment in window.segments:
        if segment.begin > reached:
            raise _gap(plan, f"nothing is stored between {reached} and {segment.begin}")
        reached = max(reached, segment.last)
    if reached < max(window.last, plan.manifest.consistent_at):
        raise _gap(plan, f"it ends at {reached}, before the backup's time")


def replay_window(
    plan: RestorePlan, ports: RestorePorts, workspace: Workspace, context: JobContext
) -> int:
    """Bring loaded collections to the backup's consistent time; return what took effect.

    Raises: PermanentError of the replay, or naming a damaged segment; Stopped; LeaseLost.
    """
    window, wish = plan.manifest.window, plan.wish
    if window is None:
        return 0
    limits = ReplayLimits(
        until=plan.manifest.consistent_at,
        tolerate_missing_until=plan.manifest.consistent_at,
        catalogue_at=plan.manifest.catalogue_at,
        selects=lambda name: (
            wish.target(name) is not None and is_backed_up(name, ports.control_database)
        ),
    )
    batches = _batches(window, ports, context)
    result = replay(batches, workspace, ports.replay, limits, context.stop, policy=PATIENCE)
    ports.log.info("oplog replayed", applied=result.applied_count, skipped=result.skipped_count)
    return result.applied_count


def _batches(window: Window, ports: RestorePorts, context: JobContext) -> Iterator[Batch]:
    for segment in window.segments:
        body = fetch(ports.store, segment)
        for part in document_parts(body, segment.bytes, _PART_BYTES):
            context.held()
            context.stop.check()
            yield Batch(data=part, docs=0)


def _gap(plan: RestorePlan, reason: str) -> PermanentError:
    return PermanentError(
        "oplog_gap",
        f"the oplog of the backup {plan.manifest.backup_id} has a gap: {reason}",
        hint="restore another backup",
    )
