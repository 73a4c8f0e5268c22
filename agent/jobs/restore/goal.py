"""Choosing: which backup, brought to which time, by which segments; from the storage alone."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from agent.codec import framing
from agent.codec.oplog_clock import written
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.jobs import manifests, segments
from agent.jobs.restore.feed import Archive
from agent.jobs.restore.ports import RestorePorts
from agent.model import coverage, restore_point
from agent.model.cluster_time import ClusterTime
from agent.model.commands import Restore
from agent.model.coverage import Archived, Reach, Span
from agent.model.manifest import Manifest
from agent.model.restore_plan import Goal, Stretch
from agent.model.restore_point import Aim

# Wall times come from primaries, and may go back a little from one to the next.
_SLACK_S: Final = 60
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def find_goal(
    request: Restore, ports: RestorePorts, replset: str, *, without: frozenset[str] = frozenset()
) -> Goal:
    """Return what a request means; ``without`` names backups that have proved unfit for it.

    Raises: PermanentError ``no_backup``, ``unknown_backup``, ``bad_manifest``,
    ``not_recoverable``, ``oplog_gap``; ``damaged_object`` if a date cannot be looked up.
    """
    store = ports.store
    if request.backup is not None:
        manifest = manifests.read(store, replset, request.backup)
        return _goal(manifest, manifest.consistent_at, _archived(ports, manifest))
    if request.to is None:
        # Jobs that write run one at a time, so that ids sort as consistent times do.
        ids = manifests.backup_ids(store, replset)
        if not ids:
            raise restore_point.not_recoverable((), {}, "latest", ports.clock.now())
        manifest = manifests.read(store, replset, ids[-1])
        return _goal(manifest, manifest.consistent_at, _archived(ports, manifest))
    shelf = [
        each
        for each in manifests.read_all(store, replset).manifests
        if each.backup_id not in without and _serves(each, request)
    ]
    search = _Search(ports, replset, shelf)
    aim = search.aim(request.to)
    if aim is None:
        raise restore_point.not_recoverable(
            search.reaches, search.covered, request.to, ports.clock.now()
        )
    base = aim.reach.base
    manifest = next(each for each in shelf if each.backup_id == base.backup_id)
    return _goal(manifest, aim.target, search.archived.get(base.replset_id, ()))


def archive_of(ports: RestorePorts, manifest: Manifest) -> Archive:
    """Return the archive that a backup's oplog lies in."""
    window = manifest.window.segments if manifest.window else ()
    return Archive(
        store=ports.store,
        replset=manifest.identity.replset,
        replset_id=manifest.identity.replset_id,
        sealed={each.key: each for each in window},
    )


def _archived(ports: RestorePorts, manifest: Manifest) -> Sequence[Archived]:
    return archive_of(ports, manifest).listed() if manifest.window is not None else ()


def _serves(manifest: Manifest, request: Restore) -> bool:
    """Whether a backup holds all that may be asked for: one of chosen collections may not."""
    if not manifest.namespaces:
        return True
    return bool(request.namespaces) and set(request.namespaces or ()) <= set(manifest.namespaces)


def _goal(manifest: Manifest, target: ClusterTime, archived: Sequence[Archived]) -> Goal:
    if target == manifest.consistent_at and manifest.window is None:
        return Goal(manifest=manifest, target=target)
    begin = min(manifest.oplog_from, manifest.catalogue_at, manifest.consistent_at)
    if manifest.window is not None:
        begin = min(begin, manifest.window.begin)
    try:
        found = coverage.chain(archived, begin, target)
    except PermanentError as error:
        raise _broken(manifest, archived, error) from error
    stretch = Stretch(begin=begin, last=target, segments=found)
    return Goal(manifest=manifest, target=target, stretch=stretch)


def _broken(
    manifest: Manifest, archived: Sequence[Archived], error: PermanentError
) -> PermanentError:
    """Name the segment that the backup wrote for itself, and that is there no more."""
    there = {each.key for each in archived}
    window = manifest.window.segments if manifest.window else ()
    gone = next((each.key for each in window if each.key not in there), None)
    what = "" if gone is None else f"; the segment {gone} is not there"
    return PermanentError(
        "oplog_gap",
        f"the oplog of the backup {manifest.backup_id} has a gap: {error.message}{what}",
        hint="restore another backup",
        **error.facts,
        key=gone,
    )


@dataclass(frozen=True, slots=True)
class _Stretching:
    """A span of the archive that backups can be brought along."""

    replset_id: str
    span: Span


class _Search:
    """Backups and archives as they are now, and what a time means for them."""

    def __init__(self, ports: RestorePorts, replset: str, shelf: Iterable[Manifest]) -> None:
        self._ports = ports
        self._replset = replset
        self.archived: Mapping[str, tuple[Archived, ...]] = segments.listed(ports.store, replset)
        self.covered = {each: coverage.spans(found) for each, found in self.archived.items()}
        self.reaches: list[Reach] = [
            coverage.reach(each.base, self.covered.get(each.base.replset_id, ())) for each in shelf
        ]

    def aim(self, to: restore_point.PointInTime) -> Aim | None:
        """Return what a time means; None if it cannot be restored."""
        if to == "latest":
            return restore_point.latest(self.reaches)
        if isinstance(to, ClusterTime):
            return restore_point.at_time(self.reaches, to)
        return self._at_date(restore_point.utc(to))

    def _at_date(self, date: datetime) -> Aim | None:
        found = []
        for replset_id, span in self._ways():
            time = self._last_by(date, replset_id, span)
            if time is not None:
                own = (each for each in self.reaches if each.base.replset_id == replset_id)
                found.append(restore_point.at_time(own, time))
        exact = restore_point.newest(aim for aim in found if aim is not None)
        return exact or restore_point.in_second(self.reaches, date)

    def _ways(self) -> list[tuple[str, Span]]:
        """Return the spans that lead on from a backup."""
        return [
            (replset_id, span)
            for replset_id, spans in self.covered.items()
            for span in spans
            if any(
                each.base.replset_id == replset_id
                and span.begin <= each.base.consistent_at <= span.last == each.last
                for each in self.reaches
            )
        ]

    def _last_by(self, date: datetime, replset_id: str, span: Span) -> ClusterTime | None:
        """Return the last entry that was written by a date; None if that is not archived.

        An entry's wall time is hardly ever behind its cluster time, since that follows the
        clocks of primaries.
        """
        wall_ms = (date - _EPOCH) // timedelta(milliseconds=1)
        if span.last.seconds < wall_ms // 1000 - _SLACK_S:
            return None
        early = max(span.begin, ClusterTime(max(0, wall_ms // 1000 - _SLACK_S), 0))
        if early >= span.last:
            return None
        found = coverage.chain(self.archived[replset_id], early, span.last)
        begin = found[0].begin
        last = begin if begin.wall <= date else None
        is_passed = False
        archive = Archive(store=self._ports.store, replset=self._replset, replset_id=replset_id)
        stretch = Stretch(begin=begin, last=span.last, segments=found)
        with closing(archive.feed(stretch, Stop())) as feed:
            for part in (part for fetched in feed for part in fetched.parts()):
                for entry in framing.documents(part):
                    time, entry_ms = written(bytes(entry))
                    if entry_ms <= wall_ms:
                        last = time if last is None else max(last, time)
                        continue
                    is_passed = True
                    if entry_ms > wall_ms + _SLACK_S * 1000:
                        return last
        return last if is_passed else None
