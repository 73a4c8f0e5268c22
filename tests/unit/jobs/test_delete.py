"""Deleting a backup: the manifest first, then what only it needs, whatever interrupts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.codec import manifest_json
from agent.core import log
from agent.core.errors import PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.jobs.delete import DeleteJob, DeletePorts
from agent.jobs.resync import ResyncJob, ResyncPorts
from agent.model import keys
from agent.model.backups import entry_of
from agent.model.cluster_time import ClusterTime
from agent.model.commands import Delete
from agent.model.manifest import Chunk, Copy, Manifest, Segment, Window
from agent.ports import CANCELED, JobContext
from tests.fakes.catalogue import collection
from tests.fakes.cluster import MemoryCluster
from tests.fakes.control import MemoryBackups, MemoryNotes
from tests.fakes.store import Fault, MemoryStore, fail_from, unreachable

OLD, NEW = "20260101T000000Z", "20260102T000000Z"
EARLY, BEGIN, MIDDLE, LAST, LATE = (ClusterTime(1_767_225_599 + n, 1) for n in range(5))


def segment_key(begin: ClusterTime, last: ClusterTime) -> str:
    """Return the key of a segment."""
    identity = MemoryCluster().identity()
    return keys.segment(identity.replset, identity.replset_id, begin, last)


def segment(begin: ClusterTime, last: ClusterTime) -> Segment:
    """Return a segment as a manifest names it."""
    return Segment(
        key=segment_key(begin, last),
        begin=begin,
        last=last,
        entries=1,
        bytes=3,
        stored_bytes=3,
        sha256="0" * 64,
    )


def fail_on(wanted: str) -> Fault:
    """Fail every call of one method."""

    def fault(_call: int, method: str, _key: str) -> None:
        if method == wanted:
            raise unreachable()

    return fault


def at_call(wanted: int, act: Callable[[], object]) -> Fault:
    """Do something at one call."""

    def fault(call: int, _method: str, _key: str) -> None:
        if call == wanted:
            act()

    return fault


class Desk:
    """Two backups in a storage that share one segment of oplog."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.catalogue = MemoryBackups()
        self.notes = MemoryNotes()
        self.cluster = MemoryCluster()
        self.manifests = {
            OLD: self._backup(OLD, ((BEGIN, MIDDLE), (MIDDLE, LAST))),
            NEW: self._backup(NEW, ((MIDDLE, LAST),)),
        }

    def _backup(
        self, backup_id: str, spans: tuple[tuple[ClusterTime, ClusterTime], ...]
    ) -> Manifest:
        replset = self.cluster.identity().replset
        orders = collection("shop.orders")
        name = keys.ChunkName(task=0, token=1, sequence=0)
        chunk = keys.chunk(replset, backup_id, orders.namespace, name)
        self.store.objects[chunk] = b"12345"
        segments = []
        for begin, last in spans:
            self.store.objects[segment_key(begin, last)] = b"123"
            segments.append(segment(begin, last))
        manifest = Manifest(
            backup_id=backup_id,
            identity=self.cluster.identity(),
            agent_version="0",
            nodes=(),
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
            finished_at=datetime(2026, 1, 1, tzinfo=UTC),
            consistent_at=LAST,
            oplog_from=LAST,
            catalogue_at=BEGIN,
            copies=(
                Copy(
                    collection=orders,
                    read_at=(BEGIN,),
                    chunks=(Chunk(key=chunk, docs=1, bytes=5, stored_bytes=5, sha256="0" * 64),),
                ),
            ),
            window=Window(begin=spans[0][0], last=LAST, segments=tuple(segments)),
        )
        self.put(manifest)
        self.catalogue.put(entry_of(manifest, "main"))
        return manifest

    def archive(self, *spans: tuple[ClusterTime, ClusterTime]) -> None:
        """Put segments of the archive beside those of the backups."""
        for begin, last in spans:
            self.store.objects[segment_key(begin, last)] = b"1234"

    def oplog(self) -> set[str]:
        """Return the keys of all segments."""
        return {key for key in self.store.objects if "/oplog/" in key}

    def put(self, manifest: Manifest) -> None:
        """Store a manifest in place of an earlier one."""
        key = keys.manifest(self.cluster.identity().replset, manifest.backup_id)
        self.store.objects[key] = manifest_json.encode(manifest)

    def job(
        self,
        backup: str,
        *,
        force: bool = False,
        dry_run: bool = False,
        stop: Stop | None = None,
    ) -> DeleteJob:
        """Make a job."""
        ports = DeletePorts(
            source=self.cluster,
            store=self.store,
            label="main",
            catalogue=self.catalogue,
            notes=self.notes,
            log=log.get(),
        )
        request = Delete(backup=backup, force=force, dry_run=dry_run)
        return DeleteJob(context(stop), request, ports)


def context(stop: Stop | None = None) -> JobContext:
    """Return a context whose lease never ends."""
    stop = stop or Stop()
    return JobContext(command_id="c", agent="a:1", token=1, stop=stop, held=lambda: None)


def cut_manifest(desk: Desk, backup: str) -> None:
    """Cut the end of a manifest off."""
    key = keys.manifest("rs", backup)
    desk.store.objects[key] = desk.store.objects[key][:-10]


def of(backup: str, desk: Desk) -> list[str]:
    """Return the keys that belong to a backup alone."""
    return [key for key in desk.store.objects if f"/{backup}/" in key]


def code_of(job: DeleteJob) -> str:
    """Return why a plan is refused."""
    with pytest.raises(PermanentError) as caught:
        job.plan()
    return caught.value.code


def test_delete_removes_the_backup_and_what_only_it_needs() -> None:
    """The shared segment stays, and so does the other backup; the catalogue knows."""
    desk = Desk()
    segments = {key for key in desk.store.objects if "/oplog/" in key}
    job = desk.job(OLD)
    job.plan()
    result = job.run()
    assert of(OLD, desk) == []
    assert len(of(NEW, desk)) == 2
    (left,) = (key for key in desk.store.objects if "/oplog/" in key)
    assert left == segment_key(MIDDLE, LAST)
    assert len(segments) == 2
    assert [each.backup_id for each in desk.catalogue.entries()] == [NEW]
    assert result["objects"] == 3


def test_a_window_that_the_archive_has_too_goes_with_its_backup() -> None:
    """What the archive holds is no less without it."""
    desk = Desk()
    desk.archive((EARLY, LATE))
    desk.job(OLD).run()
    desk.notes.forget("c")
    desk.job(NEW, force=True).run()
    assert {segment_key(EARLY, LATE)} == desk.oplog()


def test_a_window_stays_where_the_archive_would_have_a_hole() -> None:
    """The archive goes on at both sides; what it does not hold itself is kept for it."""
    desk = Desk()
    desk.archive((EARLY, BEGIN), (MIDDLE, LATE))
    before = desk.oplog()
    result = desk.job(OLD).run()
    assert result["objects"] == 2
    assert before == desk.oplog()
    desk.notes.forget("c")
    desk.job(NEW, force=True).run()
    assert before - {segment_key(MIDDLE, LAST)} == desk.oplog()


def test_a_window_stays_while_another_backup_reaches_further_through_it() -> None:
    """The archive ends with it, as when it was switched off; it may go on from there, too."""
    desk = Desk()
    first = replace(
        desk.manifests[OLD],
        backup_id="20251231T000000Z",
        consistent_at=EARLY,
        oplog_from=EARLY,
        window=None,
    )
    desk.archive((EARLY, BEGIN))
    before = desk.oplog()
    desk.put(first)
    desk.job(OLD).run()
    assert before == desk.oplog()
    gone = desk.store.objects.pop(keys.manifest("rs", first.backup_id))
    assert gone
    desk.notes.forget("c")
    desk.job(NEW, force=True).run()
    assert before == desk.oplog()


def test_a_window_that_became_needed_while_the_delete_was_interrupted_stays() -> None:
    """Compaction removed what made it superfluous, because the window was there."""
    desk = Desk()
    desk.archive((EARLY, BEGIN), (BEGIN, MIDDLE), (MIDDLE, LATE))
    wide = segment_key(BEGIN, LAST)
    desk.store.objects[wide] = b"12"
    window = Window(begin=BEGIN, last=LAST, segments=(segment(BEGIN, LAST),))
    desk.put(replace(desk.manifests[OLD], window=window))
    desk.store.fault = fail_on("delete")
    with pytest.raises(TransientError):
        desk.job(OLD).run()
    desk.store.fault = None
    del desk.store.objects[segment_key(BEGIN, MIDDLE)]
    desk.job(OLD).run()
    assert wide in desk.oplog()


def test_manifest_goes_first() -> None:
    """A backup that is half deleted must not look like one."""
    desk = Desk()
    job = desk.job(OLD)
    job.plan()
    job.run()
    deleted = [key for method, key in desk.store.calls if method == "delete"]
    assert deleted[0] == keys.manifest("rs", OLD)


def test_dry_run_counts_and_removes_nothing() -> None:
    """The numbers are those of the delete that would follow."""
    desk = Desk()
    before = dict(desk.store.objects)
    job = desk.job(OLD, dry_run=True)
    job.plan()
    told = job.run()
    assert before == desk.store.objects
    really = desk.job(OLD)
    really.plan()
    assert {**told, "dry_run": False} == really.run()


def test_unknown_backup_is_refused() -> None:
    """Neither a wrong id nor a wrong form of one."""
    assert code_of(Desk().job("20250101T000000Z")) == "unknown_backup"
    assert code_of(Desk().job("../x")) == "unknown_backup"


def test_kept_backup_needs_force() -> None:
    """``keep`` is a promise to whoever gave it."""
    desk = Desk()
    desk.put(replace(desk.manifests[OLD], keep=True))
    assert code_of(desk.job(OLD)) == "backup_kept"
    desk.job(OLD, force=True).plan()


def test_only_backup_needs_force() -> None:
    """Without it nothing could be restored any more."""
    desk = Desk()
    desk.job(OLD).run()
    desk.notes.forget("c")
    assert code_of(desk.job(NEW)) == "only_backup"
    job = desk.job(NEW, force=True)
    job.plan()
    job.run()
    assert desk.store.objects == {}


def test_damaged_backup_can_be_deleted_with_force() -> None:
    """Its oplog stays, since nobody can tell whose it is."""
    desk = Desk()
    cut_manifest(desk, OLD)
    with pytest.raises(PermanentError):
        desk.job(OLD).plan()
    job = desk.job(OLD, force=True)
    job.plan()
    job.run()
    assert of(OLD, desk) == []
    assert len([key for key in desk.store.objects if "/oplog/" in key]) == 2


def test_what_a_backup_without_manifest_left_can_be_deleted_with_force() -> None:
    """Its objects would stay for ever: nothing else names them."""
    desk = Desk()
    del desk.store.objects[keys.manifest(desk.cluster.identity().replset, OLD)]
    assert code_of(desk.job(OLD)) == "unknown_backup"
    job = desk.job(OLD, force=True)
    job.plan()
    job.run()
    assert of(OLD, desk) == []
    desk.notes.forget("c")
    assert code_of(desk.job(OLD, force=True)) == "unknown_backup"


def test_oplog_stays_while_another_manifest_is_damaged() -> None:
    """It may be needed by the backup that cannot be read now."""
    desk = Desk()
    cut_manifest(desk, NEW)
    desk.job(OLD).run()
    assert len([key for key in desk.store.objects if "/oplog/" in key]) == 2


def test_delete_can_be_run_again_after_any_call_failed() -> None:
    """Interrupted at every call in turn, the next run ends the same."""
    finished = Desk()
    finished.job(OLD).run()
    for number in range(1, len(finished.store.calls) + 1):
        desk = Desk()
        desk.store.fault = fail_from(number)
        with pytest.raises(TransientError):
            desk.job(OLD).run()
        desk.store.fault = None
        again = desk.job(OLD)
        again.plan()
        again.run()
        assert desk.store.objects == finished.store.objects
        assert desk.catalogue.by_key == finished.catalogue.by_key


def test_a_cancel_before_anything_is_removed_leaves_everything() -> None:
    """The last moment is before it is written down what goes."""
    desk, stop = Desk(), Stop()
    before = dict(desk.store.objects)
    stop.set(CANCELED)
    with pytest.raises(Stopped):
        desk.job(OLD, stop=stop).run()
    assert (before, None) == (desk.store.objects, desk.notes.load("c"))


def test_a_cancel_that_comes_too_late_does_not_leave_half_a_backup() -> None:
    """It passes between the question whether it may and the first removal: at any call since."""
    finished = Desk()
    expected = finished.job(OLD).run()
    calls = finished.store.calls
    begun = next(n for n, (method, _) in enumerate(calls, 1) if method == "delete")
    for number in range(begun, len(calls) + 1):
        desk, stop = Desk(), Stop()
        desk.store.fault = at_call(number, lambda stop=stop: stop.set(CANCELED))  # type: ignore[misc]
        assert expected == desk.job(OLD, stop=stop).run()
        assert desk.store.objects == finished.store.objects
        assert desk.catalogue.by_key == finished.catalogue.by_key


def test_a_cancel_does_not_end_a_delete_that_another_coordinator_had_begun() -> None:
    """It is cancelled before the next one has read what is written down of it."""
    desk, stop = Desk(), Stop()
    desk.store.fault = fail_on("delete")
    with pytest.raises(TransientError):
        desk.job(OLD).run()
    desk.store.fault = None
    stop.set(CANCELED)
    desk.job(OLD, stop=stop).run()
    assert [] == of(OLD, desk)
    assert [NEW] == [each.backup_id for each in desk.catalogue.entries()]


def test_resync_makes_the_catalogue_what_the_storage_holds() -> None:
    """Entries without a manifest go, manifests without an entry come."""
    desk = Desk()
    expected = desk.catalogue.entries()
    gone = replace(desk.manifests[OLD], backup_id="20250101T000000Z")
    desk.catalogue.put(entry_of(gone, "main"))
    desk.catalogue.remove(NEW, "main")
    ports = ResyncPorts(
        source=desk.cluster, stores={"main": desk.store}, catalogue=desk.catalogue, log=log.get()
    )
    job = ResyncJob(context(), ports)
    job.plan()
    assert job.run() == {"backups": {"main": 2}, "damaged": []}
    assert expected == desk.catalogue.entries()
    cut_manifest(desk, OLD)
    result = job.run()
    assert [each.backup_id for each in desk.catalogue.entries()] == [NEW]
    assert OLD in str(result["damaged"])


def test_a_backup_whose_manifest_is_gone_is_not_offered_whatever_comes_of_the_rest() -> None:
    """The storage refuses to remove the chunks: what is left is no backup."""
    desk = Desk()

    def refuse(_call: int, method: str, key: str) -> None:
        if method == "delete" and not key.endswith("manifest.json"):
            raise PermanentError("storage_denied", "no")

    desk.store.fault = refuse
    with pytest.raises(PermanentError):
        desk.job(OLD).run()
    assert of(OLD, desk)
    assert [NEW] == [each.backup_id for each in desk.catalogue.entries()]
