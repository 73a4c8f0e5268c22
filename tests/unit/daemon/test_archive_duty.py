"""Who archives: one agent at a time, on a secondary where there is one."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from agent.core import log
from agent.core.clock import Clock, SystemClock
from agent.core.errors import AgentError, LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Stop, WorkerGroup
from agent.core.keeper import Keeper
from agent.daemon.archive import (
    AFTER_FAILURE_S,
    HAND_OVER_S,
    STAND_BACK_S,
    YIELD_AFTER_S,
    ArchiveDuty,
    ArchiveDutyPorts,
    ArchivePreference,
    Elsewhere,
)
from agent.model.cluster_time import ClusterTime
from agent.model.leases import ARCHIVER, LEASE_S
from agent.model.status import ArchiveReport
from tests.fakes.control import MemoryControl
from tests.testbed.waiting import eventually

FACTOR = 8


class HurriedClock:
    """A clock by which 8 seconds pass in one, so that nobody waits long for leases."""

    def __init__(self) -> None:
        self._clock = SystemClock()

    def monotonic(self) -> float:
        """Seconds that pass too quickly."""
        return FACTOR * self._clock.monotonic()

    now = SystemClock.now


@dataclass
class Archive:
    """An archive that does nothing until its right ends, or fails with ``error``.

    What it would go on with may be elsewhere.
    """

    elsewhere: Elsewhere
    error: AgentError | None = None
    is_running: bool = False

    def run(self, stop: Stop, held: Callable[[], None]) -> None:
        """Wait, and look whether it may go on."""
        if self.error is not None:
            raise self.error
        other = self.elsewhere(ClusterTime(1, 1))
        if other is not None:
            raise PermanentError("oplog_elsewhere", f"{other} has it")
        self.is_running = True
        try:
            while not stop.wait(0.01):
                held()
            raise Stopped(stop.reason)
        finally:
            self.is_running = False

    def report(self) -> ArchiveReport | None:
        """Tell nothing."""
        return None


@dataclass
class Member:
    """An agent that may archive: its node keeps up as a secondary, or does not."""

    name: str
    control: MemoryControl
    clock: Clock
    keeps_up: bool = True
    another_keeps_up: bool = False
    reaching_back: str | None = None
    error: AgentError | None = None
    made: list[Archive] = field(default_factory=list)
    made_at: list[float] = field(default_factory=list)

    def make(self, elsewhere: Elsewhere) -> Archive:
        """Begin an archive."""
        self.made.append(Archive(elsewhere, error=self.error))
        self.made_at.append(self.clock.monotonic())
        return self.made[-1]

    @property
    def archives(self) -> bool:
        """Whether it archives now."""
        return any(each.is_running for each in self.made)

    def start(self, group: WorkerGroup) -> None:
        """Let it do its duty, and renew its leases."""
        keeper = Keeper(self.clock, every_s=0.05, lasts_s=LEASE_S)
        duty = ArchiveDuty(
            ArchiveDutyPorts(
                leases=self.control.leases,
                keeper=keeper,
                clock=self.clock,
                agent=self.name,
                make=self.make,
                log=log.get(),
                look_s=0.02,
            )
        )
        preference = ArchivePreference(
            own=lambda: self.keeps_up,
            another=lambda: self.another_keeps_up,
            elsewhere=lambda _time: self.reaching_back,
        )
        group.start(lambda: keeper.run(group.stop), f"{self.name}-keeper")
        group.start(lambda: duty.run(group.stop, preference), f"{self.name}-duty")


@dataclass
class Cluster:
    """Agents over one control database."""

    clock: Clock = field(default_factory=HurriedClock)
    groups: dict[str, WorkerGroup] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with an empty control database."""
        self.control = MemoryControl(self.clock)

    def member(self, name: str, **facts: object) -> Member:
        """Start an agent."""
        member = Member(name, self.control, self.clock, **facts)  # type: ignore[arg-type]
        self.groups[name] = WorkerGroup(name, Stop())
        member.start(self.groups[name])
        return member

    def holder(self) -> str | None:
        """Return who holds the lease."""
        return self.control.leases.holder(ARCHIVER)

    def stop(self, name: str) -> None:
        """Stop an agent in order."""
        group = self.groups[name]
        group.stop.set("the agent stops")
        with suppress(Stopped):
            assert group.join(10)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Agents that are stopped at the end."""
    cluster = Cluster()
    yield cluster
    for name in cluster.groups:
        cluster.stop(name)


def test_one_agent_archives(cluster: Cluster) -> None:
    """Of two that could, one does, and it is the one that holds the lease."""
    members = [cluster.member("a:1"), cluster.member("b:1")]
    eventually(lambda: any(each.archives for each in members))
    (archiving,) = [each for each in members if each.archives]
    assert archiving.name == cluster.holder()
    (other,) = [each for each in members if each is not archiving]
    assert [] == other.made


def test_a_secondary_archives_before_the_primary(cluster: Cluster) -> None:
    """A primary leaves a free lease to others for a while."""
    primary = cluster.member("a:1", keeps_up=False, another_keeps_up=True)
    secondary = cluster.member("b:1")
    eventually(lambda: secondary.archives)
    assert [] == primary.made


def test_a_primary_archives_when_nobody_else_does(cluster: Cluster) -> None:
    """A set of one node is archived too."""
    begun_at = cluster.clock.monotonic()
    primary = cluster.member("a:1", keeps_up=False)
    eventually(lambda: primary.archives)
    assert primary.made_at[0] - begun_at >= STAND_BACK_S


def test_a_primary_hands_over_to_a_secondary_that_keeps_up(cluster: Cluster) -> None:
    """After a while, since a set may flutter; the old one does not take it back."""
    primary = cluster.member("a:1", keeps_up=False)
    eventually(lambda: primary.archives)
    secondary = cluster.member("b:1")
    seen_at = cluster.clock.monotonic()
    primary.another_keeps_up = True
    eventually(lambda: secondary.archives)
    # The primary has last looked a moment before.
    assert secondary.made_at[0] - seen_at > YIELD_AFTER_S - 1
    assert not primary.archives
    assert 1 == len(primary.made)


def test_a_primary_that_is_alone_keeps_the_archive(cluster: Cluster) -> None:
    """Handing over to nobody would only be a pause."""
    primary = cluster.member("a:1", keeps_up=False)
    eventually(lambda: primary.archives)
    until = cluster.clock.monotonic() + 1.3 * YIELD_AFTER_S
    eventually(lambda: cluster.clock.monotonic() > until)
    assert 1 == len(primary.made)


def test_a_lost_lease_ends_the_archive(cluster: Cluster) -> None:
    """Who finds another holder stops at once, and stays a candidate."""
    member = cluster.member("a:1")
    eventually(lambda: member.archives)
    cluster.control.leases.leases[ARCHIVER].holder = "b:1"
    eventually(lambda: not member.archives)
    assert 1 == len(member.made)
    # The other one never renews: its lease ends, and this one is there.
    eventually(lambda: member.archives)


@pytest.mark.parametrize(
    "error",
    [
        TransientError("mongodb_unreachable", "the node is gone"),
        PermanentError("mongodb_privilege_missing", "it may not read the oplog"),
        LeaseLost(ARCHIVER),
    ],
    ids=lambda error: error.code,
)
def test_after_a_failure_others_try_first(cluster: Cluster, error: AgentError) -> None:
    """Another agent's node or storage may be better; with nobody else it tries again itself."""
    failing = cluster.member("a:1", error=error)
    eventually(lambda: failing.made)
    other = cluster.member("b:1")
    eventually(lambda: other.archives or len(failing.made) > 1)
    if not isinstance(error, LeaseLost):
        assert other.archives
        cluster.stop("b:1")
        eventually(lambda: len(failing.made) > 1)
        assert failing.made_at[1] - failing.made_at[0] >= AFTER_FAILURE_S


def test_whose_node_has_the_entries_takes_over(cluster: Cluster) -> None:
    """Also a primary, which leaves a free lease to others at first."""
    lacking = cluster.member("a:1", reaching_back="b:1")
    having = cluster.member("b:1", keeps_up=False)
    eventually(lambda: having.archives)
    assert lacking.made
    assert not lacking.archives


def test_entries_are_given_up_when_nobody_takes_over(cluster: Cluster) -> None:
    """The agent of the node that has them may be gone for good; what comes now counts more."""
    lacking = cluster.member("a:1", reaching_back="b:1")
    eventually(lambda: lacking.archives, 20)
    assert len(lacking.made) > 2
    assert lacking.made_at[-1] - lacking.made_at[0] > HAND_OVER_S


def test_the_end_of_an_agent_hands_the_lease_back(cluster: Cluster) -> None:
    """Within a second, so that another agent goes on at once."""
    member = cluster.member("a:1")
    eventually(lambda: member.archives)
    clock = SystemClock()
    begun_at = clock.monotonic()
    cluster.stop("a:1")
    assert clock.monotonic() - begun_at < 1
    assert cluster.holder() is None
    other = cluster.member("b:1")
    eventually(lambda: other.archives)


def test_an_agent_that_was_killed_is_followed_when_its_lease_ends(cluster: Cluster) -> None:
    """Nobody needs to tell that it is gone; started again it goes on under its own name."""
    assert cluster.control.leases.acquire(ARCHIVER, "dead:1", LEASE_S)
    begun_at = cluster.clock.monotonic()
    member = cluster.member("a:1")
    eventually(lambda: member.archives)
    assert LEASE_S - 1 <= member.made_at[0] - begun_at
    cluster.stop("a:1")
    assert cluster.control.leases.acquire(ARCHIVER, "c:1", LEASE_S)
    again_at = cluster.clock.monotonic()
    again = cluster.member("c:1")
    eventually(lambda: again.archives)
    assert again.made_at[0] - again_at < LEASE_S + FACTOR
