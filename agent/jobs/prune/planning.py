"""The plan of a prune, made anew before each step."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from agent.jobs.prune.ports import PrunePorts
from agent.jobs.prune.rules import ruling
from agent.jobs.prune.survey import Held, Survey, judged, verdicts_of
from agent.model.coverage import Archived
from agent.model.retention import RetentionPlan, plan

Archive = Mapping[str, Sequence[Archived]]
"""All segments of the storage, by replica set id."""


def planned(
    ports: PrunePorts,
    seen: Survey,
    archive: Archive,
    held: Mapping[str, Held],
    stuck: Collection[str],
) -> RetentionPlan:
    """Plan with the backups that are still held, and with rules and verdicts as they are now.

    A verify beside this may find the backup damaged for whose sake another one goes. What the
    archive covers is the same when it was compacted meanwhile. Backups that are ``stuck`` were
    refused by the storage: they stay, and need their oplog as before.

    Raises: PermanentError ``retention_unclear``.
    """
    identity = ports.source.identity()
    verdicts = verdicts_of(ports.catalogue, ports.label)
    entries = [judged(each, verdicts.get(backup, ())) for backup, each in held.items()]
    found = plan(
        [replace(each, keep=True) if each.backup_id in stuck else each for each in entries],
        archive,
        ruling(ports.schedules, ports.label, ports.main),
        replset_id=identity.replset_id,
        now=ports.now(),
        named={backup: each.needs.named for backup, each in held.items()},
        is_complete=not seen.unreadable,
    )
    told = ("the storage did not let it go",)
    fates = (
        replace(each, reasons=told) if each.entry.backup_id in stuck else each
        for each in found.fates
    )
    return replace(found, fates=tuple(fates))
