"""The prune command: plan, remove a backup, plan again; then the archive's old end, then orphans.

Killed anywhere, it leaves what was promised: backups go one by one and manifest first, segments
go oldest first, and what is begun stands in the notes.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from agent.core.crash import Point, passing
from agent.core.flow import Shared
from agent.jobs.backup.notes import backup_id_in
from agent.jobs.prune.foretelling import foretell
from agent.jobs.prune.planning import Archive, planned
from agent.jobs.prune.ports import PrunePorts
from agent.jobs.prune.relisting import relist
from agent.jobs.prune.remover import Remover
from agent.jobs.prune.rules import ruling
from agent.jobs.prune.survey import (
    Held,
    Survey,
    parts_of,
    remains_of,
    survey,
)
from agent.jobs.prune.tally import Tally, row_of, without
from agent.jobs.removal import Removal, portions, removal_in, write_down
from agent.jobs.segments import listed
from agent.jobs.unneeded import loose
from agent.model import keys
from agent.model.commands import Prune
from agent.model.orphans import Remains, orphans
from agent.model.progress import Progress
from agent.model.retention import Cut, Fate, RetentionPlan
from agent.ports import Job, JobContext, JobError
from agent.ports.work import CANCELED

# Joining may store segments again that were removed while it read them: it is looked once more.
_MOST_ROUNDS: Final = 5


class PruneJob:
    """One ``prune`` command. May be run again after any interruption."""

    def __init__(self, context: JobContext, request: Prune, ports: PrunePorts) -> None:
        self._context = context
        self._request = request
        self._ports = ports
        self._remover = Remover(ports.store, context.held)
        self._tally = Tally()
        self._held: dict[str, Held] = {}
        self._stuck: set[str] = set()
        self._progress = Shared(Progress(phase="planning"))

    def plan(self) -> None:
        """Check that the storage answers, and that every schedule can be read."""
        self._ports.store.probe()
        ruling(self._ports.schedules, self._ports.label, self._ports.main)

    def progress(self) -> Progress:
        """Return how far the removing is, in stored bytes."""
        return self._progress.get()

    def may_cancel(self) -> bool:
        """Between two backups everything is sound: always. What was removed stays so."""
        return True

    def give_up(self) -> None:
        """Leave everything: what is left of a backup that was begun to go is an orphan's."""

    def run(self) -> Mapping[str, object]:
        """Remove what may go, or only say what would.

        Raises: PermanentError ``retention_unclear``; JobError ``prune_incomplete`` with the
        result, if the storage refused to remove something.
        """
        ports = self._ports
        replset = ports.source.identity().replset
        seen = survey(ports.store, replset, ports.label, ports.catalogue)
        self._held = dict(seen.held)
        told = {"storage": ports.label, "dry_run": self._request.dry_run}
        archive = listed(ports.store, replset)
        first = self._plan(seen, archive)
        if self._request.dry_run:
            foretell(self._tally, first, seen, archive, self._orphans(seen))
            result = self._tally.result(first, seen, ())
            return {**told, **result, "old_versions": ports.old_versions()}
        wrong = relist(seen, ports.store, ports.catalogue, ports.label)
        if wrong:
            ports.log.warning("the list of backups was wrong", backups=wrong)
        self._progress.set(Progress(phase="cleaning", total_bytes=self._total(first, seen)))
        self._go_on(seen)
        self._remove_backups(seen, archive)
        last = self._remove_segments(seen)
        self._remove_orphans(seen)
        result = self._tally.result(last, seen, self._remover.refused)
        ports.log.info("storage pruned", storage=ports.label, **self._told_counts(result))
        return self._ended({**told, **result, "old_versions": ports.old_versions()})

    # -- planning

    def _plan(self, seen: Survey, archive: Archive) -> RetentionPlan:
        return planned(self._ports, seen, archive, self._held, self._stuck)

    def _orphans(self, seen: Survey) -> tuple[Remains, ...]:
        notes = self._ports.notes
        others = (job for job in notes.jobs() if job != self._context.command_id)
        busy = {made for job in others if (made := backup_id_in(notes.load(job)))}
        return orphans(seen.remains.values(), busy, self._ports.now())

    def _total(self, first: RetentionPlan, seen: Survey) -> int:
        left = [seen.remains[each.backup_id] for each in first.going]
        left += self._orphans(seen)
        segments = sum(each.stored_bytes for each in first.cuts)
        return segments + sum(each.stored_bytes for each in left)

    # -- backups

    def _go_on(self, seen: Survey) -> None:
        """Finish the backup that an earlier coordinator had begun to remove.

        If its manifest is still there, nothing of it is gone, and it is planned anew.
        """
        noted = self._ports.notes.load(self._context.command_id)
        if noted is None:
            return
        tally, row = noted.get("tally"), noted.get("row")
        self._tally = Tally(tally if isinstance(tally, Mapping) else None)
        removal = removal_in(noted)
        if removal is None or removal.backup in {*seen.held, *seen.unreadable}:
            return
        left = self._finish(removal, seen)
        if isinstance(row, Mapping):
            self._tally.backup(without(row, left))
        self._save()

    def _remove_backups(self, seen: Survey, archive: Archive) -> None:
        while not self._remover.is_hopeless:
            found = self._plan(seen, archive)
            going = [each for each in found.fates if not each.stays]
            if not going:
                return
            # Newest first: what is left is sound after each of the oldest.
            self._remove_backup(going[-1], seen)

    def _remove_backup(self, fate: Fate, seen: Survey) -> None:
        ports, backup = self._ports, fate.entry.backup_id
        self._look_up()
        removal = Removal(backup=backup, segments=tuple(sorted(self._held[backup].needs.named)))
        own = self._loose(removal, seen)
        more = len(own), sum(own.values())
        row = row_of(fate, seen.remains, more)
        write_down(removal, self._context, ports.notes, tally=self._tally.fields(), row=row)
        passing(Point.PRUNE_NOTED)
        if not self._remover.remove([keys.manifest(seen.replset, backup)]):
            self._stuck.add(backup)
            ports.log.error("a backup was not removed", backup=backup)
            return
        passing(Point.PRUNE_MANIFEST_GONE)
        self._held.pop(backup)
        self._tally.backup(without(row, self._finish(removal, seen)))
        self._advance()
        ports.log.info("backup pruned", backup=backup, why=row["why"])

    def _finish(self, removal: Removal, seen: Survey) -> Sequence[int]:
        """Remove what is left of a backup whose manifest is gone; return sizes of what stays."""
        ports = self._ports
        ports.catalogue.remove(removal.backup, ports.label)
        passing(Point.PRUNE_FORGOTTEN)
        parts = parts_of(ports.store, seen.replset, removal.backup)
        sizes = {each.key: each.size_bytes for each in parts} | self._loose(removal, seen)
        for some in portions(list(sizes)):
            self._stop_unless_canceled()
            for key in self._remover.remove(some):
                del sizes[key]
        return tuple(sizes.values())

    def _loose(self, removal: Removal, seen: Survey) -> dict[str, int]:
        """Return the segments that go with a backup, with their sizes."""
        if not removal.segments or seen.unreadable:
            return {}
        others = [each.needs for backup, each in self._held.items() if backup != removal.backup]
        archive = listed(self._ports.store, seen.replset)
        return {each.key: each.stored_bytes for each in loose(archive, removal.segments, others)}

    # -- segments and orphans

    def _remove_segments(self, seen: Survey) -> RetentionPlan:
        """Remove the old end of the archive, and return the plan as it is then."""
        for _ in range(_MOST_ROUNDS):
            found = self._plan(seen, listed(self._ports.store, seen.replset))
            removed = 0 if self._remover.is_hopeless else sum(map(self._cut, found.cuts))
            if not removed:
                return found
        return self._plan(seen, listed(self._ports.store, seen.replset))

    def _cut(self, cut: Cut) -> int:
        """Remove what goes of one archive; return how many segments did.

        It ends at the first segment that is refused, so that what is left has no more holes.
        """
        left = [each for each in cut.going if not self._remover.is_refused(each.key)]
        sizes = {each.key: each.stored_bytes for each in left}
        removed = 0
        for some in portions(list(sizes)):
            self._look_up()
            gone = self._remover.remove(some)
            removed += len(gone)
            self._tally.segments(cut.replset_id, len(gone), sum(sizes[key] for key in gone))
            self._save()
            if len(gone) < len(some):
                break
        return removed

    def _remove_orphans(self, seen: Survey) -> None:
        for each in self._orphans(seen):
            if self._remover.is_hopeless:
                return
            self._look_up()
            parts = parts_of(self._ports.store, seen.replset, each.backup_id)
            # Somebody may have gone on with it since the survey.
            now = remains_of(each.backup_id, parts)
            if orphans([now], (), self._ports.now()):
                self._remove_orphan(now, [part.key for part in parts])

    def _remove_orphan(self, remains: Remains, found: list[str]) -> None:
        gone = sum(len(self._remover.remove(some)) for some in portions(found))
        if gone == len(found):
            self._tally.orphan(remains)
            self._save()
            self._ports.log.info("orphans removed", backup=remains.backup_id, objects=gone)

    # -- the end

    def _ended(self, result: Mapping[str, object]) -> Mapping[str, object]:
        refused = self._remover.refused
        if not refused:
            return result
        first = refused[0]
        raise JobError(
            "prune_incomplete",
            f"{len(refused)} objects could not be deleted; the first: {first.key}:"
            f" {first.error.message}",
            hint=f"{first.error.hint or 'see what refuses it'}; an object lock ends by itself, "
            "and a later prune deletes what is left",
            result=result,
        )

    def _told_counts(self, result: Mapping[str, object]) -> Mapping[str, object]:
        return {name: result[name] for name in ("backups", "segments", "orphans", "bytes", "left")}

    def _advance(self) -> None:
        done = self._tally.bytes
        self._progress.update(
            lambda old: Progress(
                phase=old.phase, done_bytes=done, total_bytes=max(done, old.total_bytes)
            )
        )

    def _save(self) -> None:
        """Write down what is done, where no backup is half removed."""
        self._advance()
        self._context.held()
        notes = {"tally": self._tally.fields()}
        self._ports.notes.save(self._context.command_id, self._context.token, notes)
        passing(Point.PRUNE_COUNTED)

    def _look_up(self) -> None:
        """Look whether to go on, where everything is sound."""
        self._context.held()
        self._context.stop.check()

    def _stop_unless_canceled(self) -> None:
        """Look whether to go on within a backup, which a cancel lets come to its end."""
        stop = self._context.stop
        if stop.is_set and stop.reason != CANCELED:
            stop.check()


def _proof(context: JobContext, request: Prune, ports: PrunePorts) -> Job:
    return PruneJob(context, request, ports)
