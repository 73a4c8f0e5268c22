"""What follows a command that ended: after a scheduled backup, a prune. Pure."""

from collections.abc import Mapping, Sequence

from agent.model.commands import CommandRecord
from agent.model.schedules import Schedule, run_of
from agent.model.states import State


def prune_after(
    record: CommandRecord, schedules: Sequence[Schedule], main: str
) -> Mapping[str, object] | None:
    """Return the prune that follows a command that ended, to be inserted; None if none does.

    One follows each backup that a schedule made, into a storage on which a retention is enabled:
    the schedule's own, or one that stands alone. A retention beside a scheduled ``prune`` has
    times of its own. ``main`` is the main storage's label. The ``_id`` is made of the backup's
    command, so whoever inserts it, it is there once; one that is lost is made up for by the next.
    """
    run = run_of(record.command_id)
    is_made = record.state is State.DONE and record.options.get("command") == "backup"
    if run is None or not is_made:
        return None
    label = record.options.get("storage") or main
    ruling = [
        each
        for each in schedules
        if each.enabled
        and each.retention is not None
        and (each.schedule_id == run.schedule_id or each.command is None)
        and (each.storage_label or main) == label
    ]
    if not ruling:
        return None
    return {"_id": f"{record.command_id}#prune", "command": "prune", "storage": label}
