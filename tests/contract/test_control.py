"""What the control database keeps to: leases, notes, status, catalogue and events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.core.errors import LeaseLost
from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Span
from agent.model.status import (
    AgentStatus,
    ArchiveReport,
    ClusterStatus,
    Problem,
    StorageStatus,
)
from agent.model.verdict import Depth, Verdict
from tests.contract.conftest import Control
from tests.testbed.waiting import eventually

NOW = datetime(2026, 11, 21, 20, 15, 12, 345000, tzinfo=UTC)


class TestLeases:
    """Tokens decide; times only say when one may ask for a new one."""

    def test_a_lease_has_one_holder(self, control: Control) -> None:
        """A second agent gets nothing while the first holds the lease."""
        grant = control.leases.acquire("coordinator", "a:1", 15)
        assert grant is not None
        assert (grant.name, grant.holder) == ("coordinator", "a:1")
        assert control.leases.acquire("coordinator", "b:1", 15) is None
        assert control.leases.holder("coordinator") == "a:1"

    def test_leases_of_other_names_do_not_matter(self, control: Control) -> None:
        """Each name is a lease of its own."""
        assert control.leases.acquire("coordinator", "a:1", 15)
        assert control.leases.acquire("archiver", "b:1", 15)

    def test_a_lease_that_nobody_ever_held_has_no_holder(self, control: Control) -> None:
        """Asking for the holder makes nothing."""
        assert control.leases.holder("coordinator") is None

    def test_a_lease_whose_time_is_over_goes_to_another_with_a_larger_token(
        self, control: Control
    ) -> None:
        """The earlier grant can then neither be renewed nor given back."""
        first = control.leases.acquire("coordinator", "a:1", 0.3)
        assert first is not None
        second = eventually(lambda: control.leases.acquire("coordinator", "b:1", 15))
        assert second.token > first.token
        with pytest.raises(LeaseLost):
            control.leases.renew(first, 15)
        control.leases.release(first)
        assert control.leases.holder("coordinator") == "b:1"

    def test_a_lease_is_not_given_away_before_its_time(self, control: Control) -> None:
        """The store's clock counts, not the number of tries."""
        control.leases.acquire("coordinator", "a:1", 15)
        assert [control.leases.acquire("coordinator", "b:1", 15) for _ in range(5)] == [None] * 5

    def test_renewal_keeps_the_lease_and_its_token(self, control: Control) -> None:
        """A lease that would have ended goes on."""
        grant = control.leases.acquire("coordinator", "a:1", 0.3)
        assert grant is not None
        control.leases.renew(grant, 15)
        control.leases.renew(grant, 15)
        assert control.leases.acquire("coordinator", "b:1", 15) is None

    def test_the_same_holder_gets_a_new_token_that_fences_its_earlier_life(
        self, control: Control
    ) -> None:
        """An agent that was started again does not wait for its own lease to end."""
        first = control.leases.acquire("coordinator", "a:1", 15)
        second = control.leases.acquire("coordinator", "a:1", 15)
        assert first is not None
        assert second is not None
        assert second.token > first.token
        with pytest.raises(LeaseLost):
            control.leases.renew(first, 15)

    def test_a_lease_given_back_is_free_at_once(self, control: Control) -> None:
        """Nobody waits for its end; a repeated release does no harm."""
        first = control.leases.acquire("coordinator", "a:1", 15)
        assert first is not None
        control.leases.release(first)
        control.leases.release(first)
        assert control.leases.holder("coordinator") is None
        second = control.leases.acquire("coordinator", "b:1", 15)
        assert second is not None
        assert second.token > first.token
        with pytest.raises(LeaseLost):
            control.leases.renew(first, 15)

    def test_tokens_grow_across_a_dropped_control_database(self, control: Control) -> None:
        """What was fenced stays fenced; the grant from before the drop is lost."""
        tokens = []
        for _ in range(5):
            grant = control.leases.acquire("coordinator", "a:1", 15)
            assert grant is not None
            tokens.append(grant.token)
            control.drop()
            with pytest.raises(LeaseLost):
                control.leases.renew(grant, 15)
        assert tokens == sorted(set(tokens))


class TestNotes:
    """Notes of a job, for the next coordinator."""

    def test_notes_come_back_as_they_were(self, control: Control) -> None:
        """Bytes, cluster times, large numbers and nested values survive."""
        notes = {
            "at": ClusterTime(1795302427, 3),
            "body": b"\x05\x00\x00\x00\x00",
            "count": 2**40,
            "names": ("a", "b"),
            "nested": {"a.b": {"$c": [ClusterTime(1, 2)]}, "": None},
            "when": NOW,
        }
        control.notes.save("job", 1, notes)
        assert control.notes.load("job") == {**notes, "names": ["a", "b"]}

    def test_notes_may_be_larger_than_a_document(self, control: Control) -> None:
        """A catalogue of very many collections has to fit; a smaller one replaces it whole."""
        large = {"bodies": [bytes([number]) * 1_000_000 for number in range(18)]}
        control.notes.save("job", 1, large)
        assert control.notes.load("job") == large
        control.notes.save("job", 1, {"small": True})
        assert control.notes.load("job") == {"small": True}

    def test_notes_of_a_larger_token_stay(self, control: Control) -> None:
        """A coordinator that lost its lease cannot write; its successor can."""
        control.notes.save("job", 5, {"by": 5})
        control.notes.save("job", 7, {"by": 7})
        with pytest.raises(LeaseLost):
            control.notes.save("job", 5, {"by": 5})
        control.notes.save("job", 7, {"by": "7 again"})
        assert control.notes.load("job") == {"by": "7 again"}

    def test_jobs_are_told_apart(self, control: Control) -> None:
        """Ids of any type name a job."""
        control.notes.save("job", 1, {"n": 1})
        control.notes.save({"a": 1}, 1, {"n": 2})
        assert control.notes.load("job") == {"n": 1}
        assert control.notes.load({"a": 1}) == {"n": 2}
        assert list(control.notes.jobs()) == ["job", {"a": 1}]

    def test_forgotten_notes_are_gone(self, control: Control) -> None:
        """Forgetting twice is no error."""
        control.notes.save("job", 1, {"n": 1})
        control.notes.forget("job")
        control.notes.forget("job")
        assert control.notes.load("job") is None
        assert list(control.notes.jobs()) == []


def agent_status(name: str) -> AgentStatus:
    """Return a healthy agent's status."""
    return AgentStatus(
        name=name,
        node_state="SECONDARY",
        node_lag_s=0.5,
        priority=1,
        server_version="6.0.5",
        agent_version="0.1.0",
        pid=4711,
        started_at=NOW,
        updated_at=NOW,
        storage=StorageStatus(
            label="main",
            ok=False,
            bucket="b",
            credential_source="environment",
            identity="arn",
            expires_at=NOW,
            renewal_error="r",
            error="e",
            error_code="c",
        ),
    )


ARCHIVE = ArchiveReport(
    replset_id="65f0000000000000000000aa",
    archived_to=ClusterTime(1795302427, 3),
    archived_at=NOW,
    lag_s=1.5,
    window_s=None,
    spans=(
        Span(begin=ClusterTime(1795302400, 1), last=ClusterTime(1795302410, 2**31)),
        Span(begin=ClusterTime(1795302420, 1), last=ClusterTime(1795302427, 3)),
    ),
    others={
        "65f0000000000000000000bb": (
            Span(begin=ClusterTime(1795200000, 1), last=ClusterTime(1795200900, 7)),
        )
    },
    error="no answer",
)

CLUSTER = ClusterStatus(
    replset="rs0",
    problems=(Problem(code="p", level="warning", message="m", hint="h", since=NOW),),
    coordinator="a:1",
    last_backup=None,
    recoverable=(),
    running=None,
)


class TestStatus:
    """What agents know of each other."""

    def test_agents_see_each_other_with_the_stores_time(self, control: Control) -> None:
        """A status written twice is one document; the time is not the agent's own."""
        control.status.write_agent(agent_status("b:1"))
        control.status.write_agent(agent_status("a:1"))
        control.status.write_agent(replace(agent_status("b:1"), node_state="PRIMARY", pid=4712))
        found = list(control.status.agents())
        now = control.status.server_now()
        assert [each.name for each in found] == ["a:1", "b:1"]
        assert all(abs(now - each.updated_at) < timedelta(seconds=5) for each in found)
        expected = replace(agent_status("b:1"), node_state="PRIMARY", pid=4712)
        assert expected == replace(found[1], updated_at=NOW)

    @pytest.mark.parametrize(
        "archive", [None, ARCHIVE, replace(ARCHIVE, window_s=86400.0, spans=(), error=None)]
    )
    def test_what_an_agent_tells_of_the_archive_comes_back(
        self, control: Control, archive: ArchiveReport | None
    ) -> None:
        """Whole, also where there is nothing to tell yet."""
        control.status.write_agent(replace(agent_status("a:1"), archive=archive))
        (found,) = control.status.agents()
        assert archive == found.archive

    def test_what_an_agent_tells_of_its_host_comes_back(self, control: Control) -> None:
        """Its clock, and since when its node is what it is."""
        told = replace(agent_status("a:1"), clock_skew_s=-7.5, node_state_since=NOW)
        control.status.write_agent(told)
        (found,) = control.status.agents()
        assert (-7.5, NOW) == (found.clock_skew_s, found.node_state_since)

    def test_the_next_coordinator_reads_the_problems(self, control: Control) -> None:
        """Since when each stands is known to whoever takes over; at first there are none."""
        assert [] == list(control.status.problems())
        control.status.write_cluster(CLUSTER, 5)
        assert list(CLUSTER.problems) == list(control.status.problems())

    def test_the_next_coordinator_reads_what_was_told(self, control: Control) -> None:
        """It need not be what stands."""
        assert [] == list(control.status.told())
        told = (replace(CLUSTER.problems[0], code="q"),)
        control.status.write_cluster(replace(CLUSTER, told=told), 5)
        assert list(told) == list(control.status.told())
        assert list(CLUSTER.problems) == list(control.status.problems())

    def test_the_servers_clock_is_utc_and_goes_on(self, control: Control) -> None:
        """Times without a zone would compare with nothing."""
        first = control.status.server_now()
        assert first.utcoffset() == timedelta(0)
        eventually(lambda: control.status.server_now() > first)

    def test_the_cluster_status_of_a_larger_token_stays(self, control: Control) -> None:
        """A coordinator that lost its lease does not tell monitoring anything any more."""
        control.status.write_cluster(CLUSTER, 5)
        control.status.write_cluster(CLUSTER, 5)
        control.status.write_cluster(CLUSTER, 6)
        with pytest.raises(LeaseLost):
            control.status.write_cluster(CLUSTER, 5)

    def test_the_cluster_is_no_agent(self, control: Control) -> None:
        """The two kinds of documents are told apart."""
        control.status.write_cluster(CLUSTER, 5)
        assert list(control.status.agents()) == []


def entry(number: int, storage: str = "main", note: str = "") -> BackupEntry:
    """Return the entry of the n-th backup."""
    return BackupEntry(
        backup_id=f"20261121T20151{number}Z",
        storage=storage,
        replset_id="65f0000000000000000000aa",
        consistent_at=ClusterTime(1795302427 + number, 3),
        oplog_from=ClusterTime(1795302427 + number, 1),
        started_at=NOW,
        finished_at=NOW,
        docs=2**33,
        bytes=2**40,
        stored_bytes=2**39,
        chunks=7,
        collections=3,
        nodes=("a:1", "b:1"),
        server_version="6.0.5",
        namespaces=("shop.*",),
        tags={"why": "before the release", "a.b": "$c"},
        note=note,
        keep=True,
    )


class TestBackups:
    """The catalogue that people read."""

    def test_entries_come_back_oldest_first(self, control: Control) -> None:
        """Whatever the order of writing; writing again replaces."""
        for each in (entry(3), entry(1), entry(2), entry(2, note="later")):
            control.backups.put(each)
        expected = [entry(1), entry(2, note="later"), entry(3)]
        assert expected == list(control.backups.entries())

    def test_storages_do_not_mix(self, control: Control) -> None:
        """The same backup may lie in two storages; removing one copy leaves the other."""
        control.backups.put(entry(1))
        control.backups.put(entry(1, "other"))
        control.backups.remove(entry(1).backup_id, "main")
        control.backups.remove(entry(1).backup_id, "main")
        assert [entry(1, "other")] == list(control.backups.entries())

    def test_replacing_makes_one_storage_exactly_so(self, control: Control) -> None:
        """Entries of other storages stay."""
        for each in (entry(1), entry(2), entry(3, "other")):
            control.backups.put(each)
        control.backups.replace("main", [entry(2, note="new"), entry(4)])
        expected = [entry(2, note="new"), entry(3, "other"), entry(4)]
        assert expected == list(control.backups.entries())
        control.backups.replace("main", [])
        assert [entry(3, "other")] == list(control.backups.entries())

    def test_a_verdict_stays_with_its_entry(self, control: Control) -> None:
        """The newest of each depth; a late one of an earlier look changes nothing."""
        control.backups.put(entry(1))
        control.backups.put(entry(1, "other"))
        older, newer = verdict(1, "content"), verdict(3, "content", is_sound=False)
        shallow = verdict(2, "objects")
        for each in (older, newer, shallow, older):
            control.backups.judge(entry(1).backup_id, "main", each)
        found, other = control.backups.entries()
        assert (shallow, newer) == found.verdicts
        assert () == other.verdicts
        assert (newer, True) == (found.verdict, found.is_damaged)
        control.backups.replace("main", [found])
        assert [found, other] == list(control.backups.entries())

    def test_a_verdict_brings_no_backup_back(self, control: Control) -> None:
        """It may have been deleted while it was verified."""
        control.backups.judge(entry(1).backup_id, "main", verdict(1, "objects"))
        assert not control.backups.entries()


def verdict(minute: int, depth: Depth, *, is_sound: bool = True) -> Verdict:
    """Return what was found in a minute."""
    return Verdict(depth=depth, checked_at=NOW.replace(minute=minute), is_sound=is_sound)


class TestEvents:
    """Events never stop the work."""

    def test_facts_of_any_kind_are_taken(self, control: Control) -> None:
        """What BSON has no type for is told as text."""
        control.events.write(
            "info", "x", "m", size=3, at=ClusterTime(1, 2), odd=object(), big=2**70
        )
        assert 1 == control.event_count()
