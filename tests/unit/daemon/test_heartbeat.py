"""What each turn of the heartbeat tells the service manager."""

import threading
from dataclasses import replace

import pytest

from agent.core import log as logs
from agent.core.errors import TransientError
from agent.core.flow import Stop, WorkerGroup
from agent.core.notify import ServiceManager
from agent.daemon.node_watch import Itself, NodeWatch, Reports
from agent.daemon.status_line import status_line
from agent.model.nodes import NodeFacts
from agent.model.status import AgentStatus, StorageStatus
from tests.fakes.clock import VirtualClock
from tests.fakes.cluster import MemoryCluster
from tests.fakes.control import MemoryControl
from tests.fakes.status import a_report, an_agent
from tests.testbed.manager import NotifySocket
from tests.testbed.waiting import eventually

NOW = VirtualClock().now()
ARCHIVER = an_agent("a:1", NOW, a_report(lag_s=3.2))


class Reader(MemoryCluster):
    """A node that can be away, or never answer."""

    def __init__(self) -> None:
        super().__init__()
        self.error: TransientError | None = None
        self.answers = threading.Event()
        self.answers.set()
        self.asked = threading.Event()

    def facts(self) -> NodeFacts:
        """Return a good secondary, once it answers."""
        self.asked.set()
        self.answers.wait()
        if self.error is not None:
            raise self.error
        return super().facts()


def a_watch(reader: Reader) -> NodeWatch:
    """Return what beats, over a control database in memory."""
    itself = Itself(
        name="a:1",
        priority=1,
        use_primary="when_alone",
        server_version="6.0.5",
        agent_version="0.1.0",
        pid=1,
        started_at=NOW,
    )
    storage = StorageStatus(label="main", ok=True, bucket="memory", credential_source="none")
    reports = Reports(storage=lambda: storage, archive=lambda: None)
    clock = VirtualClock()
    board = MemoryControl(clock).status
    return NodeWatch(itself, reader, board, reports, logs.get(), clock=clock)


def one_turn(reader: Reader) -> list[AgentStatus | None]:
    """Return what the first beat told."""
    told: list[AgentStatus | None] = []
    stop = Stop()

    def turned(status: AgentStatus | None) -> None:
        told.append(status)
        stop.set()

    a_watch(reader).run(stop, turned)
    return told


def test_a_beat_that_could_not_write_is_a_turn_too() -> None:
    """A node that is away is no reason to end its agent."""
    reader = Reader()
    assert [status and status.name for status in one_turn(reader)] == ["a:1"]
    reader.error = TransientError("mongodb_unreachable", "away")
    assert one_turn(reader) == [None]


def test_a_beat_that_hangs_feeds_no_watchdog() -> None:
    """So an agent that no longer turns is ended, by whoever is waiting for the word."""
    reader, stop = Reader(), Stop()
    reader.answers.clear()
    with NotifySocket() as listener:
        manager = ServiceManager(listener.address)
        group = WorkerGroup("test", stop)
        watch = a_watch(reader)
        group.start(lambda: watch.run(stop, lambda _: manager.alive("turns")), "heartbeat")
        assert reader.asked.wait(10)
        manager.ready("started")
        assert not listener.count("WATCHDOG")
        reader.answers.set()
        eventually(lambda: listener.count("WATCHDOG") == 1, 10, message="the beat goes on")
        stop.set()
        assert group.join(10)


@pytest.mark.parametrize(
    ("status", "leads", "line"),
    [
        (an_agent("a:1", NOW), False, "secondary"),
        (ARCHIVER, True, "secondary; coordinator; archiver, 3 s behind"),
        (None, True, "no heartbeat: the node or the primary does not answer"),
        (
            replace(
                an_agent("a:1", NOW),
                storage=StorageStatus(
                    label="main",
                    ok=False,
                    bucket="b",
                    credential_source="none",
                    error="it is away; look",
                    error_code="storage_unreachable",
                ),
            ),
            False,
            "secondary; storage does not answer: storage_unreachable",
        ),
    ],
)  # fmt: skip
def test_the_line_says_what_the_agent_does(
    status: AgentStatus | None,
    leads: bool,  # noqa: FBT001 - a parameter of the test
    line: str,
) -> None:
    """What `systemctl status` shows."""
    assert line == status_line(status, leads=leads)
