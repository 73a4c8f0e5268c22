"""What an agent knows of its node and of the others, and writes of itself, apart from all work."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from agent.core.clock import Clock
from agent.core.errors import TransientError
from agent.core.flow import Shared, Stop
from agent.core.log import Log
from agent.model.cluster_time import ClusterTime
from agent.model.nodes import NodeFacts, UsePrimary, may_read, with_oplog_of
from agent.model.status import (
    AgentStatus,
    ArchiveReport,
    StorageAccess,
    StorageStatus,
)
from agent.ports import NodeReader, StatusBoard

HEARTBEAT_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Itself:
    """What does not change of an agent while it lives."""

    name: str
    priority: float
    use_primary: UsePrimary
    server_version: str
    agent_version: str
    pid: int
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Reports:
    """What else goes into the agent's status.

    How it stands with its storage, and its archive; and as whom it reaches its storages.
    """

    storage: Callable[[], StorageStatus]
    archive: Callable[[], ArchiveReport | None]
    access: Callable[[], tuple[StorageAccess, ...]] = tuple


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    own: NodeFacts
    others: tuple[NodeFacts, ...]
    server_now: datetime


class NodeWatch:
    """Writes the agent's status and remembers what the other agents wrote."""

    def __init__(
        self,
        itself: Itself,
        reader: NodeReader,
        board: StatusBoard,
        reports: Reports,
        log: Log,
        *,
        clock: Clock,
    ) -> None:
        self._itself = itself
        self._reader = reader
        self._board = board
        self._reports = reports
        self._log = log
        self._clock = clock
        self._seen: Shared[_Seen | None] = Shared(None)
        self._written: Shared[AgentStatus | None] = Shared(None)
        self._state: tuple[str, datetime] | None = None

    def run(
        self, stop: Stop, turned: Callable[[AgentStatus | None], None] = lambda _told: None
    ) -> None:
        """Beat until stopped; ``turned`` gets what each beat wrote, None if it could not."""
        failed = False
        while True:
            told = None
            try:
                told = self.beat()
                failed = False
            except TransientError as error:
                # The document grows stale by itself; one line tells of it, not one a beat.
                if not failed:
                    self._log.warning("heartbeat missed", code=error.code, reason=error.message)
                failed = True
                self._seen.set(None)
            turned(told)
            if stop.wait(HEARTBEAT_S):
                return

    def beat(self) -> AgentStatus:
        """Look at the node once, write it down, and read what the others wrote."""
        own = self._reader.facts()
        server_now, skew_s = self._compare_clocks()
        if self._state is None or self._state[0] != own.state:
            self._state = (own.state, server_now)
        status = replace(self._status(own), clock_skew_s=skew_s, node_state_since=self._state[1])
        self._board.write_agent(status)
        self._written.set(status)
        agents = self._board.agents()
        self._seen.set(
            _Seen(
                own=own,
                others=tuple(_facts(one) for one in agents if one.name != self._itself.name),
                server_now=server_now,
            )
        )
        return status

    def written(self) -> AgentStatus | None:
        """Return what was written down last; its time is this host's."""
        return self._written.get()

    def _compare_clocks(self) -> tuple[datetime, float]:
        """Return the primary's time, and the seconds that this host is certainly ahead of it.

        The answer was made at some moment between the question and its arrival: only what lies
        outside of that counts, so that a slow network is no skew.
        """
        asked_at = self._clock.now()
        server_now = self._board.server_now()
        behind_s = (server_now - self._clock.now()).total_seconds()
        ahead_s = (asked_at - server_now).total_seconds()
        return server_now, max(0.0, ahead_s) - max(0.0, behind_s)

    def may_read(self) -> bool:
        """Whether this agent may claim backup tasks, as far as it knows."""
        seen = self._seen.get()
        if seen is None:
            return False
        return may_read(seen.own, seen.others, self._itself.use_primary, seen.server_now)

    def keeps_up(self) -> bool:
        """Whether this agent's node is a secondary that keeps up, as far as it knows."""
        seen = self._seen.get()
        return seen is not None and seen.own.keeps_up

    def another_keeps_up(self) -> bool:
        """Whether the node of some other agent is such a secondary."""
        seen = self._seen.get()
        return seen is not None and any(
            other.is_good_secondary(seen.server_now) for other in seen.others
        )

    def oplog_elsewhere(self, time: ClusterTime) -> str | None:
        """Return another agent whose node's oplog reaches back to a time, as far as it knows."""
        seen = self._seen.get()
        return None if seen is None else with_oplog_of(time, seen.others)

    def _status(self, own: NodeFacts) -> AgentStatus:
        return AgentStatus(
            name=self._itself.name,
            node_state=own.state,
            node_lag_s=own.lag_s,
            priority=own.priority,
            server_version=self._itself.server_version,
            agent_version=self._itself.agent_version,
            pid=self._itself.pid,
            started_at=self._itself.started_at,
            updated_at=own.updated_at,
            storage=self._reports.storage(),
            archive=_behind_too(self._reports.archive(), own.lag_s),
            access=self._reports.access(),
            oplog_from=own.oplog_from,
        )


def _behind_too(report: ArchiveReport | None, node_lag_s: float | None) -> ArchiveReport | None:
    """Return a report whose lag counts what the node itself has not got yet.

    The lag of a node is told in whole seconds, so one of them may be none.
    """
    if report is None or node_lag_s is None:
        return report
    return replace(report, lag_s=report.lag_s + max(0.0, node_lag_s - 1.0))


def _facts(status: AgentStatus) -> NodeFacts:
    return NodeFacts(
        name=status.name,
        state=status.node_state,
        lag_s=status.node_lag_s,
        priority=status.priority,
        updated_at=status.updated_at,
        oplog_from=status.oplog_from,
    )
