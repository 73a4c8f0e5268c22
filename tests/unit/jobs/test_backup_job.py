"""A whole backup over fakes: what the storage and the boards hold, whatever dies when."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from agent.codec import manifest_json
from agent.core.errors import AgentError, PermanentError, Stopped, TransientError
from agent.core.flow import Shared, Stop, WorkerGroup
from agent.core.keeper import Held
from agent.core.log import get
from agent.jobs.backup.job import BackupJob, BackupPorts
from agent.jobs.backup.reading import ReadingPorts
from agent.jobs.backup.worker import TaskRunner
from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.commands import Backup
from agent.model.manifest import Manifest
from agent.model.verdict import Verdict
from agent.ports import CANCELED, JobContext
from tests.fakes.catalogue import collection
from tests.fakes.clock import VirtualClock
from tests.fakes.cluster import MemoryCluster, MemoryOplog, fail_batch
from tests.fakes.control import MemoryControl
from tests.fakes.store import MemoryStore, fail_at, fail_from
from tests.testbed.waiting import eventually

MANIFEST = keys.manifest("rs", "20261121T201512Z")
Result = Mapping[str, object]


@dataclass
class Site:
    """A replica set with one worker and one storage."""

    clock: VirtualClock = field(default_factory=VirtualClock)
    cluster: MemoryCluster = field(default_factory=MemoryCluster)
    store: MemoryStore = field(default_factory=MemoryStore)
    oplog: MemoryOplog = field(default_factory=lambda: MemoryOplog(ClusterTime(1, 1)))
    stop: Stop = field(default_factory=Stop)

    def __post_init__(self) -> None:
        self.control = MemoryControl(self.clock)
        for number in range(3):
            self.cluster.add(collection(f"shop.c{number}"), range(10))

    def job(self, token: int = 1, stop: Stop | None = None) -> BackupJob:
        """Return the job of the one command, as a coordinator with this token makes it."""
        context = JobContext(
            command_id="command",
            agent="a:1",
            token=token,
            stop=stop or self.stop,
            held=lambda: None,
        )
        ports = BackupPorts(
            source=self.cluster,
            oplog=self.oplog,
            store=self.store,
            commit_store=self.store,
            label="main",
            board=self.control.tasks,
            notes=self.control.notes,
            catalogue=self.control.backups,
            clock=self.clock,
            agent_version="0.1.0",
            level=1,
            log=get(),
            glance_s=0.001,
        )
        return BackupJob(context, Backup(), ports)

    def run(self, job: BackupJob, meanwhile: Callable[[], None] | None = None) -> Result:
        """Run a job to its end, beside a worker that does its tasks, or something else."""
        ended = Shared[Result | None](None)
        with WorkerGroup("test", Stop()) as group:
            group.start(lambda: ended.set(job.run()), "job")
            while group.alive_count:
                (meanwhile or self.work)()
                group.stop.wait(0.001)
        result = ended.get()
        assert result is not None
        return result

    def work(self) -> None:
        """Do one task, if there is one."""
        claim = self.control.tasks.claim("a:1")
        if claim is None:
            return
        reading = ReadingPorts(
            source=self.cluster,
            reader=self.cluster,
            store=self.store,
            clock=self.clock,
            replset="rs",
            level=1,
        )
        runner = TaskRunner(board=self.control.tasks, reading=lambda _: reading, log=get())
        runner.run(claim, Held("task", self.clock, self.clock.monotonic() + 12), Stop())
        self.clock.move(2)

    def manifest(self, key: str = MANIFEST) -> Manifest:
        """Read a manifest back."""
        return manifest_json.decode(self.store.objects[key])


def test_a_backup_is_its_manifest_and_the_chunks_that_it_names() -> None:
    """Nothing else is stored, and the result says what was done."""
    site = Site()
    result = site.run(site.job())
    manifest = site.manifest()
    named = {chunk.key for copy in manifest.copies for chunk in copy.chunks}
    assert named | {MANIFEST} == set(site.store.objects)
    assert manifest.window is None
    assert {
        "backup": "20261121T201512Z",
        "consistent_at": manifest.consistent_at,
        "docs": 30,
        "bytes": 420,
        "stored_bytes": manifest.stored_bytes,
        "chunks": 3,
        "nodes": ("a:1",),
    } == dict(result)
    assert ["20261121T201512Z"] == [one.backup_id for one in site.control.backups.entries()]


def test_everything_is_read_at_one_time_after_the_command() -> None:
    """The catalogue is listed before and after that time."""
    site = Site()
    site.run(site.job())
    assert {site.manifest().consistent_at} == {read.at for read in site.cluster.reads}


def test_two_backups_within_a_second_have_two_ids() -> None:
    """An id tells seconds; the next free one is taken."""
    site = Site()
    site.store.objects[keys.backup_root("rs", "20261121T201512Z") + "data/a/b/c"] = b"x"
    result = site.run(site.job())
    assert result["backup"] == "20261121T201513Z"


def test_a_clock_that_is_behind_gives_no_earlier_id() -> None:
    """The newest backup is found by its id, whichever host made it."""
    site = Site()
    site.clock.move(3600)
    first = site.run(site.job())["backup"]
    site.control.notes.forget("command")
    site.control.tasks.remove("command")
    site.clock.move(-3600)
    second = site.run(site.job())["backup"]
    assert ("20261121T211512Z", "20261121T211513Z") == (first, second)


def test_oplog_is_stored_when_a_snapshot_became_too_old() -> None:
    """It reaches from before the first read time to the latest one, without a gap."""
    site = Site()
    site.cluster.fault = fail_batch(2, PermanentError("snapshot_too_old", "too old"))
    site.run(site.job())
    manifest = site.manifest()
    assert manifest.window is not None
    reached = manifest.window.begin
    for segment in manifest.window.segments:
        assert (segment.begin, segment.key in site.store.objects) == (reached, True)
        reached = segment.last
    assert manifest.window.begin <= min(copy.read_at[0] for copy in manifest.copies)
    assert reached == manifest.consistent_at
    assert manifest.consistent_at >= max(copy.read_at[-1] for copy in manifest.copies)


def test_a_catalogue_that_never_agrees_is_settled_by_the_oplog() -> None:
    """Definitions after the last listing's note are left to the replay."""
    site = Site()
    site.cluster.never_agrees = True
    site.run(site.job())
    manifest = site.manifest()
    assert manifest.window is not None
    assert manifest.window.begin <= manifest.catalogue_at < manifest.consistent_at


def test_oplog_that_rolled_over_fails_the_backup_cleanly() -> None:
    """A copy that cannot be made exact is no backup."""
    site = Site(oplog=MemoryOplog(ClusterTime(5000, 1)))
    site.cluster.fault = fail_batch(2, PermanentError("snapshot_too_old", "too old"))
    with pytest.raises(PermanentError, match="begins later"):
        site.run(site.job())
    assert {} == site.store.objects


def test_a_cancelled_backup_leaves_nothing() -> None:
    """Neither objects nor tasks; the stop's reason tells a cancel from the agent's end."""
    site = Site()

    def work_then_cancel() -> None:
        site.work()
        site.stop.set(CANCELED)

    with pytest.raises(Stopped):
        site.run(site.job(), work_then_cancel)
    assert {} == site.store.objects
    assert 0 == site.control.tasks.glance("command").total_count


def test_a_stopped_agent_leaves_the_work_for_the_next_coordinator() -> None:
    """Nothing is cleaned up: the tasks go on, and the next coordinator commits."""
    site, stop = Site(), Stop()

    def stop_when_published() -> None:
        if site.control.notes.load("command") is not None:
            stop.set("the agent stops")

    with pytest.raises(Stopped):
        site.run(site.job(token=1, stop=stop), stop_when_published)
    reads = len(site.cluster.reads)
    site.work()
    result = site.run(site.job(token=2))
    assert result["docs"] == 30
    assert len(site.cluster.reads) == reads + 3


def test_a_coordinator_that_died_after_the_manifest_is_followed_by_the_same_result() -> None:
    """The manifest is what counts; it is not written twice."""
    site = Site()
    first = site.run(site.job(token=1))
    before = dict(site.store.objects)
    again = site.run(site.job(token=2))
    assert (dict(first), before) == (dict(again), site.store.objects)


def test_a_coordinator_that_died_while_planning_leaves_nothing_that_counts() -> None:
    """Its tasks and objects are removed, and the work begins anew."""
    site, stop = Site(), Stop()
    with pytest.raises(Stopped):
        site.run(site.job(token=1, stop=stop), lambda: stop.set("the agent stops"))
    left_over = keys.backup_root("rs", "20261121T201510Z") + "data/shop/c0/x.bson.zst"
    site.store.objects[left_over] = b"x"
    site.control.notes.save("command", 1, {"backup_id": "20261121T201510Z"})
    result = site.run(site.job(token=2))
    assert result["docs"] == 30
    named = {chunk.key for copy in site.manifest().copies for chunk in copy.chunks}
    assert {MANIFEST, *named} == set(site.store.objects)


def test_stored_oplog_outlives_its_coordinator() -> None:
    """The next one finds it in the notes, and removes it if the backup is cancelled."""
    site, canceled = Site(), Stop()
    site.cluster.fault = fail_batch(2, PermanentError("snapshot_too_old", "too old"))

    def no_manifest(_call: int, method: str, key: str) -> None:
        if (method, key) == ("put", MANIFEST):
            raise TransientError("storage_unreachable", "cut")

    site.store.fault = no_manifest
    with pytest.raises(TransientError):
        site.run(site.job(token=1))
    assert any("/oplog/" in key for key in site.store.objects)
    canceled.set(CANCELED)
    with pytest.raises(Stopped):
        site.run(site.job(token=2, stop=canceled))
    assert {} == site.store.objects


@pytest.mark.parametrize("call", range(1, 12))
def test_a_storage_that_refuses_once_leaves_no_manifest_and_a_second_run_succeeds(
    call: int,
) -> None:
    """Whichever request it is: a backup is whole or is not there."""
    site = Site()
    site.store.fault = fail_at(call, PermanentError("storage_denied", "no"))
    try:
        site.run(site.job())
    except AgentError:
        assert MANIFEST not in site.store.objects
    site.store.fault = None
    site.control = MemoryControl(site.clock)
    site.clock.move(5)
    result = site.run(site.job(token=9))
    assert result["docs"] == 30
    assert result["backup"] in {one.backup_id for one in site.control.backups.entries()}


def test_who_may_neither_write_nor_delete_is_told_of_the_write() -> None:
    """What failed first is what is to be mended first."""
    site = Site()

    def fault(_call: int, method: str, key: str) -> None:
        if method in {"put", "delete"}:
            raise PermanentError("storage_denied", f"{method} of {key}")

    site.store.fault = fault
    with pytest.raises(PermanentError, match="put of"):
        site.run(site.job())


def test_a_storage_that_stays_away_ends_the_try_and_not_the_backup() -> None:
    """A transient error is left to the next coordinator, which goes on."""
    site = Site()

    def work_then_cut() -> None:
        site.work()
        if site.control.tasks.glance("command").done_count:
            site.store.fault = fail_from(1)

    with pytest.raises(TransientError):
        site.run(site.job(token=1), work_then_cut)
    site.store.fault = None
    site.clock.move(20)
    assert site.run(site.job(token=2))["docs"] == 30


def test_a_backup_that_is_given_up_leaves_nothing() -> None:
    """The storage came back too late for the last try; what was stored before goes."""
    site = Site()

    def work_then_cut() -> None:
        site.work()
        if site.control.tasks.glance("command").done_count:
            site.store.fault = fail_from(1)

    job = site.job()
    with pytest.raises(TransientError):
        site.run(job, work_then_cut)
    assert {} != site.store.objects
    site.store.fault = None
    job.give_up()
    assert {} == site.store.objects


def test_a_backup_that_exists_is_not_given_up() -> None:
    """Its manifest was written; only the last word about it was not."""
    site = Site()
    job = site.job()
    site.run(job)
    before = dict(site.store.objects)
    job.give_up()
    assert before == site.store.objects


def test_what_a_dead_reader_left_is_swept_when_the_backup_is_committed() -> None:
    """Only what the manifest names stays, and what was found when the backup was verified."""
    site = Site()
    verdict = Verdict(depth="objects", checked_at=site.clock.now(), is_sound=True)
    verified = keys.verdict("rs", "20261121T201512Z", verdict)
    orphan = keys.backup_root("rs", "20261121T201512Z") + "data/shop/c0/000000-1-9.bson.zst"

    def work_then_leave_an_orphan() -> None:
        site.work()
        if MANIFEST not in site.store.objects and site.control.notes.load("command"):
            site.store.objects.setdefault(orphan, b"x")
            site.store.objects.setdefault(verified, b"{}")

    site.run(site.job(), work_then_leave_an_orphan)
    assert orphan not in site.store.objects
    assert verified in site.store.objects
    assert len(site.store.objects) == 5


def test_an_upload_that_ends_after_a_cancel_is_removed_by_its_worker() -> None:
    """The cancel could not see it yet; nobody else ever would."""
    site, canceled = Site(), Stop()

    def cancel_under_the_upload(_call: int, method: str, key: str) -> None:
        if method == "put" and "/data/" in key and not canceled.is_set:
            canceled.set(CANCELED)
            eventually(lambda: not site.control.tasks.glance("command").total_count)

    site.store.fault = cancel_under_the_upload
    with pytest.raises(Stopped):
        site.run(site.job(stop=canceled))
    assert canceled.is_set
    assert {} == site.store.objects


def test_a_task_that_nobody_can_do_fails_the_backup_with_its_own_error() -> None:
    """The operator reads what went wrong, not that something did."""
    site = Site()
    site.cluster.fault = fail_batch(2, PermanentError("storage_denied", "no", hint="s3:PutObject"))
    with pytest.raises(PermanentError) as caught:
        site.run(site.job())
    assert ("storage_denied", "s3:PutObject") == (caught.value.code, caught.value.hint)
    assert {} == site.store.objects


def test_no_node_that_reads_is_told_after_a_while() -> None:
    """A backup that nobody works on does not wait for ever."""
    site = Site()
    with pytest.raises(PermanentError) as caught:
        site.run(site.job(), lambda: site.clock.move(10))
    assert "no_node_reads" == caught.value.code


def test_tasks_that_are_gone_end_the_backup_at_once() -> None:
    """An earlier coordinator had begun to clean up, and died over it."""
    site, stop = Site(), Stop()

    def stop_when_published() -> None:
        if site.control.tasks.glance("command").total_count:
            stop.set("the agent stops")

    with pytest.raises(Stopped):
        site.run(site.job(token=1, stop=stop), stop_when_published)
    site.work()
    site.control.tasks.remove("command")
    with pytest.raises(PermanentError) as caught:
        site.run(site.job(token=2))
    assert caught.value.code in {"backup_given_up", "backup_incomplete"}
    assert {} == site.store.objects


def test_a_pattern_that_matches_nothing_is_refused_in_the_plan() -> None:
    """Before anything is read or stored."""
    site = Site()
    context = JobContext(command_id="command", agent="a:1", token=1, stop=Stop(), held=lambda: None)
    job = BackupJob(context, Backup(namespaces=("nothing.*",)), site.job()._ports)
    with pytest.raises(PermanentError) as caught:
        job.plan()
    assert "nothing_matches" == caught.value.code


def test_progress_ends_at_the_whole() -> None:
    """Estimates are replaced by what was really read."""
    site = Site()
    job = site.job()
    site.run(job)
    eventually(lambda: job.progress().percent == 100.0, timeout_s=20)
    assert 30 == job.progress().done_docs
