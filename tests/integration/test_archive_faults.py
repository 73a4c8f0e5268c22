"""The archive while nodes fail, elect, roll back, and lose what was not archived in time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import WriteConcern
from pymongo.errors import PyMongoError
from pymongo.synchronous.collection import Collection

from agent.codec import documents
from agent.core.errors import TransientError
from agent.model.cluster_time import ClusterTime
from agent.mongo.connect import open_node
from agent.mongo.node_link import NodeLink
from agent.mongo.oplog import MongoOplogReader
from agent.storage.filesystem import FilesystemStore
from tests.integration.archiving import FaultyStore, Running, Stage, a_pace, staged
from tests.testbed.clients import Document
from tests.testbed.mongod import Node
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually


@pytest.fixture
def stage(replica_set: ReplicaSet, tmp_path: Path) -> Iterator[Stage]:
    """Three nodes, archived into a directory."""
    with staged(replica_set, FilesystemStore(tmp_path)) as stage:
        yield stage


def _mark(stage: Stage) -> None:
    """Write something; over an election it takes a while."""

    def is_written() -> bool:
        try:
            stage.mark()
        except PyMongoError:
            return False
        return True

    eventually(is_written, 30, message="there is a primary again")


def test_a_step_down_is_nothing_to_the_archive(stage: Stage) -> None:
    """The old primary goes on archiving as a secondary, in the terms of the new one."""
    old = stage.replica_set.primary()
    with stage.archiver(old) as running:
        running.reaches(stage.mark())
        stage.replica_set.step_down()
        _mark(stage)
        running.reaches(stage.mark(), 30)
        assert [] == running.event_codes
    stage.check(old)
    stage.check()


def test_a_killed_primary_is_left_and_followed(stage: Stage) -> None:
    """Whoever archives next, from another node and in another term, goes on without a gap."""
    victim = stage.replica_set.primary()
    with stage.archiver(victim) as running:
        running.reaches(stage.mark())
        victim.kill()
        _mark(stage)
        with stage.archiver() as next_one:
            next_one.reaches(stage.mark(), 30)
            assert [] == next_one.event_codes
        eventually(lambda: isinstance(running.error, TransientError), 40)
    victim.start()
    stage.replica_set.wait_until_healthy()
    eventually(lambda: stage.check(victim), 20)


def test_a_restart_of_everything_leaves_no_gap(stage: Stage) -> None:
    """All nodes are killed and started; the archive goes on where it was."""
    with stage.archiver() as running:
        running.reaches(stage.mark())
        stage.mark()
        for node in stage.replica_set.nodes:
            node.kill()
    for node in stage.replica_set.nodes:
        node.start(wait=False)
    stage.replica_set.wait_until_healthy()
    _mark(stage)
    with stage.archiver() as running:
        running.reaches(stage.mark(), 30)
        assert [] == running.event_codes
    stage.check()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_what_an_isolated_primary_takes_is_never_archived(tmp_path: Path) -> None:
    """Trap 9: what no majority has is rolled back; the archive is what survives."""
    with ReplicaSet.start() as replica_set, staged(replica_set, FilesystemStore(tmp_path)) as stage:
        _elect_slowly(replica_set)
        isolated = replica_set.primary()
        others = replica_set.secondaries()
        alone = isolated.client()["shop"].get_collection("lost", write_concern=WriteConcern(1))
        alone.insert_one({"_id": "kept"})
        with stage.archiver(isolated) as running:
            running.reaches(stage.mark())
            # Not frozen: what the primary had sent to them would arrive when they thaw.
            for other in others:
                other.kill()
            alone.insert_many([{"_id": number} for number in range(100)])
            running.polls_again(2)
            read_before = running.tail.read_bytes
            running.polls_again(10)
            assert read_before == running.tail.read_bytes, "it read what no majority has"
            isolated.pause()
            for other in others:
                other.start()
            _be_elected(others[0])
            with stage.archiver(others[0]) as next_one:
                next_one.reaches(stage.mark(), 30)
                isolated.resume()
                eventually(lambda: _count(alone) == 1, 60, message="it rolls back")
                replica_set.wait_until_healthy()
                _goes_on_or_ends(running, stage)
                next_one.reaches(stage.mark())
                assert [] == next_one.event_codes + running.event_codes
        with stage.archiver(isolated) as again:
            again.reaches(stage.mark())
            assert [] == again.event_codes
        stage.check(others[0])
        stage.check(isolated)
        inserted = [
            documents.subdocument(entry, "o")
            for segment in stage.segments()
            for entry in stage.entries_of(segment)
            if documents.field(entry, "ns") == "shop.lost" and documents.field(entry, "op") == "i"
        ]
        assert [] == inserted


def _goes_on_or_ends(running: Running, stage: Stage) -> None:
    """Wait until the archiver of the isolated node goes on, or has left it to others."""
    last = stage.mark()
    eventually(lambda: running.error or running.report.archived_to >= last, 40)
    if running.error is not None:
        assert isinstance(running.error, TransientError)


def _elect_slowly(replica_set: ReplicaSet) -> None:
    """Let a primary stay one for ten seconds after it has lost its majority."""
    admin = replica_set.primary().client().admin
    config = admin.command("replSetGetConfig")["config"]
    config["settings"]["electionTimeoutMillis"] = 10_000
    config["version"] += 1
    admin.command("replSetReconfig", config)


def _count(collection: Collection[Document]) -> int:
    try:
        return collection.count_documents({})
    except PyMongoError:
        return -1  # it rolls back, or is not back yet


def _be_elected(node: Node) -> None:
    admin = node.client().admin

    def is_elected() -> bool:
        try:
            admin.command("replSetStepUp")
        except PyMongoError:
            return False
        return bool(admin.command("hello")["isWritablePrimary"])

    eventually(is_elected, 40, 0.5, "it becomes primary")


# -- the oplog loses what was not archived in time


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Stage]:
    """One node with the smallest oplog."""
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1, oplog_size_mb=1)) as replica_set,
        staged(replica_set, FilesystemStore(tmp_path)) as stage,
    ):
        yield stage


def _roll(stage: Stage) -> ClusterTime:
    """Write until the oplog no longer has what is newest now; return what is oldest then."""
    now = stage.mark()
    seen: list[ClusterTime] = []
    with open_node(stage.replica_set.nodes[0].uri) as own:
        reader = MongoOplogReader(NodeLink.over(own))

        def has_rolled() -> bool:
            stage.user["shop"]["fill"].insert_many([{"p": "x" * 10_000} for _ in range(100)])
            return reader.oldest().time > now

        def is_still() -> bool:
            seen.append(reader.oldest().time)
            return len(seen) > 5 and 1 == len(set(seen[-5:]))

        # The oplog keeps what is in no checkpoint yet: one is made every minute.
        eventually(has_rolled, 100, 0.5, "the oplog rolls")
        eventually(is_still, 60, 0.5, "it rolls no more")
    return seen[-1]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_oplog_that_rolled_while_nobody_archived_is_a_gap(small: Stage) -> None:
    """Trap 10: the archive goes on at the oldest entry, and says what is lost."""
    with small.archiver() as running:
        last = small.mark()
        running.reaches(last)
    oldest = _roll(small)
    with small.archiver() as running:
        running.reaches(small.mark())
        assert ["oplog_gap"] == running.event_codes
    (gap,) = small.gaps()
    assert gap.begin >= last
    assert gap.last == oldest
    assert running.report.spans == small.spans()
    with small.archiver() as running:
        running.reaches(small.mark())
        assert [] == running.event_codes, "a gap is told once"
    assert (gap,) == small.gaps()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_oplog_that_rolls_during_an_outage_is_a_gap(small: Stage) -> None:
    """What was in hand when the storage failed is stored; what was lost behind it is told."""
    store = FaultyStore(small.store)
    with small.archiver(store=store, pace=a_pace(segment_bytes=200_000)) as running:
        running.reaches(small.mark())
        store.error = TransientError("storage_unreachable", "the storage does not answer")
        in_hand = small.mark()
        eventually(lambda: running.report.error)
        _roll(small)
        assert () == small.gaps()
        store.error = None
        running.reaches(small.mark())
        assert ["oplog_gap"] == running.event_codes
        (told,) = [event.facts for event in running.control.events.written]
        assert running.report.spans == small.spans()
    (gap,) = small.gaps()
    assert in_hand <= gap.begin
    assert (gap.begin, gap.last) == (told["after"], told["upto"])
