"""What a heartbeat tells of the agent's host and node."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from agent.core.log import get
from agent.daemon.node_watch import Itself, NodeWatch, Reports
from agent.model.nodes import NodeFacts
from agent.model.status import AgentStatus
from tests.fakes.clock import VirtualClock
from tests.fakes.control import MemoryControl
from tests.fakes.status import an_agent


@dataclass
class Host:
    """A host whose clock is off, and an answer of the primary that takes its time on the way."""

    clock: VirtualClock
    ahead_s: float = 0.0
    way_s: float = 0.0
    state: str = "SECONDARY"
    asked: int = 0

    def monotonic(self) -> float:
        """Return the true clock's."""
        return self.clock.monotonic()

    def now(self) -> datetime:
        """Return what the host believes; the answer arrives between two looks."""
        self.asked += 1
        late_s = self.way_s if self.asked % 2 == 0 else 0.0
        return self.clock.now() + timedelta(seconds=self.ahead_s + late_s)

    def facts(self) -> NodeFacts:
        """Return the node's state."""
        now = self.clock.now()
        return NodeFacts(name="a:1", state=self.state, lag_s=0.0, priority=1, updated_at=now)


class Beats:
    """A watch over a node, and the status that it writes."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.host = Host(self.clock)
        self.control = MemoryControl(self.clock)
        agent = an_agent("a:1", self.clock.now())
        itself = Itself(
            name="a:1",
            priority=1,
            use_primary="when_alone",
            server_version="6.0.5",
            agent_version="0.1.0",
            pid=1,
            started_at=self.clock.now(),
        )
        self.watch = NodeWatch(
            itself,
            self.host,  # type: ignore[arg-type]
            self.control.status,
            Reports(storage=lambda: agent.storage, archive=lambda: None),
            get(),
            clock=self.host,
        )

    def told(self, **changes: object) -> AgentStatus:
        """Beat once, with the host as it is now, and return what was written."""
        self.host.__dict__.update(replace(self.host, **changes).__dict__)  # type: ignore[arg-type]
        self.watch.beat()
        (found,) = self.control.status.agents()
        return found


@pytest.mark.parametrize("ahead_s", [-3600.0, -6.0, 0.0, 6.0, 3600.0])
def test_the_host_s_clock_is_compared_with_the_primary_s(ahead_s: float) -> None:
    """Ahead is positive."""
    assert ahead_s == Beats().told(ahead_s=ahead_s).clock_skew_s


def test_a_slow_network_is_no_skew() -> None:
    """The primary may have answered at any time before the answer arrived."""
    beats = Beats()
    assert 0.0 == beats.told(way_s=20.0).clock_skew_s
    assert 5.0 == beats.told(way_s=20.0, ahead_s=5.0).clock_skew_s
    assert -5.0 == beats.told(way_s=20.0, ahead_s=-25.0).clock_skew_s


def test_since_when_a_node_is_what_it_is_stays() -> None:
    """Until it becomes something else."""
    beats = Beats()
    begun = beats.told().node_state_since
    assert beats.clock.now() == begun
    beats.clock.move(60)
    assert begun == beats.told().node_state_since
    assert beats.clock.now() == beats.told(state="RECOVERING").node_state_since
