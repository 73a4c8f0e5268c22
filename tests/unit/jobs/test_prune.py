"""Pruning a storage: what the plan says and nothing else, whatever interrupts or refuses."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from agent.core.errors import LeaseLost, PermanentError, Stopped, TransientError
from agent.jobs.prune.remover import Remover
from agent.model import keys
from agent.model.verdict import Verdict
from agent.ports import JobError
from agent.ports.work import CANCELED
from tests.fakes.pruning import BEGIN, DAY, IDENTITY, KEEP_TWO, REPLSET, Cellar, at, id_of
from tests.fakes.store import MemoryStore, denied, fail_from

HOURS = timedelta(hours=1)


def names(result: Mapping[str, Any], kind: str) -> list[str]:
    """Return the backups that a result names."""
    return [each["backup"] for each in result[kind]]


def test_a_prune_removes_what_no_rule_keeps_and_tells_why() -> None:
    """Two backups stay, and the archive from the older one on; each with its reason."""
    cellar = Cellar()
    result = cellar.run()
    assert [id_of(3), id_of(4)] == cellar.backups()
    assert [id_of(0), id_of(1), id_of(2)] == names(result, "going")
    assert [id_of(4), id_of(3)] == names(result, "kept")
    assert "no rule keeps it (nightly: keep_last 2)" == result["going"][0]["why"]
    assert "it is the newest good backup; nightly: keep_last 2" == result["kept"][0]["why"]
    assert [id_of(3), id_of(4)] == [each.backup_id for each in cellar.catalogue.entries()]
    assert (3, 12, 0, 2) == tuple(
        result[name] for name in ("backups", "segments", "orphans", "staying")
    )
    (cut,) = result["archive"]
    assert (at(3), 12, 36) == (cut["up_to"], cut["segments"], cut["bytes"])
    assert min(cellar.oplog()) == keys.segment(REPLSET, IDENTITY.replset_id, at(3), at(3.25))


def test_a_dry_run_tells_the_same_and_touches_nothing() -> None:
    """The numbers and the rows are those of the prune that follows; nothing is noted either."""
    cellar = Cellar()
    cellar.backup(1, window=(0.9, 1))
    cellar.leftover(2, age=25 * HOURS)
    before = dict(cellar.store.objects)
    told = cellar.run(dry_run=True)
    assert before == cellar.store.objects
    assert 5 == len(cellar.catalogue.entries())
    assert cellar.notes.jobs() == []
    assert {"get", "list", "probe"} >= {method for method, _ in cellar.store.calls}
    really = cellar.run()
    assert {**told, "dry_run": False} == really
    assert sum(map(len, before.values())) - told["bytes"] == sum(
        map(len, cellar.store.objects.values())
    )


def test_without_any_rule_nothing_goes() -> None:
    """No collection, no documents, a rule of another storage, one that is switched off."""
    off = {**KEEP_TWO, "enabled": False}
    elsewhere = {**KEEP_TWO, "storage": "old"}
    for found in ([], [off], [elsewhere]):
        cellar = Cellar()
        cellar.rules.found = list(found)
        before = dict(cellar.store.objects)
        result = cellar.run()
        assert before == cellar.store.objects
        assert (0, 5) == (result["backups"], result["staying"])


@pytest.mark.parametrize("is_begun", [False, True])
def test_while_a_schedule_cannot_be_read_nothing_goes(*, is_begun: bool) -> None:
    """It is named; also when the document came after the plan."""
    cellar = Cellar()
    broken = {"_id": "weekly", "retention": {"keep_lots": 3}}
    before = dict(cellar.store.objects)
    job = cellar.job()
    if is_begun:
        job.plan()
    cellar.rules.found.append(broken)
    with pytest.raises(PermanentError, match="weekly") as caught:
        job.run() if is_begun else job.plan()
    assert "retention_unclear" == caught.value.code
    assert before == cellar.store.objects


def test_a_backup_that_is_kept_and_the_only_good_one_stay() -> None:
    """``keep`` is a promise; what was found damaged takes no place."""
    cellar = Cellar()
    cellar.rules.found = [{"_id": "last", "retention": {"keep_last": 1}}]
    cellar.backup(0, keep=True)
    bad = Verdict(depth="objects", checked_at=BEGIN, is_sound=False)
    for day in (3, 4):
        cellar.catalogue.judge(id_of(day), "main", bad)
    result = cellar.run()
    assert [id_of(0), id_of(2), id_of(4)] == cellar.backups()
    reasons = {each["backup"]: each["why"] for each in result["kept"]}
    assert "it is to be kept" in reasons[id_of(0)]
    assert "it is the newest good backup" in reasons[id_of(2)]


def test_a_verdict_beside_the_manifest_counts_though_the_list_does_not_have_it() -> None:
    """The list was made anew by an agent that did not see it."""
    cellar = Cellar()
    bad = Verdict(depth="content", checked_at=BEGIN, is_sound=False)
    cellar.put(keys.verdict(REPLSET, id_of(4), bad), b"{}")
    cellar.run()
    assert [id_of(2), id_of(3), id_of(4)] == cellar.backups()


def test_a_backup_found_damaged_meanwhile_saves_the_one_before_it() -> None:
    """Verify runs beside this: rules and verdicts are looked at again before each backup."""
    cellar = Cellar()
    cellar.rules.found = [{"_id": "last", "retention": {"keep_last": 1}}]
    bad = Verdict(depth="objects", checked_at=BEGIN, is_sound=False)

    def verify_meanwhile(_call: int, method: str, key: str) -> None:
        if method == "delete" and key == keys.manifest(REPLSET, id_of(1)):
            cellar.catalogue.judge(id_of(4), "main", bad)

    cellar.store.fault = verify_meanwhile
    cellar.run()
    assert [id_of(3), id_of(4)] == cellar.backups()


def test_a_rule_that_is_changed_meanwhile_holds_for_what_is_left() -> None:
    """Whoever sees that too much goes corrects the document."""
    cellar = Cellar()

    def correct(_call: int, method: str, key: str) -> None:
        if method == "delete" and key == keys.manifest(REPLSET, id_of(0)):
            cellar.rules.found = [{"_id": "nightly", "retention": {"keep_last": 4}}]

    cellar.store.fault = correct
    cellar.run()
    assert [id_of(day) for day in (1, 2, 3, 4)] == cellar.backups()


def test_a_manifest_that_cannot_be_read_keeps_all_oplog() -> None:
    """Nobody knows what it needs; it is named, and stays."""
    cellar = Cellar()
    cellar.backup(0, window=(-0.1, 0))
    key = keys.manifest(REPLSET, id_of(1))
    cellar.put(key, b"{")
    before = cellar.oplog()
    result = cellar.run()
    assert before == cellar.oplog()
    assert [id_of(1), id_of(3), id_of(4)] == cellar.backups()
    ((bad, what),) = [each.values() for each in result["unreadable"]]
    assert (id_of(1), True) == (bad, key in what)
    assert 3 == result["staying"]


def test_a_manifest_in_the_wrong_place_removes_nothing() -> None:
    """One that was copied names another backup, which must not go because of it."""
    cellar = Cellar()
    cellar.put(
        keys.manifest(REPLSET, id_of(0)), cellar.store.objects[keys.manifest(REPLSET, id_of(4))]
    )
    result = cellar.run()
    assert [id_of(0)] == names(result, "unreadable")
    assert [id_of(0), id_of(3), id_of(4)] == cellar.backups()


def test_segments_that_a_backup_names_stay_with_it() -> None:
    """Also where they end before the oplog that it needs to go on."""
    cellar = Cellar()
    cellar.backup(3, window=(2.9, 2.95))
    named = keys.segment(REPLSET, IDENTITY.replset_id, at(2.9), at(2.95))
    cellar.run()
    assert named in cellar.oplog()


# -- deaths


def ended(cellar: Cellar) -> tuple[dict[str, bytes], list[str]]:
    """Return what is left."""
    return dict(cellar.store.objects), [each.backup_id for each in cellar.catalogue.entries()]


def full() -> Cellar:
    """Return a storage that has something of every kind to remove."""
    cellar = Cellar()
    cellar.backup(1, window=(0.9, 1))
    cellar.leftover(2, age=25 * HOURS)
    return cellar


def test_killed_at_any_call_the_next_coordinator_ends_the_same() -> None:
    """With the same result, too; and no backup is ever half there under its manifest."""
    finished = full()
    expected = finished.run()
    for number in range(1, len(finished.store.calls) + 1):
        cellar = full()
        cellar.store.fault = fail_from(number)
        with pytest.raises(TransientError):
            cellar.run()
        cellar.store.fault = None
        for backup in cellar.backups():
            assert chunks_of(cellar, backup), f"after call {number}"
        result = cellar.job(token=2).run()
        assert ended(finished) == ended(cellar), f"after call {number}"
        assert expected["staying"] == result["staying"]
        assert names(expected, "going") == names(result, "going"), f"after call {number}"


def chunks_of(cellar: Cellar, backup: str) -> list[str]:
    """Return the chunks of a backup."""
    root = keys.backup_root(REPLSET, backup)
    return [key for key in cellar.store.objects if key.startswith(f"{root}data/")]


def test_a_backup_that_was_noted_and_not_begun_is_decided_anew() -> None:
    """The operator changed the rule after the coordinator's death."""
    cellar = Cellar()

    def die(_call: int, method: str, _key: str) -> None:
        if method == "delete":
            raise TransientError("storage_unreachable", "gone")

    cellar.store.fault = die
    with pytest.raises(TransientError):
        cellar.run()
    cellar.store.fault = None
    cellar.rules.found = []
    result = cellar.job(token=2).run()
    assert 5 == len(cellar.backups())
    assert 0 == result["backups"]


def test_a_coordinator_that_lost_its_lease_removes_nothing_more() -> None:
    """The one with the larger token has noted what it does."""
    cellar = Cellar()
    cellar.notes.save("c", 9, {"tally": {}})
    before = dict(cellar.store.objects)
    with pytest.raises(LeaseLost):
        cellar.run()
    assert before == cellar.store.objects


def test_a_cancel_ends_it_between_two_backups() -> None:
    """What was begun is brought to its end; nothing more goes."""
    cellar = Cellar()

    def cancel(_call: int, method: str, _key: str) -> None:
        if method == "delete":
            cellar.stop.set(CANCELED)

    cellar.store.fault = cancel
    with pytest.raises(Stopped):
        cellar.run()
    assert [id_of(day) for day in (1, 2, 3, 4)] == cellar.backups()
    assert not chunks_of(cellar, id_of(0))


def test_a_stop_of_the_agent_ends_it_at_once() -> None:
    """The next coordinator finds in the notes what it has begun."""
    cellar = Cellar()

    def stop(_call: int, method: str, _key: str) -> None:
        if method == "delete":
            cellar.stop.set("the agent stops")

    cellar.store.fault = stop
    with pytest.raises(Stopped):
        cellar.run()
    assert chunks_of(cellar, id_of(0))


# -- orphans


def test_what_a_dead_backup_left_goes_after_a_day() -> None:
    """And no earlier; nor while a job still makes it; nor what nobody here wrote."""
    cellar = Cellar()
    old = cellar.leftover(0, age=25 * HOURS)
    young = cellar.leftover(1, age=23 * HOURS)
    made = cellar.leftover(2, age=25 * HOURS)
    busy = keys.backup_of(made)
    cellar.notes.save("another", 1, {"outset": {"backup_id": busy}, "segments": []})
    foreign = f"{old.rpartition('/')[0]}/notes.txt"
    cellar.put(foreign, b"mine")
    cellar.put(f"{REPLSET}/oplog/readme", b"mine")
    cellar.put(f"{REPLSET}/check/a/x", b"a test's")
    result = cellar.run()
    assert old not in cellar.store.objects
    assert {young, made, foreign} <= set(cellar.store.objects)
    assert (1, 2) == (result["orphans"], result["foreign"])
    assert [keys.backup_of(old)] == names(result, "orphaned")


def test_one_young_object_keeps_the_others() -> None:
    """A backup that takes days is still being made, by a cluster that nobody here knows."""
    cellar = Cellar()
    old = cellar.leftover(0, age=99 * HOURS)
    young = old.replace("000000.bson", "000001.bson")
    cellar.put(young, b"new")
    cellar.store.modified[young] = cellar.now - HOURS
    cellar.run()
    assert {old, young} <= set(cellar.store.objects)


def test_objects_of_an_unknown_age_stay() -> None:
    """A storage that does not tell it says nothing of safety."""
    cellar = Cellar()
    old = cellar.leftover(0, age=99 * HOURS)
    del cellar.store.modified[old]
    assert 0 == cellar.run()["orphans"]


def test_a_verdict_without_a_manifest_is_an_orphan_too() -> None:
    """A verify wrote it while its backup was deleted."""
    cellar = Cellar()
    found = Verdict(depth="objects", checked_at=BEGIN, is_sound=True)
    key = keys.verdict(REPLSET, keys.backup_id(BEGIN - DAY), found)
    cellar.put(key, b"{}")
    assert 1 == cellar.run()["orphans"]
    assert key not in cellar.store.objects


def test_what_is_left_of_an_orphan_that_became_a_backup_stays() -> None:
    """Its manifest came between the look and the removing."""
    cellar = Cellar()
    key = cellar.leftover(0, age=25 * HOURS)
    backup = keys.backup_of(key)
    assert backup is not None

    def commit(_call: int, method: str, prefix: str) -> None:
        if method == "list" and prefix == keys.backup_root(REPLSET, backup):
            cellar.put(keys.manifest(REPLSET, backup), b"{}")

    cellar.store.fault = commit
    assert 0 == cellar.run()["orphans"]
    assert key in cellar.store.objects


# -- refusals


def refuse(cellar: Cellar, *parts: str) -> None:
    """Let the storage refuse to delete keys that contain any of these parts."""

    def fault(_call: int, method: str, key: str) -> None:
        if method == "delete" and any(part in key for part in parts):
            raise denied()

    cellar.store.fault = fault


def failed(cellar: Cellar) -> JobError:
    """Run a job that ends as incomplete."""
    with pytest.raises(JobError) as caught:
        cellar.run()
    assert "prune_incomplete" == caught.value.code
    assert caught.value.hint
    return caught.value


def test_a_backup_whose_manifest_is_refused_stays_whole() -> None:
    """It is named, stays in the list, and keeps nothing else from going."""
    cellar = Cellar()
    manifest = keys.manifest(REPLSET, id_of(1))
    refuse(cellar, manifest)
    error = failed(cellar)
    assert manifest in error.message
    assert [id_of(1), id_of(3), id_of(4)] == cellar.backups()
    assert chunks_of(cellar, id_of(1))
    assert id_of(1) in [each.backup_id for each in cellar.catalogue.entries()]
    assert (2, 1) == (error.result["backups"], error.result["left"])
    # Its oplog is needed as long as it is there.
    assert min(cellar.oplog()) == keys.segment(REPLSET, IDENTITY.replset_id, at(1), at(1.25))


def test_a_chunk_that_is_refused_is_named_and_goes_as_an_orphan_later() -> None:
    """The backup is gone, from the list too; a lock on one of its objects ends some day."""
    cellar = Cellar()
    (chunk,) = chunks_of(cellar, id_of(0))
    refuse(cellar, chunk)
    error = failed(cellar)
    result: dict[str, Any] = dict(error.result)
    assert [{"key": chunk, "what": "the storage refuses"}] == result["refused"]
    assert (1, 5) == (result["going"][0]["objects"], len(cellar.store.objects[chunk]))
    assert sum(each["bytes"] for each in (*result["going"], *result["archive"])) == result["bytes"]
    assert id_of(0) not in [each.backup_id for each in cellar.catalogue.entries()]
    assert [chunk] == chunks_of(cellar, id_of(0))
    cellar.store.fault = None
    assert 1 == cellar.run()["orphans"]
    assert [] == chunks_of(cellar, id_of(0))


def test_a_segment_that_is_refused_ends_the_cut() -> None:
    """It is tried once; what comes after it in other requests stays."""
    cellar = Cellar()
    refuse(cellar, min(cellar.oplog()))
    error = failed(cellar)
    assert (11, 1) == (error.result["segments"], error.result["left"])


def test_a_storage_that_refuses_everything_is_not_asked_for_ever() -> None:
    """After a hundred refusals it has been told often enough."""
    store = MemoryStore(lambda _call, _method, _key: (_ for _ in ()).throw(denied()))
    remover = Remover(store, lambda: None)
    assert [] == remover.remove([f"rs/{number}" for number in range(150)])
    assert (100, True) == (len(remover.refused), remover.is_hopeless)
    assert 101 == len(store.calls)


def test_a_result_is_bounded() -> None:
    """However much there is: the first of each kind are named, and all are counted."""
    cellar = Cellar(days=55)
    for day in range(55):
        cellar.leftover(day, age=25 * HOURS)
    result = cellar.run(dry_run=True)
    assert (53, 55) == (result["backups"], result["orphans"])
    assert {50} == {len(result[name]) for name in ("going", "orphaned")}


def test_it_says_what_becomes_of_deleted_objects() -> None:
    """In a versioned bucket they go on to cost."""
    cellar = Cellar()
    cellar.versions = "kept"
    assert "kept" == cellar.run()["old_versions"]


def test_the_list_of_backups_is_made_right_by_what_is_stored() -> None:
    """A delete that was reported as failed may have come through, or the other way round."""
    cellar = Cellar()
    cellar.rules.found = []
    everything = [id_of(day) for day in range(5)]
    manifest = keys.manifest(REPLSET, id_of(2))
    body = cellar.store.objects.pop(manifest)
    cellar.run(dry_run=True)
    assert everything == [each.backup_id for each in cellar.catalogue.entries()]
    cellar.run()
    assert id_of(2) not in [each.backup_id for each in cellar.catalogue.entries()]
    cellar.store.objects[manifest] = body
    cellar.run()
    assert everything == [each.backup_id for each in cellar.catalogue.entries()]
