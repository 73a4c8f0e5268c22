"""What a prune would remove, in the steps in which it would: for the dry run."""

from collections.abc import Iterable, Mapping, Sequence

from agent.jobs.prune.survey import Survey
from agent.jobs.prune.tally import Tally, row_of
from agent.jobs.unneeded import loose
from agent.model.coverage import Archived
from agent.model.orphans import Remains
from agent.model.retention import RetentionPlan


def foretell(
    tally: Tally,
    plan: RetentionPlan,
    seen: Survey,
    archive: Mapping[str, Sequence[Archived]],
    left: Iterable[Remains],
) -> None:
    """Count into a tally what a prune would remove now; ``left`` are the orphans."""
    needs = {backup: each.needs for backup, each in seen.held.items()}
    fates = {each.entry.backup_id: each for each in plan.fates}
    segments = {of_id: list(held) for of_id, held in archive.items()}
    for entry in plan.going:
        named = needs.pop(entry.backup_id).named
        own: list[Archived] = []
        if named and not seen.unreadable:
            own = loose(segments, named, needs.values())
        for held in segments.values():
            held[:] = [each for each in held if each not in own]
        more = len(own), sum(each.stored_bytes for each in own)
        tally.backup(row_of(fates[entry.backup_id], seen.remains, more))
    for cut in plan.cuts:
        there = {each.key for each in segments.get(cut.replset_id, ())}
        going = [each for each in cut.going if each.key in there]
        tally.segments(cut.replset_id, len(going), sum(each.stored_bytes for each in going))
    for each in left:
        tally.orphan(each)
