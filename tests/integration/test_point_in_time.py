"""Restores to times between backups, on real servers: a backup and the archive after it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest

from agent.codec.zstd import ChunkCompressor
from agent.core.clock import SystemClock
from agent.core.errors import PermanentError
from agent.model import keys
from agent.model.catalogue import Identity
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Segment, Window
from agent.model.names import Namespace
from tests.integration import activities
from tests.integration.restoring import BACKUP, Desk, drop_all, raw_documents, temporaries
from tests.testbed.clients import Client
from tests.testbed.hashes import Contents, contents, differences
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.shell import run_mongosh

LATER_BACKUP = "20261122T201512Z"
NOW = SystemClock().now()


@pytest.fixture(scope="module")
def single() -> Iterator[ReplicaSet]:
    """One node of 6.0."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, oplog_size_mb=990)) as replica_set:
        yield replica_set


@pytest.fixture
def desk(single: ReplicaSet) -> Iterator[Desk]:
    """A desk at a replica set without any data."""
    client = single.client()
    drop_all(client)
    yield Desk(client=client)
    drop_all(client)
    client.admin.command("dropAllUsersFromDatabase")
    client.admin.command("dropAllRolesFromDatabase")


def note(desk: Desk) -> ClusterTime:
    """Return a time after all that was done so far."""
    return desk.source.write_note("a test")


def no_difference(desk: Desk, expected: Contents) -> None:
    """Compare everything, and see that nothing is left behind."""
    assert [] == differences(expected, contents(desk.client))
    assert () == temporaries(desk.client)


def restored(desk: Desk, token: int = 1, **options: Any) -> dict[str, Any]:
    """Restore, as a command of its own."""
    desk.notes.forget("restore-1")
    return dict(desk.restore(token=token, **options))


def refused(desk: Desk, **options: Any) -> PermanentError:
    """Return why a restore is not even begun."""
    with pytest.raises(PermanentError) as caught:
        desk.job(**options).plan()
    return caught.value


def wall(client: Client, time: ClusterTime) -> datetime:
    """Return the wall time of an entry."""
    stamp = bson.Timestamp(time.seconds, time.increment)
    entry = client.local["oplog.rs"].find_one({"ts": stamp})
    assert entry is not None
    found: datetime = entry["wall"]
    return found.replace(tzinfo=UTC)


_ACTIVITIES = [
    activities.crud,
    activities.transactions,
    activities.time_series,
    activities.out_and_capped,
    activities.renames,
    activities.of_operators,
    activities.options,
    activities.indexes,
    activities.drops,
]


@pytest.mark.timeout(300)
def test_every_recorded_time_comes_back(desk: Desk) -> None:
    """After each of many kinds of work: documents, options, indexes, views are as they were then.

    The segments are cut where they fall, in the middle of the work as well as between.
    """
    client = desk.client
    activities.seed(client)
    # Servers never drop these again; empty means the same.
    client.shop["system.js"].insert_one({"_id": "g", "value": 1})
    client.shop.command({"create": "first_view", "viewOn": "orders", "pipeline": []})
    desk.backup()
    moments = []
    for activity in _ACTIVITIES:
        activity(client)
        client.admin.command("createUser", activity.__name__, pwd="x", roles=["read"])
        users = raw_documents(client, Namespace("admin", "system.users"))
        moments.append((note(desk), contents(client), users))
        client.shop.between.insert_many([{"n": n} for n in range(100)])
        client.shop.between.update_many({}, {"$inc": {"n": 1}})
        desk.archive()
    for token, (time, expected, users) in enumerate(moments, 1):
        result = restored(desk, token, to=time, overwrite=True)
        no_difference(desk, expected)
        assert sorted(users) == sorted(raw_documents(client, Namespace("admin", "system.users")))
        assert (time, time) == (result["restored_to"], result["target"])


@pytest.mark.parametrize(
    "activity",
    [activities.crud, activities.transactions, activities.renames, activities.out_and_capped],
    ids=lambda activity: activity.__name__,
)
def test_5_0_comes_back_too(old_single: ReplicaSet, activity: Callable[[Client], None]) -> None:
    """The oldest server that is supported."""
    desk = Desk(client=old_single.client())
    drop_all(desk.client)
    activities.seed(desk.client)
    desk.backup()
    activity(desk.client)
    time, expected = note(desk), contents(desk.client)
    desk.client.shop.orders.delete_many({})
    desk.archive()
    restored(desk, to=time, overwrite=True)
    no_difference(desk, expected)


@pytest.fixture(scope="module")
def old_single() -> Iterator[ReplicaSet]:
    """One node of 5.0."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, version="5.0", oplog_size_mb=990)) as single:
        yield single


def insert_until(client: Client, number: int) -> ClusterTime:
    """Insert one document, and return the time of its entry."""
    answer = client.shop.command({"insert": "log", "documents": [{"_id": number}]})
    return ClusterTime(answer["operationTime"].time, answer["operationTime"].inc)


def logged(client: Client) -> int:
    """Return the largest number in the log."""
    found = client.shop.log.find_one(sort=[("_id", -1)])
    return -1 if found is None else int(found["_id"])


def test_a_date_means_all_that_was_written_by_then(desk: Desk) -> None:
    """By the wall times of the entries, to the millisecond."""
    client = desk.client
    insert_until(client, 0)
    desk.backup()
    times = [insert_until(client, number) for number in range(1, 30)]
    desk.archive(times[14])
    desk.archive()
    walls = {time: wall(client, time) for time in times}
    for token, time in enumerate((times[4], times[14], times[20]), 1):
        result = restored(desk, token, to=walls[time], overwrite=True)
        expected = max(each for each in times if walls[each] <= walls[time])
        assert expected == result["restored_to"] == result["target"]
        assert times.index(expected) + 1 == logged(client)
    date = walls[times[0]] - timedelta(milliseconds=1)
    result = restored(desk, 9, to=date, overwrite=True)
    assert 0 == logged(client)


def test_walls_that_go_back_are_looked_through(desk: Desk) -> None:
    """After a change of primary: an entry written later may have an earlier wall time."""
    desk.client.shop.log.insert_one({"_id": 0})
    manifest = desk.backup()
    base = manifest.consistent_at
    offsets_s = [10, 20, 35, 28, 31, 50, 100, 200]
    entries = []
    stamps_s = [10, 20, 35, 36, 37, 50, 100, 200]
    for stamp_s, offset_s in zip(stamps_s, offsets_s, strict=True):
        time = bson.Timestamp(base.seconds + stamp_s, 1)
        wall_at = base.wall + timedelta(seconds=offset_s)
        entries.append({"op": "n", "ns": "", "o": {}, "ts": time, "t": 1, "v": 2, "wall": wall_at})
    put_segment(desk, manifest.identity, base, entries)
    for offset_s, expected in ((29, 3), (30, 3), (34, 4), (10, 0), (150, 6)):
        goal = dry_run(desk, to=base.wall + timedelta(seconds=offset_s))
        assert ClusterTime(base.seconds + stamps_s[expected], 1) == goal["target"]
    assert "not_recoverable" == refused(desk, to=base.wall + timedelta(seconds=200)).code


def put_segment(
    desk: Desk, identity: Identity, begin: ClusterTime, entries: list[dict[str, Any]]
) -> str:
    """Store entries that no server wrote, as one segment."""
    stamp = entries[-1]["ts"]
    last = ClusterTime(stamp.time, stamp.inc)
    key = keys.segment(identity.replset, identity.replset_id, begin, last)
    compressor = ChunkCompressor(1)
    compressor.add(b"".join(map(bson.encode, entries)), len(entries))
    desk.store.put(key, compressor.finish().body)
    return key


def dry_run(desk: Desk, **options: Any) -> dict[str, Any]:
    """Return the plan of a restore."""
    plan = restored(desk, dry_run=True, overwrite=True, **options)["plan"]
    assert isinstance(plan, dict)
    return plan


def test_the_plan_names_target_backup_and_oplog(desk: Desk) -> None:
    """What will be fetched, before anything is."""
    desk.client.shop.log.insert_one({"_id": 0})
    desk.backup()
    for number in range(1, 4):
        insert_until(desk.client, number)
        desk.archive()
    plan = dry_run(desk, to="latest")
    assert (BACKUP, desk.archived_to, 3) == (plan["backup"], plan["target"], plan["segments"])
    assert sum(each.stored_bytes for each in desk.segments) == plan["oplog_stored_bytes"]
    plan = dry_run(desk)
    assert (0, 0) == (plan["segments"], plan["oplog_stored_bytes"])


def test_the_newest_backup_before_the_time_is_taken(desk: Desk) -> None:
    """And an older one where the archive does not reach further."""
    client = desk.client
    insert_until(client, 0)
    first = desk.backup()
    early = insert_until(client, 1)
    desk.archive()
    second = desk.backup(backup_id=LATER_BACKUP)
    late = insert_until(client, 2)
    desk.archive(begin=desk.segments[-1].last)
    assert BACKUP == dry_run(desk, to=early)["backup"]
    assert LATER_BACKUP == dry_run(desk, to=late)["backup"]
    assert LATER_BACKUP == dry_run(desk, to=second.consistent_at)["backup"]
    assert first.consistent_at == dry_run(desk, backup=BACKUP)["target"]
    result = restored(desk, to=early, overwrite=True)
    assert (1, early) == (logged(client), result["restored_to"])


def test_a_backup_of_a_part_serves_its_own_patterns_only(desk: Desk) -> None:
    """What it was limited to, literally; everything else needs a full one."""
    insert_until(desk.client, 0)
    desk.backup(namespaces=("shop.*",))
    time = insert_until(desk.client, 1)
    desk.archive()
    assert "no_backup" == refused(desk, to=time, overwrite=True).code
    assert "no_backup" == refused(desk, to=time, namespaces=("shop.log",), overwrite=True).code
    restored(desk, to=time, namespaces=("shop.*",), overwrite=True)
    assert 1 == logged(desk.client)


def test_a_lost_cluster_is_restored_by_its_own_archive(desk: Desk) -> None:
    """A new replica set of the same name: the old id's backups and segments are one history."""
    insert_until(desk.client, 0)
    manifest = desk.backup()
    time = insert_until(desk.client, 1)
    desk.archive()
    old = replace(manifest.identity, replset_id="0123456789abcdef01234567")
    desk.put(replace(manifest, identity=old))
    for each in desk.segments:
        key = keys.segment(old.replset, old.replset_id, each.begin, each.last)
        desk.store.put(key, desk.store.objects.pop(each.key))
    insert_until(desk.client, 2)
    desk.archive()
    drop_all(desk.client)
    assert time < dry_run(desk, to="latest")["target"]
    restored(desk, to=time)
    assert 1 == logged(desk.client)


def archived_with_hole(desk: Desk) -> tuple[ClusterTime, ClusterTime, ClusterTime, ClusterTime]:
    """Leave a gap in the archive; return a time before, two in it, and one after it."""
    insert_until(desk.client, 0)
    desk.backup()
    before = insert_until(desk.client, 1)
    desk.archive(before)
    inside = insert_until(desk.client, 2)
    after_gap = insert_until(desk.client, 3)
    after = insert_until(desk.client, 4)
    desk.archive(begin=after_gap)
    return before, inside, after_gap, after


def test_a_time_in_a_gap_is_refused_with_the_gap(desk: Desk) -> None:
    """A restore never crosses it, and says from when to when it is."""
    before, inside, after_gap, after = archived_with_hole(desk)
    for time in (inside, after_gap, after):
        error = refused(desk, to=time)
        assert "not_recoverable" == error.code
        assert f"Timestamp({before.seconds}, {before.increment})" in error.message
    assert "has a gap" in refused(desk, to=inside).message
    assert before == dry_run(desk, to="latest")["target"]


def test_times_outside_are_refused_with_reasons(desk: Desk) -> None:
    """Too early, not archived yet, in the future."""
    insert_until(desk.client, 0)
    manifest = desk.backup()
    desk.archive(insert_until(desk.client, 1))
    late = insert_until(desk.client, 2)
    assert "not archived yet" in refused(desk, to=late).message
    early = manifest.consistent_at.wall - timedelta(days=1)
    assert "not_recoverable" == refused(desk, to=early).code
    future = SystemClock().now() + timedelta(days=1)
    assert "in the future" in refused(desk, to=future).message


def test_a_date_in_a_backups_second_means_it_without_an_archive(desk: Desk) -> None:
    """People paste the time of a backup to the second."""
    insert_until(desk.client, 0)
    manifest = desk.backup()
    assert manifest.consistent_at == dry_run(desk, to=manifest.consistent_at.wall)["target"]
    insert_until(desk.client, 1)
    desk.archive()
    assert manifest.consistent_at == dry_run(desk, to=manifest.consistent_at.wall)["target"]


def work(desk: Desk, segments: int) -> list[ClusterTime]:
    """Back up, then write and archive; return the time of each segment's end."""
    insert_until(desk.client, 0)
    desk.backup()
    ends = []
    for number in range(1, segments + 1):
        ends.append(insert_until(desk.client, number))
        desk.archive(ends[-1])
    return ends


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda store, key: store.objects.pop(key), "object_missing"),
        (lambda store, key: store.damage(key), "damaged_object"),
        (
            lambda store, key: store.objects.__setitem__(key, store.objects[key][:-9]),
            "damaged_object",
        ),
    ],
)
def test_a_harmed_segment_fails_before_the_switch_and_offers_a_time(
    desk: Desk, harm: Callable[..., None], code: str
) -> None:
    """Whatever happens to it after the plan; and what it offers works."""
    ends = work(desk, 5)
    before = contents(desk.client)
    key = desk.segments[3].key
    job = desk.job(to=ends[4], overwrite=True)
    job.plan()
    harm(desk.store, key)
    with pytest.raises(PermanentError) as caught:
        job.run()
    error = caught.value
    assert (code, key) == (error.code, error.facts["key"])
    assert key in error.message
    assert str(ends[2]) == error.facts["reached"]
    assert f"Timestamp({ends[2].seconds}, {ends[2].increment})" in error.hint
    no_difference(desk, before)
    restored(desk, 2, to=ends[2], overwrite=True)
    assert 3 == logged(desk.client)


def join(desk: Desk, count: int) -> None:
    """Do what a compaction does: one segment in the place of the first ones."""
    small = desk.segments[:count]
    identity = desk.source.identity()
    whole = ChunkCompressor(1)
    for segment in small:
        from_parts(desk, segment, whole)
    key = keys.segment(identity.replset, identity.replset_id, small[0].begin, small[-1].last)
    desk.store.put(key, whole.finish().body)
    for segment in small:
        del desk.store.objects[segment.key]


def from_parts(desk: Desk, segment: Segment, whole: ChunkCompressor) -> None:
    """Add a segment's entries to a larger one."""
    import zstandard  # noqa: PLC0415 - the one test that reads a frame by itself

    data = zstandard.ZstdDecompressor().decompress(desk.store.objects[segment.key])
    whole.add(data, segment.entries)


@pytest.mark.parametrize("moment", [0, 2, 4])
def test_segments_joined_meanwhile_are_found_again(desk: Desk, moment: int) -> None:
    """Compaction may come between the plan and the replay, or in the middle of it."""
    ends = work(desk, 6)
    job = desk.job(to=ends[5], overwrite=True)
    job.plan()
    fetched: list[str] = []

    def compact(_call: int, method: str, key: str) -> None:
        if method != "get" or "/oplog/" not in key:
            return
        fetched.append(key)
        if len(fetched) == moment:
            join(desk, 5)

    desk.store.fault = compact
    if moment == 0:
        join(desk, 5)
    job.run()
    assert 6 == logged(desk.client)
    assert any(key not in {each.key for each in desk.segments} for key in fetched)


def test_a_window_whose_segments_were_joined_is_replayed(desk: Desk) -> None:
    """A backup's own piece of oplog is found by what it covers, not by its keys."""
    ends = work(desk, 4)
    window = Window(begin=desk.segments[0].begin, last=ends[3], segments=tuple(desk.segments))
    manifest = desk.backup(backup_id=LATER_BACKUP)
    desk.put(
        replace(
            manifest,
            consistent_at=ends[3],
            window=window,
            oplog_from=window.begin,
            copies=tuple(
                replace(each, read_at=(window.begin,) if each.read_at else ())
                for each in manifest.copies
            ),
        )
    )
    join(desk, 4)
    result = restored(desk, backup=LATER_BACKUP, overwrite=True)
    assert (4, ends[3]) == (logged(desk.client), result["restored_to"])


def test_a_gap_in_a_window_is_told_by_the_plan(desk: Desk) -> None:
    """Without its oplog the backup is not one time; nothing is loaded."""
    ends = work(desk, 3)
    manifest = desk.backup(backup_id=LATER_BACKUP)
    window = Window(begin=desk.segments[0].begin, last=ends[2], segments=tuple(desk.segments))
    desk.put(replace(manifest, consistent_at=ends[2], window=window, oplog_from=window.begin))
    del desk.store.objects[desk.segments[1].key]
    error = refused(desk, backup=LATER_BACKUP, overwrite=True)
    assert "oplog_gap" == error.code
    assert desk.segments[1].key in error.message


def test_collections_created_later_can_be_chosen(desk: Desk) -> None:
    """By name, although the backup does not know them; one that never was is refused."""
    client = desk.client
    client.shop.orders.insert_one({"_id": 1})
    desk.backup()
    client.shop.invoices.insert_one({"_id": 1})
    client.shop.invoices.create_index("x", name="by_x")
    client.shop.command({"create": "view", "viewOn": "invoices", "pipeline": []})
    time = note(desk)
    client.shop.invoices.drop()
    desk.archive()
    rename = ({"from": "shop.*", "to": "rescue.*"},)
    restored(desk, to=time, namespaces=("shop.invoices", "shop.view"), rename=rename)
    assert {"invoices", "view", "system.views"} == set(client.rescue.list_collection_names())
    assert "by_x" in client.rescue.invoices.index_information()
    assert 1 == client.rescue.view.count_documents({})
    with pytest.raises(PermanentError) as caught:
        restored(desk, 2, to=time, namespaces=("shop.invoices", "shop.never"), overwrite=True)
    assert "nothing_matches" == caught.value.code
    assert ("shop.never",) == caught.value.facts["patterns"]
    assert () == temporaries(client)


def test_a_collection_that_is_gone_at_the_time_matches_nothing(desk: Desk) -> None:
    """The backup has it; at the target time it was dropped."""
    client = desk.client
    client.shop.orders.insert_one({"_id": 1})
    client.shop.items.insert_one({"_id": 1})
    desk.backup()
    client.shop.orders.drop()
    time = note(desk)
    desk.archive()
    with pytest.raises(PermanentError) as caught:
        restored(desk, to=time, namespaces=("shop.orders",), overwrite=True)
    assert "nothing_matches" == caught.value.code


def swap(client: Client) -> None:
    """Replace a collection by one that was filled under other names."""
    client.shop.orders_new.rename("orders_ready")
    client.shop.orders.rename("orders_old")
    client.shop.orders_ready.rename("orders")
    client.shop.orders.insert_one({"_id": "after the swap"})


@pytest.mark.parametrize("is_in_backup", [True, False])
def test_a_collection_renamed_into_the_choice_is_followed(
    desk: Desk, *, is_in_backup: bool
) -> None:
    """By its UUID, through names that nobody asked for; in the backup, or made after it."""
    client = desk.client
    client.shop.orders.insert_one({"_id": "old"})
    client.shop.other.insert_one({"_id": "other"})
    if is_in_backup:
        client.shop.orders_new.insert_one({"_id": "new"})
    desk.backup()
    if not is_in_backup:
        client.shop.orders_new.insert_one({"_id": "new"})
    client.shop.orders_new.create_index("x", name="by_x")
    swap(client)
    time = note(desk)
    client.shop.orders.delete_many({})
    desk.archive()
    rename = ({"from": "shop.orders", "to": "rescue.mine"},)
    restored(desk, to=time, namespaces=("shop.orders",), rename=rename)
    assert ["mine"] == client.rescue.list_collection_names()
    found = {each["_id"] for each in client.rescue.mine.find()}
    assert {"new", "after the swap"} == found
    assert "by_x" in client.rescue.mine.index_information()
    assert () == temporaries(client)


def test_out_into_another_database_of_the_target_is_moved_there(desk: Desk) -> None:
    """$out and convertToCapped fill collections whose names tell nothing of where they go."""
    client = desk.client
    client.shop.source.insert_many([{"_id": n} for n in range(50)])
    client.shop.orders.insert_one({"_id": "old"})
    client.shop.ring.insert_many([{"_id": n} for n in range(5, 0, -1)])
    desk.backup()
    client.shop.source.aggregate([{"$out": "orders"}])
    client.shop.command("convertToCapped", "ring", size=100_000)
    client.shop.ring.insert_one({"_id": 9})
    client.shop.orders.create_index("x", name="by_x")
    time = note(desk)
    desk.archive()
    rename = (
        {"from": "shop.orders", "to": "rescue.orders"},
        {"from": "shop.ring", "to": "rescue.ring"},
    )
    restored(desk, to=time, namespaces=("shop.orders", "shop.ring"), rename=rename)
    assert 50 == client.rescue.orders.count_documents({})
    assert "by_x" in client.rescue.orders.index_information()
    assert [5, 4, 3, 2, 1, 9] == [each["_id"] for each in client.rescue.ring.find()]
    assert () == temporaries(client)


def test_a_temporary_collection_older_than_the_backup_is_followed_from_an_older_one(
    desk: Desk,
) -> None:
    """$out ran while the backup was made: it holds nothing of what was being filled."""
    client = desk.client
    client.shop.orders.insert_one({"_id": 1})
    desk.backup()
    client.shop["tmp.agg_out.x"].insert_one({"_id": "filled before the backup"})
    begin = desk.archived_to
    second = desk.backup(backup_id=LATER_BACKUP)
    kept = (each for each in second.copies if each.collection.namespace.collection == "orders")
    desk.put(replace(second, copies=tuple(kept)))
    client.shop["tmp.agg_out.x"].insert_one({"_id": "filled after it"})
    client.shop["tmp.agg_out.x"].rename("orders", dropTarget=True)
    time = note(desk)
    desk.archive(begin=begin)
    result = restored(desk, to=time, overwrite=True)
    assert BACKUP == result["plan"]["backup"]
    assert 2 == client.shop.orders.count_documents({})


def test_an_earlier_restore_in_the_range_is_replayed_like_anything_else(desk: Desk) -> None:
    """Its temporary collections by UUID, its applyOps, its renames over what was there."""
    client = desk.client
    activities.seed(client)
    activities.time_series(client)
    first = desk.backup()
    activities.crud(client)
    middle = note(desk)
    desk.archive()
    client.shop.orders.delete_many({})
    restored(desk, 1, to=middle, overwrite=True)
    client.shop.orders.insert_one({"_id": "after the first restore"})
    time, expected = note(desk), contents(client)
    client.shop.orders.drop()
    client.shop.weather.drop()
    desk.archive()
    result = restored(desk, 2, to=time, overwrite=True)
    no_difference(desk, expected)
    assert first.backup_id == result["plan"]["backup"]


def test_a_time_within_an_earlier_restore_has_no_temporary_collections(desk: Desk) -> None:
    """Half-loaded collections of a restore that ran then are not brought back."""
    client = desk.client
    activities.seed(client)
    desk.backup()
    expected = contents(client)
    begin = note(desk)
    restored(desk, 1, overwrite=True)
    desk.archive()
    stamp = bson.Timestamp(begin.seconds, begin.increment)
    renames = {"ts": {"$gt": stamp}, "o.renameCollection": {"$exists": True}}
    first = client.local["oplog.rs"].find_one(renames, sort=[("$natural", 1)])
    assert first is not None
    time = ClusterTime(first["ts"].time, first["ts"].inc - 1)
    restored(desk, 2, to=time, overwrite=True)
    no_difference(desk, expected)


def test_held_ttl_rules_come_with_the_lines_that_enable_them(
    single: ReplicaSet, desk: Desk
) -> None:
    """Those of the target time, not of the backup; mongosh takes the lines as they are."""
    client = desk.client
    shop = client.shop
    shop.sessions.insert_one({"_id": 1, "at": NOW})
    shop.sessions.create_index("at", name='the "at" index', expireAfterSeconds=10**8)
    desk.backup()
    shop.command(
        "collMod", "sessions", index={"name": 'the "at" index', "expireAfterSeconds": 10**7}
    )
    clustered = {"key": {"_id": 1}, "unique": True}
    shop.create_collection("events", clusteredIndex=clustered, expireAfterSeconds=10**8)
    shop.create_collection("m", timeseries={"timeField": "t"}, expireAfterSeconds=10**8)
    time, expected = note(desk), contents(client)
    desk.archive()
    result = restored(desk, to=time, overwrite=True, hold_ttl=True)
    rows = {(each["namespace"], each["index"]): each for each in result["held_ttl"]}
    assert {
        ("shop.events", ""): 10**8,
        ("shop.m", ""): 10**8,
        ("shop.sessions", 'the "at" index'): 10**7,
    } == {key: each["expire_after_s"] for key, each in rows.items()}
    assert [] != differences(expected, contents(client))
    for each in rows.values():
        assert 0 == run_mongosh(single.uri, str(each["enable"])).exit_status
    no_difference(desk, expected)


def test_held_ttl_of_5_0_is_enabled_by_building_again(old_single: ReplicaSet) -> None:
    """Its collMod cannot make a plain index expire."""
    desk = Desk(client=old_single.client())
    drop_all(desk.client)
    desk.client.shop.sessions.insert_one({"_id": 1, "at": NOW})
    desk.client.shop.sessions.create_index("at", name='"at"', expireAfterSeconds=10**8)
    desk.backup()
    expected = contents(desk.client)
    result = restored(desk, overwrite=True, hold_ttl=True)
    (row,) = result["held_ttl"]
    assert [] != differences(expected, contents(desk.client))
    assert 0 == run_mongosh(old_single.uri, str(row["enable"])).exit_status
    assert [] == differences(expected, contents(desk.client))


def test_without_hold_the_plan_says_what_expires(desk: Desk) -> None:
    """An operator learns it before the documents are gone."""
    desk.client.shop.sessions.insert_one({"_id": 1, "at": NOW})
    desk.client.shop.sessions.create_index("at", expireAfterSeconds=10**8)
    desk.backup()
    assert any("shop.sessions" in each for each in dry_run(desk)["notes"])
    assert [] == dry_run(desk, hold_ttl=True)["notes"]


def test_an_entry_that_cannot_be_replayed_offers_the_time_before(desk: Desk) -> None:
    """And what it offers works."""
    ends = work(desk, 2)
    identity = desk.source.identity()
    strange = bson.Timestamp(ends[1].seconds, ends[1].increment + 5)
    entry = {"op": "c", "ns": "shop.$cmd", "o": {"somethingNew": 1}, "ts": strange, "t": 1, "v": 2}
    put_segment(desk, identity, ends[1], [{**entry, "wall": NOW}])
    before = contents(desk.client)
    with pytest.raises(PermanentError) as caught:
        restored(desk, to="latest", overwrite=True)
    assert "replay_unknown_entry" == caught.value.code
    offered = f"Timestamp({strange.time}, {strange.inc - 1})"
    assert offered in caught.value.hint
    no_difference(desk, before)
    restored(desk, 2, to=ClusterTime(strange.time, strange.inc - 1), overwrite=True)
    assert 2 == logged(desk.client)
