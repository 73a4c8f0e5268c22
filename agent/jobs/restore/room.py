"""Whether the primary's disk has room for a restore: a server whose disk is full ends itself."""

from agent.core.errors import PermanentError
from agent.model.restore_plan import RestorePlan
from agent.ports import RestoreTarget

_MIB = 1024 * 1024


def check_room(plan: RestorePlan, target: RestoreTarget) -> None:
    """Refuse a restore that certainly does not fit beside what exists.

    Compressed documents are the least that it takes: a server's own compression is rarely better,
    and indexes and the oplog come on top. So one that passes may still be too large.

    Raises: PermanentError ``disk_too_small``; TransientError.
    """
    free_bytes = target.free_bytes()
    if free_bytes is None or plan.stored_bytes <= free_bytes:
        return
    raise PermanentError(
        "disk_too_small",
        f"the restore takes more than {plan.stored_bytes // _MIB} MiB beside what exists, and the"
        f" primary's disk has {free_bytes // _MIB} MiB free",
        hint="make room on the disks of all nodes, or restore fewer namespaces; the files of"
        " collections that were dropped go some minutes later",
    )
