"""The archive of a real oplog in real storages, whatever happens to either."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bson.timestamp import Timestamp

from agent.aws.session import Access
from agent.codec import documents, framing, oplog
from agent.codec.zstd import ChunkCompressor
from agent.core import log
from agent.core.errors import AgentError, LeaseLost, PermanentError, TransientError
from agent.core.flow import Shared, Stop
from agent.jobs.archive.archiver import MOST_PATIENCE_S
from agent.jobs.backup.window import WindowPlace, WindowRecorder
from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Archived, Span, chain
from agent.mongo.connect import open_node
from agent.mongo.node_link import NodeLink
from agent.mongo.oplog import MongoOplogReader
from agent.ports import ObjectStore
from agent.settings import S3Settings, StorageSettings
from agent.storage.filesystem import FilesystemStore
from agent.storage.open import open_store
from tests.integration.archiving import (
    CONTROL,
    FaultyStore,
    HurriedClock,
    KilledError,
    Stage,
    a_pace,
    staged,
)
from tests.testbed.agents import s3_storage
from tests.testbed.clients import Client
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import Bucket
from tests.testbed.waiting import eventually

_OUTAGES = (
    TransientError("storage_unreachable", "the storage does not answer"),
    PermanentError("storage_denied", "the storage refuses", hint="allow s3:PutObject"),
)


@pytest.fixture(scope="module")
def quiet_set() -> Iterator[ReplicaSet]:
    """One node that writes nothing into its oplog by itself."""
    spec = ReplicaSetSpec(nodes=1, parameters={"writePeriodicNoops": "false"})
    with ReplicaSet.start(spec) as replica_set:
        # The server makes its signing keys when it has time for that, and writes them.
        signing_keys = replica_set.client()["admin"]["system.keys"]
        eventually(lambda: signing_keys.count_documents({}) > 1, 30, message="keys are made")
        yield replica_set


@pytest.fixture
def stage(quiet_set: ReplicaSet, tmp_path: Path) -> Iterator[Stage]:
    """The quiet node, archived into a directory."""
    with staged(quiet_set, FilesystemStore(tmp_path)) as stage:
        yield stage


def _insert(client: Client, docs: int, size_bytes: int = 100) -> None:
    client["shop"]["things"].insert_many([{"n": n, "p": "x" * size_bytes} for n in range(docs)])


# -- what is stored


@pytest.mark.parametrize("kind", ["directory", "bucket"])
def test_segments_link_and_hold_the_oplog_byte_for_byte(
    replica_set: ReplicaSet, tmp_path: Path, bucket: Bucket, kind: str
) -> None:
    """From the first to the last, on a secondary of three nodes, whatever was written."""
    store = FilesystemStore(tmp_path) if kind == "directory" else _bucket_store(bucket)
    with staged(replica_set, store) as stage:
        client = stage.user
        with stage.archiver(replica_set.secondaries()[0]) as running:
            running.begun()
            for number in range(20):
                _insert(client, 50)
                client["shop"][f"made{number}"].create_index("n")
                client["shop"]["things"].update_many({"n": number}, {"$set": {"p": -0.0}})
                with client.start_session() as session, session.start_transaction():
                    client["shop"]["things"].delete_one({"n": number}, session=session)
                    client["shop"]["other"].insert_one({"n": number}, session=session)
                running.polls_again(1)
            last = stage.mark()
            running.reaches(last)
        segments = stage.segments()
        assert len(segments) > 5
        assert [one.last for one in segments[:-1]] == [two.begin for two in segments[1:]]
        covered = stage.check(replica_set.secondaries()[0])
        assert covered.last >= last


def _bucket_store(bucket: Bucket) -> ObjectStore:
    block = StorageSettings.model_validate(s3_storage(bucket.server, bucket.name, bucket.prefix))

    def connect(settings: S3Settings) -> Any:
        return Access(settings, {}).connect()

    return open_store(block, connect=connect, stop=Stop(), is_patient=False)


def test_the_agents_own_writes_start_no_upload(stage: Stage) -> None:
    """Trap 69: they would keep it busy for ever; a user's write takes all of them along."""
    client = stage.user
    with stage.archiver() as running:
        running.begun()
        for number in range(10):
            client[CONTROL]["status"].insert_one({"n": number})
            client["config"]["something"].insert_one({"n": number})
            stage.note()
            running.polls_again(1)
        running.polls_again()
        assert () == stage.segments()
        assert running.report.lag_s < 5
        running.begun().reaches(stage.mark())
    stored = [entry for each in stage.segments() for entry in stage.entries_of(each)]
    namespaces = {documents.field(entry, "ns") for entry in stored}
    assert namespaces >= {f"{CONTROL}.status", "config.something", "shop.marks"}
    stage.check()


def test_idle_coverage_advances_now_and_then(stage: Stage) -> None:
    """With nothing but the agents' own writes, there is a segment each ``idle_s``, and no more."""
    with stage.archiver(pace=a_pace(idle_s=0.6)) as running:
        running.begun()
        times = []

        def has_three() -> bool:
            times.append(stage.note())
            return len(stage.segments()) >= 3

        eventually(has_three, 20, 0.02)
        assert len(times) > 10
    assert len(stage.segments()) <= 4
    stage.check()


def test_nothing_new_stores_nothing(stage: Stage) -> None:
    """Without a single entry there is no segment, however long it takes."""
    with stage.archiver(pace=a_pace(idle_s=0.0)) as running:
        running.begun()
        stored = len(stage.segments())
        running.polls_again(10)
        assert stored == len(stage.segments())


def test_a_backlog_is_stored_in_segments_of_the_size_asked_for(stage: Stage) -> None:
    """What nobody archived for a while comes as many segments, read no faster than they go."""
    with stage.archiver() as running:
        running.begun().reaches(stage.mark())
    _insert(stage.user, 8000, 1000)
    last = stage.mark()
    with stage.archiver(pace=a_pace(3600, segment_bytes=1_048_576)) as running:
        running.reaches(last)
    sizes = [sum(map(len, stage.entries_of(each))) for each in stage.segments()]
    assert len(sizes) > 4
    assert max(sizes) < 3 * 1_048_576
    stage.check()


# -- two at once


def test_two_archivers_at_once_do_no_harm(replica_set: ReplicaSet, tmp_path: Path) -> None:
    """Both store what the oplog holds; together they leave nothing out."""
    one, two = replica_set.secondaries()
    with staged(replica_set, FilesystemStore(tmp_path)) as stage:
        with (
            stage.archiver(one) as first,
            stage.archiver(two, pace=a_pace(0.07, level=9)) as second,
        ):
            for running in (first, second):
                running.begun()
            for _ in range(30):
                _insert(stage.user, 20)
                first.polls_again(1)
            last = stage.mark()
            for running in (first, second):
                running.reaches(last)
                assert () == tuple(running.event_codes)
        assert stage.check(two).last >= last


def _blind(stage: Stage) -> FaultyStore:
    """Return a store as another archiver saw it, before the last segment was there."""
    store = FaultyStore(stage.store)
    store.hidden = {stage.segments()[-1].key}
    return store


@pytest.fixture
def contested(stage: Stage) -> Stage:
    """An archive of some segments, the last of which others will want to store too."""
    with stage.archiver() as running:
        running.begun().reaches(stage.mark())
    _insert(stage.user, 30)
    last = stage.mark()
    with stage.archiver(until=last) as running:
        running.reaches(last)
    return stage


def test_the_same_segment_in_other_bytes_is_the_same(contested: Stage) -> None:
    """Compressed with another level, what another archiver stored is as good."""
    stage, victim = contested, contested.segments()[-1]
    store = _blind(stage)
    before = {each.key: stage.store.get(each.key) for each in stage.segments()}
    with stage.archiver(store=store, pace=a_pace(level=19), until=victim.last) as running:
        running.reaches(victim.last)
        running.polls_again()
        assert running.report.error is None
    assert ["put", "get"] == store.calls[-2:]
    assert before == {each.key: stage.store.get(each.key) for each in stage.segments()}
    stage.check()


def test_a_damaged_segment_in_the_way_is_replaced(contested: Stage, tmp_path: Path) -> None:
    """What another archiver left broken is stored anew, since the entries are at hand."""
    stage, victim = contested, contested.segments()[-1]
    path = tmp_path / victim.key
    path.write_bytes(path.read_bytes()[:-10])
    store = _blind(stage)
    with stage.archiver(store=store, until=victim.last) as running:
        running.reaches(victim.last)
    assert "delete" in store.calls
    stage.check()


def test_another_clusters_segment_in_the_way_is_told_and_left(
    contested: Stage, tmp_path: Path
) -> None:
    """Two clusters under one prefix: nothing is overwritten, and the status says it."""
    stage, victim = contested, contested.segments()[-1]
    foreign = ChunkCompressor(1)
    for entry in stage.entries_of(victim):
        foreign.add(entry.replace(b"shop.things", b"shop.thongs"), 1)
    body = bytes(foreign.finish().body)
    (tmp_path / victim.key).write_bytes(body)
    with stage.archiver(store=_blind(stage), until=victim.last) as running:
        eventually(lambda: "holds other entries" in (running.report.error or ""))
    assert body == stage.store.get(victim.key)


# -- where it begins


def test_an_island_behind_the_archive_does_not_hide_what_is_missing(stage: Stage) -> None:
    """A backup stored oplog of its own while nobody archived: what lies before it comes too."""
    with stage.archiver() as running:
        running.begun().reaches(stage.mark())
    end = stage.segments()[-1].last
    _insert(stage.user, 100)
    begin, _, last = stage.note(), stage.mark(), stage.note()
    _store_window(stage, begin, last)
    assert (Span(begin=end, last=begin),) == stage.gaps()
    with stage.archiver() as running:
        running.begun().reaches(stage.mark())
        assert () == tuple(running.event_codes)
    stage.check()


def _store_window(stage: Stage, begin: ClusterTime, last: ClusterTime) -> None:
    identity = stage.source.identity()
    place = WindowPlace(
        store=stage.store,
        replset=identity.replset,
        replset_id=identity.replset_id,
        level=1,
        held=lambda: None,
        log=log.get(),
    )
    with open_node(stage.replica_set.primary().uri) as client:
        reader = MongoOplogReader(NodeLink.over(client))
        WindowRecorder(place, reader, begin, ()).advance(last)


def test_it_begins_where_the_newest_backup_needs_it(stage: Stage) -> None:
    """A backup that was made before there was an archive can be brought further, too."""
    made = stage.note()
    _insert(stage.user, 100)
    with stage.archiver(wanted_from=lambda: made) as running:
        running.begun().reaches(stage.mark())
    assert made == stage.check().begin


def test_a_later_look_goes_back_to_what_the_newest_backup_needs(stage: Stage) -> None:
    """One that ran while the archive began is older than it, and is caught up with."""
    made = stage.note()
    _insert(stage.user, 100)
    with stage.archiver() as running:
        running.begun().reaches(stage.mark())
    assert made < stage.check().begin
    with stage.archiver(wanted_from=lambda: made) as running:
        running.begun().reaches(stage.mark())
    assert made == stage.check().begin


def test_a_backup_that_began_before_the_archive_is_caught_up_with_at_once(stage: Stage) -> None:
    """The very first one often ends a moment after the archive has begun."""
    made, listed = stage.note(), Shared[ClusterTime | None](None)
    _insert(stage.user, 100)
    # Minutes of the archiver's pass in seconds, but not the ten after which it looks anyway.
    clock = HurriedClock(factor=20)
    with stage.archiver(wanted_from=listed.get, clock=clock) as running:
        running.begun().reaches(stage.mark())
        assert made < stage.check().begin
        listed.set(made)
        eventually(lambda: stage.check().begin == made, 20, message="the archive goes back")
        running.begun().reaches(stage.mark())
    assert made == stage.check().begin


# -- the storage fails


@pytest.mark.parametrize("error", _OUTAGES, ids=lambda error: error.code)
def test_an_outage_of_the_storage_loses_nothing(stage: Stage, error: AgentError) -> None:
    """No more is read than a segment holds, the lag is told, and it goes on at once after it."""
    store = FaultyStore(stage.store)
    client = stage.user
    with stage.archiver(store=store) as running:
        running.begun()
        running.begun().reaches(stage.mark())
        read_before = running.tail.read_bytes
        store.error = error
        _insert(client, 9000, 1000)
        last = stage.mark()
        eventually(lambda: running.report.error)
        lag_s = running.report.lag_s
        eventually(lambda: running.report.lag_s > lag_s + 1.5, message="the lag grows")
        assert running.tail.read_bytes - read_before < 3 * 1_048_576
        assert error.message in (running.report.error or "")
        assert error.hint in (running.report.error or "")
        store.error = None
        running.reaches(last, timeout_s=8)
        running.polls_again()
        assert running.report.error is None
        assert running.report.lag_s < 2
        assert [] == running.event_codes
    assert stage.check().last >= last


@pytest.mark.parametrize("error", _OUTAGES, ids=lambda error: error.code)
@pytest.mark.parametrize("method", ["list", "get"])
def test_a_storage_that_fails_at_the_start_is_waited_for(
    stage: Stage, error: AgentError, method: str
) -> None:
    """What cannot be seen now is not missing: there is no gap because a permission was."""
    with stage.archiver() as running:
        running.begun().reaches(stage.mark())
    last = stage.mark()
    store = FaultyStore(stage.store)
    store.error_of = {method: error}
    with stage.archiver(store=store) as running:
        eventually(lambda: store.calls.count(method) > 1)
        assert running.error is None
        store.error_of = {}
        running.reaches(last)
        assert [] == running.event_codes
    stage.check()


@pytest.mark.parametrize("error", _OUTAGES, ids=lambda error: error.code)
def test_a_start_that_keeps_failing_is_left_to_others(stage: Stage, error: AgentError) -> None:
    """Not at once, or the lease would go round and round; and not never."""
    store = FaultyStore(stage.store)
    store.error = error
    clock = HurriedClock(factor=10)
    begun_at = clock.monotonic()
    with stage.archiver(store=store, clock=clock) as running:
        eventually(lambda: running.error, 30)
        assert error is running.error
        assert clock.monotonic() - begun_at >= MOST_PATIENCE_S
        assert len(store.calls) < 60


# -- archivers come and go


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_killed_archiver_is_followed_without_a_gap(stage: Stage, moment: str) -> None:
    """Whether its last segment was stored or not, the next one goes on behind what is stored."""
    for _ in range(3):
        _be_killed(stage, moment)
    with stage.archiver() as running:
        running.begun().reaches(stage.mark())
        running.polls_again()
        assert running.report.lag_s < 2
        assert [] == running.event_codes
    stage.check()


def _be_killed(stage: Stage, moment: str) -> None:
    store = FaultyStore(stage.store)
    with stage.archiver(store=store) as running:
        running.begun().reaches(stage.mark())
        setattr(store, f"killed_{moment}", lambda _key: True)
        stage.mark()
        eventually(lambda: isinstance(running.error, KilledError), 20)


def test_an_archiver_that_lost_its_lease_stores_nothing_more(stage: Stage) -> None:
    """Not even what it has in hand while it waits for the storage."""
    store = FaultyStore(stage.store)
    with stage.archiver(store=store) as running:
        running.begun()
        store.error = _OUTAGES[0]
        _insert(stage.user, 1)
        eventually(lambda: running.report.error)
        running.lose_the_lease()
        store.error = None
        stored = stage.segments()
        eventually(lambda: isinstance(running.error, LeaseLost))
        assert len(stage.segments()) - len(stored) <= 1
    with stage.archiver() as running:
        running.begun().reaches(stage.mark())
    stage.check()


def test_a_stop_is_obeyed_within_a_second(stage: Stage) -> None:
    """Also while the storage does not answer."""
    store = FaultyStore(stage.store)
    with stage.archiver(store=store, pace=a_pace(3600)) as running:
        eventually(running.archiver.report)
        running.group.stop.set()
        eventually(lambda: running.error, 1)
    with stage.archiver(store=store) as running:
        running.begun()
        store.error = _OUTAGES[1]
        _insert(stage.user, 1)
        eventually(lambda: running.report.error)
        running.group.stop.set()
        eventually(lambda: running.error, 1)


# -- the archive is not what it was


def _archived(stage: Stage) -> tuple[Archived, ...]:
    """Make an archive of three segments, and write some more."""
    with stage.archiver() as running:
        for _ in range(3):
            running.begun().reaches(stage.mark())
    _insert(stage.user, 5)
    return stage.segments()


@pytest.mark.parametrize("how", ["damaged", "gone", "listed and not there"])
def test_what_a_broken_last_segment_held_is_archived_again(
    stage: Stage, tmp_path: Path, how: str
) -> None:
    """The oplog still has it: there is no gap, and a restore finds a way around."""
    *_, before, victim = _archived(stage)
    path, store = tmp_path / victim.key, FaultyStore(stage.store)
    match how:
        case "damaged":
            path.write_bytes(path.read_bytes()[:-1])
        case "gone":
            path.unlink()
        case _:
            store.missing = {victim.key}
    last = stage.mark()
    with stage.archiver(store=store) as running:
        running.reaches(last)
        assert [] == running.event_codes
    assert () == stage.gaps()
    way = chain(stage.segments(), before.last, last)
    assert victim not in way
    assert all(stage.entries_of(each) for each in way)


def test_another_history_is_a_gap(stage: Stage) -> None:
    """Trap 9: an archive that ends with an entry that this oplog does not have is not stitched."""
    _archived(stage)
    note = stage.note()
    identity = stage.source.identity()
    with open_node(stage.replica_set.primary().uri) as client:
        reader = MongoOplogReader(NodeLink.over(client))
        begin = stage.spans()[-1].last
        entries = [
            bytes(each)
            for batch in reader.read(begin, note)
            for each in framing.documents(batch.data)
        ]
    fake = ChunkCompressor(1)
    for entry in entries[:-1]:
        fake.add(entry, 1)
    other = documents.decode(entries[-1]) | {"t": oplog.position(entries[-1]).term + 1}
    fake.add(documents.encode(other), 1)
    key = keys.segment(identity.replset, identity.replset_id, begin, note)
    stage.store.put(key, fake.finish().body)
    with stage.archiver() as running:
        running.begun()
        assert ["oplog_gap"] == running.event_codes
        (gap,) = running.report.spans[:-1]
        assert note == gap.last
        running.begun().reaches(stage.mark())
    (missing,) = stage.gaps()
    assert note == missing.begin
    assert running.report.spans == stage.spans()


def test_no_range_crosses_a_change_of_the_compatibility_version(tmp_path: Path) -> None:
    """Trap 47: what came before and what comes after is archived, and nothing links the two.

    An archiver that starts later, and finds all of it in its oplog still, leaves the hole alone.
    """
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set,
        staged(replica_set, FilesystemStore(tmp_path)) as stage,
    ):
        with stage.archiver() as running:
            running.begun()
            before = stage.mark()
            for version in ("5.0", "6.0"):
                stage.user.admin.command("setFeatureCompatibilityVersion", version)
            after = stage.mark()
            running.reaches(after)
            assert {"oplog_barrier"} == set(running.event_codes)
            told = [event.facts["upto"] for event in running.control.events.written]
        missing = stage.gaps()
        assert running.report.spans == stage.spans()
        assert {gap.last for gap in missing} <= set(told)
        assert before <= missing[0].begin
        assert missing[-1].last < after
        assert after <= stage.spans()[-1].last
        stored = stage.segments()
        with stage.archiver() as running:
            running.begun().reaches(stage.mark())
            assert [] == running.event_codes
        assert missing == stage.gaps()
        assert stored == stage.segments()[: len(stored)]
        _check_all_but(stage, told)


def _check_all_but(stage: Stage, left_out: list[object]) -> None:
    """Check that the segments hold every entry of the oplog but those of some times."""
    covered = stage.spans()
    with open_node(stage.replica_set.primary().uri) as client:
        real = [
            bytes(each)
            for batch in MongoOplogReader(NodeLink.over(client)).read(
                covered[0].begin, covered[-1].last
            )
            for each in framing.documents(batch.data)
        ]
    archived = [entry for segment in stage.segments() for entry in stage.entries_of(segment)]
    assert [each for each in real if oplog.position(each).time not in left_out] == archived


def test_an_archive_ahead_of_the_clusters_clock_waits(stage: Stage) -> None:
    """Nothing is archived under times that were archived before."""
    identity = stage.source.identity()
    note = stage.note()
    ahead = ClusterTime(note.seconds + 1000, 1)
    fake = ChunkCompressor(1)
    fake.add(documents.encode({"ts": Timestamp(ahead.seconds, 1), "t": 1, "op": "n"}), 1)
    key = keys.segment(identity.replset, identity.replset_id, note, ahead)
    stage.store.put(key, fake.finish().body)
    store = FaultyStore(stage.store)
    with stage.archiver(store=store) as running:
        eventually(lambda: store.calls.count("list") > 2)
        _insert(stage.user, 1)
        assert running.archiver.report() is None
    assert 1 == len(stage.segments())
