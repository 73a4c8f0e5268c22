"""What the command of a restore tells at its end."""

from collections.abc import Mapping

from agent.jobs.restore import rules
from agent.jobs.workspace import Workspace
from agent.model.names import Namespace
from agent.model.replay import ReplayResult
from agent.model.restore_plan import RestorePlan


def result_of_build(
    plan: RestorePlan, workspace: Workspace, replayed: ReplayResult, server_version: str
) -> Mapping[str, object]:
    """Return the result of a restore once everything is built.

    ``restored_to`` is the time of the last entry that is in the data, never after ``target``.
    """
    collections = [piece.collection for piece in workspace]
    found: dict[str, object] = {
        "restored_to": replayed.reached,
        "target": plan.goal.target,
        "docs": plan.docs,
        "bytes": plan.bytes,
        "collections": sum(_counts(each.namespace) for each in collections),
        "replayed_ops": replayed.applied_count,
        "plan": plan.document(),
    }
    if plan.wish.hold_ttl:
        found["held_ttl"] = held_ttl(plan, workspace, server_version)
    return found


def held_ttl(
    plan: RestorePlan, workspace: Workspace, server_version: str
) -> list[dict[str, object]]:
    """Return what was restored without its expiry, as it was at the target time."""
    rows = []
    for piece in workspace:
        source = piece.collection.namespace
        target = plan.wish.target(source) or source
        rows += rules.held_ttl(piece.collection, piece.ttl_s, target, server_version)
    return rows


def _counts(name: Namespace) -> bool:
    return not (name.is_views or name.is_users_or_roles)
