"""Verifying a backup: what is wrong is named, what others stand in for is not, a verdict stays."""

from dataclasses import replace

import pytest

from agent.codec import manifest_json
from agent.core.errors import LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.core.log import get
from agent.jobs.resync import ResyncJob, ResyncPorts
from agent.model import keys
from agent.model.backups import entry_of
from agent.model.commands import LATEST, Verify, parse
from agent.model.verdict import DEPTHS, Depth, Verdict
from agent.ports import CANCELED, JobContext, JobError
from tests.fakes import archive
from tests.fakes.archive import time
from tests.fakes.cluster import MemoryCluster
from tests.fakes.store import MemoryStore, denied, unreachable
from tests.fakes.stored_backup import BACKUP, BEGIN, END, FURTHER, MIDDLE, OTHER, StoredBackup
from tests.fakes.verifying import DAMAGES, LABEL, Damage, Verifying


@pytest.fixture
def site() -> Verifying:
    """A sound backup in memory."""
    return Verifying(MemoryStore())


def memory_of(site: Verifying) -> MemoryStore:
    """Return the store, to set faults in."""
    assert isinstance(site.store, MemoryStore)
    return site.store


def verdict_keys(site: Verifying) -> list[str]:
    """Return the keys of the verdicts in the storage."""
    return [each.key for each in site.store.list("") if "/verified/" in each.key]


def test_a_listing_tells_that_all_is_there(site: Verifying) -> None:
    """Objects and their bytes are counted; nothing but the manifest is read."""
    memory_of(site).calls.clear()
    result = site.run("objects")
    expected: tuple[object, ...] = (BACKUP, "objects", 6, 2, 0, [])
    names = ("backup", "depth", "objects", "segments", "bad_objects", "bad")
    assert expected == tuple(result[name] for name in names)
    assert site.stored.manifest.stored_bytes == result["stored_bytes"]
    assert (None, None) == (result["docs"], result["bytes"])
    fetched = {key for method, key in memory_of(site).calls if method == "get"}
    assert {site.stored.manifest_key} == fetched


def test_latest_is_the_newest_backup(site: Verifying) -> None:
    """What was found stands with the backup, by its id."""
    older = replace(entry_of(site.stored.manifest, LABEL), backup_id=OTHER)
    site.catalogue.put(older)
    job = site.job("objects", LATEST)
    job.plan()
    assert job.run()["backup"] == BACKUP
    judged = {each.backup_id: each.verdict is not None for each in site.catalogue.entries()}
    assert judged == {BACKUP: True, OTHER: False}


def test_the_latest_backup_is_named_when_its_manifest_is_gone(site: Verifying) -> None:
    """The catalogue knows of it: that is a loss, and no reason to look at an older one."""
    site.store.delete([site.stored.manifest_key])
    job = site.job("objects", LATEST)
    job.plan()
    with pytest.raises(JobError) as raised:
        job.run()
    assert (raised.value.code, raised.value.result["backup"]) == ("verify_failed", BACKUP)


def test_without_any_backup_there_is_no_latest(site: Verifying) -> None:
    """It is refused as an unknown one is."""
    site.store.delete([site.stored.manifest_key])
    site.catalogue.remove(BACKUP, LABEL)
    with pytest.raises(PermanentError) as raised:
        site.job("objects", LATEST).plan()
    assert raised.value.code == "unknown_backup"


def test_reading_everything_counts_it(site: Verifying) -> None:
    """Documents are those of the chunks; bytes are those of the oplog too."""
    job = site.job("content")
    result = job.run()
    manifest = site.stored.manifest
    oplog_bytes = sum(each.bytes for each in site.stored.segments)
    assert (300, manifest.bytes + oplog_bytes) == (result["docs"], result["bytes"])
    assert 100.0 == job.progress().percent
    assert 300 == job.progress().total_docs


@pytest.mark.parametrize("depth", DEPTHS)
def test_how_far_the_archive_leads_on_is_told(site: Verifying, depth: Depth) -> None:
    """By its listing, beyond the backup's own time."""
    assert time(FURTHER) == site.run(depth)["restorable_to"]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.name)
def test_each_damage_is_named_once(site: Verifying, damage: Damage) -> None:
    """The object, and what is wrong with it; a listing alone sees what it can."""
    damage.do(site.stored)
    key = damage.key(site.stored)
    shallow = {each["key"]: each["what"] for each in site.run("objects")["bad"]}
    assert damage.by_listing == (key in shallow)
    deep = site.run("content")
    found = {each["key"]: each["what"] for each in deep["bad"]}
    assert damage.what in found[key]
    assert len(found) == deep["bad_objects"] == len(deep["bad"])
    assert deep["restorable_to"] is None


def test_everything_that_is_wrong_is_named(site: Verifying) -> None:
    """One cause often harms more than one object."""
    first, second, third = (each.key for each in site.stored.chunks)
    site.store.delete([first])
    site.stored.damage(second)
    site.stored.replace(third, b"something")
    with pytest.raises(PermanentError) as caught:
        site.job("content").run()
    assert f"3 of 6 objects of the backup {BACKUP}" in caught.value.message
    assert {first, second, third} == {each["key"] for each in site.run("content")["bad"]}


def test_a_chunk_that_fits_its_digest_and_not_its_counts_is_named(site: Verifying) -> None:
    """As of an agent that counted wrongly."""
    manifest = site.stored.manifest
    copy, *others = manifest.copies
    wrong = replace(copy.chunks[0], docs=copy.chunks[0].docs + 1)
    copies = (replace(copy, chunks=(wrong, *copy.chunks[1:])), *others)
    body = manifest_json.encode(replace(manifest, copies=copies))
    site.stored.replace(site.stored.manifest_key, body)
    (bad,) = site.run("content")["bad"]
    assert (wrong.key, "it holds 100 documents, not 101") == (bad["key"], bad["what"])


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_segment_that_others_stand_in_for_is_no_fault(site: Verifying, depth: Depth) -> None:
    """The archive joins segments, and removes those that it joined."""
    archive.archive(site.store, BEGIN, END)
    site.store.delete([each.key for each in site.stored.segments])
    result = site.run(depth)
    assert (0, 2) == (result["bad_objects"], result["replaced_segments"])


def test_segments_that_are_joined_meanwhile_are_no_fault(site: Verifying) -> None:
    """A long verify is overtaken by compaction, which writes before it removes."""
    first, second = (each.key for each in site.stored.segments)

    def fault(_number: int, method: str, key: str) -> None:
        if (method, key) == ("get", first):
            memory_of(site).fault = None
            archive.archive(site.store, BEGIN, END)
            site.store.delete([first, second])

    memory_of(site).fault = fault
    assert 0 == site.run("content")["bad_objects"]


def test_what_stands_in_is_read_too(site: Verifying) -> None:
    """A damaged segment in the place of a lost one saves nothing."""
    joined = archive.archive(site.store, BEGIN, MIDDLE + 1)
    own = site.stored.segments[0].key
    site.store.delete([own])
    assert 0 == site.run("objects")["bad_objects"]
    site.stored.damage(joined)
    assert {own, joined} == {each["key"] for each in site.run("content")["bad"]}


def test_a_backup_that_nobody_knows_is_rejected(site: Verifying) -> None:
    """Neither the storage nor the catalogue."""
    for backup in ("20200101T000000Z", "no id"):
        with pytest.raises(PermanentError) as caught:
            site.job(backup=backup).plan()
        assert caught.value.code == "unknown_backup"


def test_a_backup_that_is_deleted_meanwhile_is_not_called_damaged(site: Verifying) -> None:
    """What is missing then is not lost."""

    def fault(_number: int, method: str, key: str) -> None:
        if (method, key) == ("get", site.stored.chunks[1].key):
            memory_of(site).objects.clear()

    memory_of(site).fault = fault
    with pytest.raises(PermanentError) as caught:
        site.job("content").run()
    assert caught.value.code == "unknown_backup"
    assert not memory_of(site).objects
    assert [None] == [each.verdict for each in site.catalogue.entries()]


def test_what_cannot_be_the_object_is_not_read(site: Verifying) -> None:
    """It may be larger than memory; what has the size of another object of the backup may be it."""
    alien, swapped, _ = (each.key for each in site.stored.chunks)
    site.stored.replace(alien, bytes(1_000_000))
    site.stored.replace(swapped, site.store.get(site.stored.chunks[2].key))
    memory_of(site).calls.clear()
    found = {each["key"]: each["what"] for each in site.run("content")["bad"]}
    assert "it has bytes too many" in found[alien]
    assert "it holds what belongs into" in found[swapped]
    assert ("get", alien) not in memory_of(site).calls


def test_a_cancel_ends_it_without_a_verdict(site: Verifying) -> None:
    """Half a look is none."""

    def fault(_number: int, method: str, _key: str) -> None:
        if method == "get":
            site.stop.set(CANCELED)

    memory_of(site).fault = fault
    job = site.job("content")
    assert job.may_cancel()
    with pytest.raises(Stopped):
        job.run()
    assert [] == verdict_keys(site)


def test_a_lost_lease_ends_it_without_a_verdict(site: Verifying) -> None:
    """The next coordinator begins anew."""
    site.may_act = False
    with pytest.raises(LeaseLost):
        site.job("content").run()
    assert [] == verdict_keys(site)
    assert [None] == [each.verdict for each in site.catalogue.entries()]


@pytest.mark.parametrize("error", [unreachable(), denied()])
def test_a_storage_that_fails_is_no_damage(
    site: Verifying, error: TransientError | PermanentError
) -> None:
    """What could not be looked at is not known to be bad."""

    def fault(_number: int, method: str, key: str) -> None:
        if method == "get" and key != site.stored.manifest_key:
            raise error

    memory_of(site).fault = fault
    with pytest.raises(type(error)) as caught:
        site.job("content").run()
    assert error.code == caught.value.code
    assert [None] == [each.verdict for each in site.catalogue.entries()]


def test_keys_that_may_only_read_are_enough(site: Verifying) -> None:
    """The verdict is then in the catalogue alone."""

    def fault(_number: int, method: str, _key: str) -> None:
        if method in {"put", "delete"}:
            raise denied()

    memory_of(site).fault = fault
    assert 0 == site.run("objects")["bad_objects"]
    (entry,) = site.catalogue.entries()
    assert entry.verdict is not None
    assert entry.verdict.is_sound


def test_the_verdict_lies_beside_the_manifest_and_a_resync_finds_it(site: Verifying) -> None:
    """A lost cluster knows what was found, the newest of each depth, and no more is kept."""
    site.run("content")
    site.clock.move(60)
    site.run("objects")
    site.clock.move(60)
    site.stored.damage(site.stored.chunks[0].key)
    site.run("content")
    expected = (
        Verdict(depth="objects", checked_at=site.clock.now().replace(minute=16), is_sound=True),
        Verdict(depth="content", checked_at=site.clock.now(), is_sound=False),
    )
    (entry,) = site.catalogue.entries()
    assert expected == entry.verdicts
    assert sorted(keys.verdict("rs", BACKUP, each) for each in expected) == verdict_keys(site)
    site.catalogue.replace(LABEL, [])
    context = JobContext(command_id="c", agent="a:1", token=1, stop=Stop(), held=lambda: None)
    ports = ResyncPorts(
        source=MemoryCluster(), stores={LABEL: site.store}, catalogue=site.catalogue, log=get()
    )
    assert {"backups": {LABEL: 1}, "damaged": []} == ResyncJob(context, ports).run()
    (entry,) = site.catalogue.entries()
    assert (expected, True) == (entry.verdicts, entry.is_damaged)


def test_other_damage_than_that_of_the_backup_does_not_matter(site: Verifying) -> None:
    """Surplus objects, and a neighbour that is broken."""
    other = StoredBackup(site.store, "20261120T201512Z")
    other.damage(other.chunks[0].key)
    site.store.put(f"{keys.backup_root('rs', BACKUP)}data/shop/orders/surplus", b"x")
    assert 0 == site.run("content")["bad_objects"]


def test_the_depth_is_objects_unless_it_is_said() -> None:
    """And nothing else than the two."""
    assert Verify(backup="x") == parse({"command": "verify", "backup": "x"})
    with pytest.raises(PermanentError, match="depth must be 'objects' or 'content'"):
        parse({"command": "verify", "backup": "x", "depth": "all"})
