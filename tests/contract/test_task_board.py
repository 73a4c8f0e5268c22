"""What the tasks collection keeps to: claims, fencing, and records that count once."""

import concurrent.futures
from dataclasses import replace

import pytest

from agent.core.errors import LeaseLost
from agent.model.catalogue import Size
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk
from agent.model.tasks import Claim, Ended, Member, Range, Stored, Task, TaskFailure
from tests.contract.conftest import Control
from tests.fakes.catalogue import collection
from tests.testbed.waiting import eventually

AT = ClusterTime(1795302427, 3)


def task(number: int, size_bytes: int = 1000, job: object = "job", members: int = 1) -> Task:
    """Return a task of members of equal size."""
    return Task(
        job=job,
        backup_id="20261121T201512Z",
        storage="main",
        number=number,
        read_at=AT,
        members=tuple(
            Member(
                collection=collection(f"shop.c{number}.{member}"),
                range=Range(lower=b"\x05\x00\x00\x00\x00", upper=None) if member else None,
                size=Size(docs=10, bytes=size_bytes // members),
            )
            for member in range(members)
        ),
    )


def stored(sequence: int, member: int = 0) -> Stored:
    """Return the n-th chunk of a member."""
    chunk = Chunk(
        key=f"data/{member}-{sequence}", docs=2, bytes=100, stored_bytes=50, sha256="0" * 64
    )
    return Stored(member=member, read_at=AT, chunk=chunk, last_id=b"\x05\x00\x00\x00\x00")


ENDED = Ended(member=0, since=AT, read_at=AT, gone_at=ClusterTime(1795302428, 1))


def claimed(control: Control, holder: str = "a:1") -> Claim:
    """Claim a task that is there."""
    claim = control.tasks.claim(holder)
    assert claim is not None
    return claim


def reclaimed(control: Control, holder: str) -> Claim:
    """Claim a task as soon as its holder's time is over."""
    return eventually(lambda: control.tasks.claim(holder))


def assert_lost(control: Control, claim: Claim, record: Stored) -> None:
    """Check that a claim can do nothing any more."""
    with pytest.raises(LeaseLost):
        control.tasks.renew(claim)
    with pytest.raises(LeaseLost):
        control.tasks.record(claim, [record])
    with pytest.raises(LeaseLost):
        control.tasks.finish(claim)


class TestClaiming:
    """One holder at a time, the largest first."""

    def test_tasks_come_back_as_they_were_the_largest_first(self, control: Control) -> None:
        """Every member with its collection and range."""
        tasks = [task(0, 10), task(1, 3000, members=3), task(2, 200)]
        control.tasks.publish(tasks)
        found = [claimed(control).task for _ in tasks]
        assert [tasks[1], tasks[2], tasks[0]] == found
        assert control.tasks.claim("b:1") is None

    def test_a_task_that_is_there_already_stays(self, control: Control) -> None:
        """A coordinator that goes on with a job may publish again what it planned anew."""
        control.tasks.publish([task(0, 10)])
        first = claimed(control)
        control.tasks.publish([task(0, 9999), task(1, 20)])
        control.tasks.renew(first)
        assert [task(0, 10), task(1, 20)] == [each.task for each in control.tasks.reports("job")]

    def test_nothing_is_published_by_publishing_nothing(self, control: Control) -> None:
        """A backup of an empty replica set has no tasks."""
        control.tasks.publish([])
        assert control.tasks.claim("a:1") is None
        assert control.tasks.glance("job").total_count == 0

    def test_agents_that_claim_at_once_get_different_tasks(self, control: Control) -> None:
        """Compare-and-set on the state, and tokens that no two claims share."""
        control.tasks.publish([task(number) for number in range(12)])
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda n: claimed(control, f"agent{n}"), range(12)))
        assert set(range(12)) == {claim.task.number for claim in found}
        assert len({claim.token for claim in found}) == 12

    def test_a_claim_whose_time_is_over_goes_to_another(self, control: Control) -> None:
        """With a larger token and what was recorded; the earlier holder can do nothing more."""
        control.tasks.publish([task(0)])
        first = claimed(control, "a:1")
        control.tasks.record(first, [stored(0), stored(1)])
        assert control.tasks.claim("b:1") is None
        second = reclaimed(control, "b:1")
        assert second.token > first.token
        assert (first.attempt, second.attempt) == (1, 2)
        assert second.records == (stored(0), stored(1))
        assert_lost(control, first, stored(2))
        control.tasks.give_back(first, None, not_before_s=0)
        control.tasks.record(second, [stored(3)])
        control.tasks.finish(second)
        (report,) = control.tasks.reports("job")
        assert report.records == (stored(0), stored(1), stored(3))
        assert (report.state, report.holders) == ("done", ("a:1", "b:1"))

    def test_a_renewed_claim_is_kept(self, control: Control) -> None:
        """Until the holder stops renewing it."""
        control.tasks.publish([task(0)])
        claim = claimed(control)
        token = claim.token
        for _ in range(8):
            control.tasks.renew(claim)
            assert control.tasks.claim("b:1") is None
        assert reclaimed(control, "b:1").token > token

    def test_a_task_given_back_waits_for_its_time(self, control: Control) -> None:
        """Then anyone may claim it; the claim that gave it back is over."""
        control.tasks.publish([task(0)])
        first = claimed(control)
        control.tasks.give_back(first, None, not_before_s=0.4)
        control.tasks.give_back(first, None, not_before_s=0.4)
        assert control.tasks.claim("b:1") is None
        with pytest.raises(LeaseLost):
            control.tasks.renew(first)
        assert reclaimed(control, "b:1").attempt == 2

    def test_a_done_task_is_never_claimed_again(self, control: Control) -> None:
        """Nor does anything that its holder does later undo it; finishing may be repeated."""
        control.tasks.publish([task(0)])
        claim = claimed(control)
        control.tasks.finish(claim)
        control.tasks.finish(claim)
        control.tasks.give_back(claim, None, not_before_s=0)
        assert control.tasks.claim("b:1") is None
        assert control.tasks.glance("job").done_count == 1

    def test_a_failed_task_stays_failed_and_says_why(self, control: Control) -> None:
        """The job reads it at a glance."""
        control.tasks.publish([task(0), task(1)])
        claim = claimed(control)
        failure = TaskFailure(number=claim.task.number, code="x", message="$m", hint="h")
        control.tasks.give_back(claim, failure, not_before_s=0)
        claimed(control)
        assert control.tasks.claim("b:1") is None
        assert control.tasks.glance("job").failures == (failure,)


class TestRecording:
    """What was done counts once."""

    def test_recording_again_changes_nothing(self, control: Control) -> None:
        """As when the answer was lost, alone or among new records."""
        control.tasks.publish([task(0)])
        claim = claimed(control)
        control.tasks.record(claim, [stored(0)])
        control.tasks.record(claim, [stored(0)])
        control.tasks.record(claim, [stored(0), stored(1), ENDED])
        control.tasks.record(claim, [ENDED, stored(1)])
        control.tasks.record(claim, [])
        (report,) = control.tasks.reports("job")
        assert (stored(0), stored(1), ENDED) == report.records
        seen = control.tasks.glance("job")
        assert (seen.done_docs, seen.done_bytes) == (4, 200)

    def test_records_from_several_threads_are_all_kept(self, control: Control) -> None:
        """Each thread reads another member of the same task."""
        control.tasks.publish([task(0, members=4)])
        claim = claimed(control)

        def work(member: int) -> None:
            for sequence in range(15):
                control.tasks.record(claim, [stored(sequence, member)])

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        (report,) = control.tasks.reports("job")
        expected = {(member, sequence) for member in range(4) for sequence in range(15)}
        assert len(report.records) == len(expected)
        found = {record.chunk.key for record in report.records if isinstance(record, Stored)}
        assert {stored(sequence, member).chunk.key for member, sequence in expected} == found

    def test_a_holder_that_only_looked_did_not_work_on_a_task(self, control: Control) -> None:
        """The nodes of a backup are those that read data."""
        control.tasks.publish([task(0)])
        control.tasks.give_back(claimed(control, "a:1"), None, not_before_s=0)
        control.tasks.record(claimed(control, "b:1"), [stored(0)])
        (report,) = control.tasks.reports("job")
        assert report.holders == ("b:1",)

    def test_a_glance_tells_counts_and_sums(self, control: Control) -> None:
        """Of one job alone."""
        control.tasks.publish([task(0, 100), task(1, 200, members=2), task(2, 300)])
        control.tasks.publish([task(0, 7777, job={"other": 1})])
        other = claimed(control)
        assert other.task.job == {"other": 1}
        done = claimed(control)
        control.tasks.record(done, [stored(0)])
        control.tasks.finish(done)
        control.tasks.record(claimed(control), [stored(0), stored(1)])
        seen = control.tasks.glance("job")
        assert (seen.total_count, seen.done_count, seen.running_count) == (3, 1, 1)
        assert (seen.total_bytes, seen.total_docs) == (600, 40)
        assert (seen.done_bytes, seen.done_docs) == (300, 6)
        assert seen.failures == ()
        assert seen.latest_read_at == stored(0).read_at
        assert control.tasks.glance({"other": 1}).total_bytes == 7777
        assert control.tasks.glance({"other": 1}).latest_read_at is None


class TestRemoving:
    """When a job ends, nothing of it stays."""

    def test_claims_on_removed_tasks_are_lost(self, control: Control) -> None:
        """Other jobs' tasks stay, and so do the notes."""
        control.tasks.publish([task(0), task(1, 1, job="other")])
        control.notes.save("job", 1, {"n": 1})
        claim = claimed(control)
        control.tasks.record(claim, [stored(0)])
        control.tasks.remove("job")
        control.tasks.remove("job")
        assert_lost(control, claim, stored(1))
        assert list(control.tasks.reports("job")) == []
        assert control.notes.load("job") == {"n": 1}
        assert claimed(control).task.job == "other"

    def test_a_task_larger_than_a_document_is_taken(self, control: Control) -> None:
        """Options and indexes of very many collections belong to one task."""
        index = b"\x2f\x00\x00\x00" + b"x" * 15_000
        small = task(0, members=1200)
        members = tuple(
            replace(each, collection=replace(each.collection, indexes=(index,)))
            for each in small.members
        )
        large = replace(small, members=members)
        control.tasks.publish([large])
        assert claimed(control).task == large
