"""Gathering the facts that a plan is made from; nothing is touched."""

from dataclasses import replace
from typing import Final

from agent.core.errors import PermanentError
from agent.jobs.restore import rules
from agent.jobs.restore.goal import find_goal
from agent.jobs.restore.ports import RestorePorts
from agent.model.arrangement import Surroundings, Wish
from agent.model.commands import Restore
from agent.model.restore_plan import RestorePlan, plan_restore
from agent.model.selection import Renaming, Selection

_GRANT: Final = (
    "run the script of `backstay init --print-only --for restore` for this user: it grants the role"
    " backstayRestore, and the agent needs no restart"
)


def wish_of(request: Restore) -> Wish:
    """Return what a command asks for. Raises: PermanentError ``bad_pattern``, ``bad_command``."""
    if request.backup is not None and request.to is not None:
        raise PermanentError(
            "bad_command",
            "backup and to both say what to restore",
            hint="give one of them: a backup's id, or a time",
        )
    return Wish(
        selection=Selection.parse(request.namespaces),
        renaming=Renaming.parse((rule.from_, rule.to) for rule in request.rename or ()),
        overwrite=request.overwrite,
        users_and_roles=request.users_and_roles,
        hold_ttl=request.hold_ttl,
    )


def gather(
    request: Restore, ports: RestorePorts, *, without: frozenset[str] = frozenset()
) -> RestorePlan:
    """Find the backup and the oplog, look at the replica set, and make the plan.

    ``without`` names backups that have proved unfit.

    Raises: PermanentError of everything that makes the restore impossible.
    """
    wish = wish_of(request)
    identity = ports.source.identity()
    goal = find_goal(request, ports, identity.replset, without=without)
    surroundings = Surroundings(
        identity=identity,
        existing=ports.source.collections(),
        control_database=ports.control_database,
    )
    copies = goal.manifest.copies
    ttl = [rule for copy in copies for rule in rules.ttl_rules(copy.collection)]
    plan = plan_restore(goal, wish, surroundings, ttl)
    return _with_rights(plan, ports, is_dry=request.dry_run)


def _with_rights(plan: RestorePlan, ports: RestorePorts, *, is_dry: bool) -> RestorePlan:
    """Refuse what the user may not do, before anything is touched; a plan alone says it.

    Raises: PermanentError ``mongodb_privilege_missing``.
    """
    missing = ports.source.lacks(plan.databases, has_users=plan.has_users)
    if not missing:
        return plan
    told = f"the agent's user may not restore this: it lacks {missing}"
    if is_dry:
        return replace(plan, notes=(*plan.notes, f"{told}; {_GRANT}"))
    raise PermanentError("mongodb_privilege_missing", told, hint=_GRANT)


def replanned(
    plan: RestorePlan,
    request: Restore,
    ports: RestorePorts,
    error: PermanentError,
    unfit: set[str],
) -> RestorePlan | None:
    """Return a plan without the reason of a failure; None if there is no such plan.

    A collection may get a wanted name only on the way. If the backup has it, or the oplog since
    then has all of it, it is to be followed too. A temporary one that was being filled when the
    backup was made is in no backup, but the oplog since an older one has all of it; ``unfit``
    gathers the backups that were tried.

    Raises: TransientError.
    """
    if error.code != "replay_misses_collection":
        return None
    missing, born = _uuids(error, "missing"), _uuids(error, "born")
    held = {copy.collection.uuid for copy in plan.manifest.copies}
    if missing <= held | born and not missing <= plan.followed:
        return plan.following(missing)
    unfit.add(plan.manifest.backup_id)
    if request.to is None:
        return None
    try:
        return gather(request, ports, without=frozenset(unfit))
    except PermanentError:
        return None


def _uuids(error: PermanentError, name: str) -> frozenset[bytes]:
    found = error.facts.get(name)
    return found if isinstance(found, frozenset) else frozenset()
