"""The coordinator's part of a backup: begin, wait for the tasks, commit the manifest last."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from agent.codec import manifest_json
from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError, Stopped, TransientError
from agent.core.flow import Shared
from agent.core.log import Log
from agent.jobs.backup import planning
from agent.jobs.backup.assembly import assemble, needs_window
from agent.jobs.backup.cleaning import remove_objects, remove_unnamed
from agent.jobs.backup.notes import BackupNotes, Draft, Outset
from agent.jobs.backup.statement import Stamp, build_manifest, window_of
from agent.jobs.backup.window import WindowPlace, WindowRecorder
from agent.jobs.unneeded import unneeded
from agent.model import keys
from agent.model.backup_plan import TaskOrigin, plan_tasks
from agent.model.backups import BackupEntry, entry_of
from agent.model.catalogue import Identity
from agent.model.cluster_time import ClusterTime
from agent.model.commands import Backup
from agent.model.manifest import Manifest, Window
from agent.model.progress import Phase, Progress
from agent.model.selection import Selection
from agent.model.tasks import JobTasks
from agent.ports import (
    BackupCatalogue,
    ClusterSource,
    JobNotes,
    ObjectStore,
    OplogReader,
    TaskBoard,
)
from agent.ports.work import CANCELED, JobContext

# How often the coordinator looks at the tasks.
GLANCE_S: Final = 0.2
# How often oplog is stored while a backup needs it.
WINDOW_S: Final = 5.0
# With no task claimed for so long, no node will read.
LONGEST_STALL_S: Final = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPorts:
    """What a backup needs; ``label`` names the storage that ``store`` is.

    ``commit_store`` is the same one, for the manifest alone: it tries again only while the
    lease is held, so that a manifest never comes after the next coordinator's clean-up.
    ``glance_s`` is how often the tasks are looked at.
    """

    source: ClusterSource
    oplog: OplogReader
    store: ObjectStore
    commit_store: ObjectStore
    label: str
    board: TaskBoard
    notes: JobNotes
    catalogue: BackupCatalogue
    clock: Clock
    agent_version: str
    level: int
    log: Log
    glance_s: float = GLANCE_S


class BackupJob:
    """One ``backup`` command."""

    def __init__(self, context: JobContext, request: Backup, ports: BackupPorts) -> None:
        self._context = context
        self._request = request
        self._ports = ports
        self._notes = BackupNotes(ports.notes, context)
        self._selection = Selection.parse(request.namespaces)
        self._progress = Shared(Progress(phase="planning"))

    def plan(self) -> None:
        """Check that the storage answers, and that the namespaces name something."""
        self._ports.store.probe()
        if self._request.namespaces:
            self._selection.check(one.namespace for one in self._ports.source.collections())

    def progress(self) -> Progress:
        """Return how far the reading is."""
        return self._progress.get()

    def may_cancel(self) -> bool:
        """Until the manifest is written nothing exists: always."""
        return True

    def give_up(self) -> None:
        """Remove what is stored, unless the manifest is: then the backup exists."""
        noted = self._notes.load()
        if not isinstance(noted, Outset) or self._committed(noted) is None:
            self._clean_up()

    def run(self) -> Mapping[str, object]:
        """Make the backup, or go on with it."""
        manifest = self._made()
        self._ports.catalogue.put(entry_of(manifest, self._ports.label))
        passing(Point.BACKUP_CATALOGUED)
        self._sweep(manifest)
        passing(Point.BACKUP_SWEPT)
        return _result(manifest)

    def _made(self) -> Manifest:
        noted = self._notes.load()
        committed = self._committed(noted) if isinstance(noted, Outset) else None
        if committed is not None:
            return committed
        try:
            if isinstance(noted, Draft):
                self._clean(noted.backup_id)
            outset = noted if isinstance(noted, Outset) else self._begin()
            return self._commit(self._wait(outset))
        except PermanentError:
            self._clean_up_if_allowed()
            raise
        except Stopped:
            if self._context.stop.reason == CANCELED:
                self._clean_up()
            raise

    def _enter(self, phase: Phase) -> None:
        self._progress.update(lambda old: replace(old, phase=phase))

    # -- begin

    def _begin(self) -> Outset:
        """Plan and publish; a coordinator that died in the middle of this left nothing to keep."""
        context, ports = self._context, self._ports
        ports.board.remove(context.command_id)
        identity = ports.source.identity()
        started_at = ports.clock.now()
        backup_id = self._free_id(identity, started_at)
        # Whoever finds no more than this knows what to remove.
        self._notes.save(Draft(backup_id=backup_id))
        passing(Point.BACKUP_DRAFTED)
        start = planning.begin(ports.source, context.stop)
        chosen = [one for one in start.collections if self._selection.takes(one.namespace)]
        sizes = planning.measure(ports.source, chosen, context.stop)
        bounds = planning.cut(ports.source, chosen, sizes, context.stop)
        origin = TaskOrigin(
            job=context.command_id,
            backup_id=backup_id,
            storage=ports.label,
            read_at=start.read_at,
        )
        tasks = plan_tasks(origin, chosen, sizes, bounds)
        context.held()
        ports.board.publish(tasks)
        passing(Point.BACKUP_PUBLISHED)
        outset = Outset(
            backup_id=backup_id,
            started_at=started_at,
            read_at=start.read_at,
            catalogue_at=start.catalogue_at,
            oplog_from=start.oplog_from,
            identity=identity,
            task_count=len(tasks),
        )
        self._notes.save(outset)
        passing(Point.BACKUP_BEGUN)
        ports.log.info("backup begun", backup=backup_id, tasks=len(tasks), collections=len(chosen))
        return outset

    def _free_id(self, identity: Identity, started_at: datetime) -> str:
        """Return an id that no object has, and that sorts after those of all backups.

        Ids tell seconds, and backups may be quicker; they tell the time of a host, and the next
        coordinator's may be behind.
        """
        known = (each for each in self._ports.catalogue.entries() if self._is_of_storage(each))
        latest = max((each.backup_id for each in known), default="")
        if keys.backup_id(started_at) <= latest:
            started_at = keys.backup_time(latest) + timedelta(seconds=1)
        while True:
            backup_id = keys.backup_id(started_at)
            root = keys.backup_root(identity.replset, backup_id)
            if next(iter(self._ports.store.list(root)), None) is None:
                return backup_id
            started_at += timedelta(seconds=1)

    def _is_of_storage(self, entry: BackupEntry) -> bool:
        return entry.storage == self._ports.label and keys.is_backup_id(entry.backup_id)

    # -- wait

    def _wait(self, outset: Outset) -> Outset:
        """Watch the tasks until all are done; keep the oplog meanwhile if it will be needed."""
        clock, job = self._ports.clock, self._context.command_id
        changed_at = window_at = clock.monotonic()
        last: JobTasks | None = None
        while True:
            self._context.held()
            self._context.stop.check()
            seen = self._ports.board.glance(job)
            self._show(seen)
            if seen.failures:
                worst = seen.failures[0]
                raise PermanentError(worst.code, worst.message, hint=worst.hint)
            if seen.done_count == seen.total_count == outset.task_count:
                return outset
            if seen.total_count < outset.task_count:
                raise _given_up()
            now = clock.monotonic()
            if seen != last or seen.running_count:
                last, changed_at = seen, now
            elif now - changed_at > LONGEST_STALL_S:
                raise _no_reader()
            if now - window_at >= WINDOW_S:
                window_at = now
                outset = self._keep_oplog(outset, seen)
            self._context.stop.wait(self._ports.glance_s)

    def _show(self, seen: JobTasks) -> None:
        self._progress.set(
            Progress(
                phase="reading",
                done_bytes=seen.done_bytes,
                total_bytes=max(seen.total_bytes, seen.done_bytes),
                done_docs=seen.done_docs,
                total_docs=max(seen.total_docs, seen.done_docs),
            )
        )

    def _keep_oplog(self, outset: Outset, seen: JobTasks) -> Outset:
        newer = seen.latest_read_at is not None and seen.latest_read_at > outset.read_at
        if newer or outset.catalogue_at < outset.read_at:
            return self._record(outset, self._ports.source.write_note("a backup keeps oplog"))
        return outset

    def _record(self, outset: Outset, last: ClusterTime) -> Outset:
        """Store the oplog up to and with ``last``, and write down what is stored."""
        recorder = WindowRecorder(
            WindowPlace(
                store=self._ports.store,
                replset=outset.identity.replset,
                replset_id=outset.identity.replset_id,
                level=self._ports.level,
                held=self._context.held,
                log=self._ports.log,
            ),
            self._ports.oplog,
            min(outset.oplog_from, outset.catalogue_at),
            outset.segments,
        )
        recorder.advance(last)
        recorded = replace(outset, segments=recorder.window().segments)
        passing(Point.BACKUP_WINDOW_STORED)
        self._notes.save(recorded)
        passing(Point.BACKUP_WINDOW_NOTED)
        return recorded

    # -- commit

    def _commit(self, outset: Outset) -> Manifest:
        reports = self._ports.board.reports(self._context.command_id)
        assembled = assemble(reports, outset.read_at)
        window: Window | None = None
        if needs_window(assembled, outset.read_at, outset.catalogue_at):
            self._enter("oplog")
            window = window_of(self._record(outset, assembled.consistent_at))
        manifest = build_manifest(
            outset,
            self._request,
            assembled,
            window,
            Stamp(agent_version=self._ports.agent_version, finished_at=self._ports.clock.now()),
        )
        # The sizes were estimates until now.
        self._progress.set(
            Progress(
                phase="committing",
                done_bytes=manifest.bytes,
                total_bytes=manifest.bytes,
                done_docs=manifest.docs,
                total_docs=manifest.docs,
            )
        )
        key = keys.manifest(outset.identity.replset, outset.backup_id)
        self._context.held()
        self._context.stop.check()
        passing(Point.MANIFEST_BEFORE_PUT)
        try:
            self._ports.commit_store.put(key, manifest_json.encode(manifest))
        except PermanentError as error:
            if error.code != "object_exists":
                raise
            # A coordinator that was slow to die was first: its manifest names the same chunks.
            return manifest_json.decode(self._ports.store.get(key))
        passing(Point.MANIFEST_STORED)
        self._ports.log.info("backup committed", backup=outset.backup_id, docs=manifest.docs)
        return manifest

    def _committed(self, outset: Outset) -> Manifest | None:
        """Return the manifest if an earlier coordinator had written it before it died."""
        key = keys.manifest(outset.identity.replset, outset.backup_id)
        if all(one.key != key for one in self._ports.store.list(key)):
            return None
        return manifest_json.decode(self._ports.store.get(key))

    # -- clean up

    def _sweep(self, manifest: Manifest) -> None:
        """Remove what is not in the backup; the backup is good, whether that works or not."""
        try:
            remove_unnamed(self._ports.store, manifest)
        except (PermanentError, TransientError) as error:
            self._ports.log.warning("unnamed objects stay", code=error.code, reason=error.message)

    def _clean_up_if_allowed(self) -> None:
        """Clean up after a failure, which is told of even where nothing may be removed either."""
        try:
            self._clean_up()
        except PermanentError as error:
            self._ports.log.error(
                "objects of a failed backup were not removed",
                code=error.code,
                reason=error.message,
                hint=error.hint,
            )

    def _clean_up(self) -> None:
        """Remove what the notes tell of, after a failure or a cancel."""
        self._enter("cleaning")
        noted = self._notes.load()
        if noted is None:
            return
        if isinstance(noted, Outset):
            store, replset = self._ports.store, noted.identity.replset
            window = [one.key for one in noted.segments]
            loose = unneeded(store, replset, window, without=noted.backup_id)
            store.delete([one.key for one in loose])
        self._clean(noted.backup_id)

    def _clean(self, backup_id: str) -> None:
        """Remove the tasks first, so that workers stop, then whatever was stored."""
        self._ports.board.remove(self._context.command_id)
        passing(Point.BACKUP_TASKS_GONE)
        replset = self._ports.source.identity().replset
        pause_s = 2 * self._ports.glance_s
        remove_objects(self._ports.store, replset, backup_id, pause_s=pause_s)


def _given_up() -> PermanentError:
    return PermanentError(
        "backup_given_up",
        "tasks of this backup are gone: an earlier coordinator failed or cancelled it and died",
        hint="its log and the events say why; insert the command again",
    )


def _no_reader() -> PermanentError:
    return PermanentError(
        "no_node_reads",
        f"no agent took a task for {LONGEST_STALL_S:.0f} s",
        hint="start the agents; look at backup.priority and backup.use_primary, and at "
        "node_state and node_lag_s in the status of each agent",
    )


def _result(manifest: Manifest) -> Mapping[str, object]:
    return {
        "backup": manifest.backup_id,
        "consistent_at": manifest.consistent_at,
        "docs": manifest.docs,
        "bytes": manifest.bytes,
        "stored_bytes": manifest.stored_bytes,
        "chunks": manifest.chunk_count,
        "nodes": manifest.nodes,
    }
