"""Gathering the facts that a plan is made from; nothing is touched."""

from agent.core.errors import PermanentError
from agent.jobs import manifests
from agent.jobs.restore import rules
from agent.jobs.restore.ports import RestorePorts
from agent.model.arrangement import Surroundings, Wish
from agent.model.commands import Restore
from agent.model.manifest import Manifest
from agent.model.restore_plan import RestorePlan, plan_restore
from agent.model.restore_point import Point, choose
from agent.model.selection import Renaming, Selection


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


def gather(request: Restore, ports: RestorePorts) -> RestorePlan:
    """Find the backup, look at the replica set, and make the plan.

    Raises: PermanentError of everything that makes the restore impossible.
    """
    wish = wish_of(request)
    identity = ports.source.identity()
    manifest = _manifest(request, ports, identity.replset)
    surroundings = Surroundings(
        identity=identity,
        existing=ports.source.collections(),
        control_database=ports.control_database,
    )
    ttl = [rule for copy in manifest.copies for rule in rules.ttl_rules(copy.collection)]
    return plan_restore(manifest, wish, surroundings, ttl)


def _manifest(request: Restore, ports: RestorePorts, replset: str) -> Manifest:
    store = ports.store
    if request.backup is not None:
        return manifests.read(store, replset, request.backup)
    if request.to is None or request.to == "latest":
        # Jobs that write run one at a time, so that ids sort as consistent times do.
        ids = manifests.backup_ids(store, replset)
        if ids:
            return manifests.read(store, replset, ids[-1])
    found = {each.backup_id: each for each in manifests.read_all(store, replset).manifests}
    points = [
        Point(backup_id=each.backup_id, consistent_at=each.consistent_at) for each in found.values()
    ]
    return found[choose(points, request.to or "latest").backup_id]
