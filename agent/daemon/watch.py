"""What an agent knows of its node and its storage, refreshed apart from all work."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from agent.core.clock import Clock, SystemClock
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Shared, Stop
from agent.core.log import Log
from agent.model.cluster_time import ClusterTime
from agent.model.nodes import NodeFacts, UsePrimary, may_read, with_oplog_of
from agent.model.status import (
    AgentStatus,
    ArchiveReport,
    CredentialFacts,
    StorageAccess,
    StorageStatus,
)
from agent.ports import NodeReader, ObjectStore, StatusBoard

HEARTBEAT_S: Final = 3.0
# A storage that answered is asked again only now and then; one that did not, sooner.
PROBE_S: Final = 60.0
PROBE_AGAIN_S: Final = 10.0

_DENIED: Final = "storage_denied"
_AWAIT: Final = "storage.s3.awaits_role: true lets agents start while a role is set up"
# Keys are looked at as often as this, which costs nothing until they are to be renewed.
KEEP_S: Final = 2.0
# A probe is one small answer.
STUCK_S: Final = 30.0
_STUCK: Final = f"the storage has not answered within {STUCK_S:.0f} s, nor has it refused"


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
class Credentials:
    """What is known of the keys for the storage.

    ``facts`` asks nobody; ``identify`` may ask once for each set of keys; ``keep`` renews keys
    whose time has come. None of them fails.
    """

    facts: Callable[[], CredentialFacts]
    identify: Callable[[], CredentialFacts]
    keep: Callable[[], None]


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


class StorageWatch:
    """Asks the main storage now and then whether it answers, from a thread of its own.

    ``awaits_role``: a permission that is missing at the start is no fault, but to be given.
    """

    def __init__(
        self,
        store: ObjectStore,
        first: StorageStatus,
        log: Log,
        credentials: Credentials,
        *,
        awaits_role: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._asked_at = Shared[float | None](None)
        self._store = store
        self._log = log
        self._credentials = credentials
        self._awaits_role = awaits_role
        self._status = Shared(first)

    def status(self) -> StorageStatus:
        """Return what the last probe found, and how it stands with the keys now.

        A probe that does not come to an end says enough: an answer that comes a byte at a time
        keeps to every timeout.
        """
        found = _with(self._status.get(), self._credentials.facts())
        asked_at = self._asked_at.get()
        if asked_at is None or self._clock.monotonic() - asked_at < STUCK_S or not found.ok:
            return found
        return replace(found, ok=False, error=_STUCK, error_code="storage_interrupted")

    def begin(self) -> None:
        """Ask for the first time, when a person may still be watching.

        Raises: PermanentError for what only a person can mend: a bucket that is not there, or a
        permission that is missing, unless a role is awaited; it names the source of the keys.
        """
        try:
            self._store.probe()
        except PermanentError as error:
            if error.code == _DENIED and self._awaits_role:
                self._learn(error)
                return
            source = self._credentials.facts().source
            raise PermanentError(
                error.code,
                error.message if source == "none" else f"{error.message} (credentials: {source})",
                hint=f"{error.hint}; {_AWAIT}" if error.code == _DENIED else error.hint,
            ) from error
        except TransientError as error:
            self._learn(error)
        else:
            self._learn(None)

    def run(self, stop: Stop) -> None:
        """Probe until stopped."""
        while True:
            is_ok = self.probe()
            if self._rest(stop, PROBE_S if is_ok else PROBE_AGAIN_S):
                return

    def _rest(self, stop: Stop, rest_s: float) -> bool:
        """Wait for the next probe, and return whether it is to stop.

        Keys are renewed meanwhile, so that those of an idle agent do not end. While they cannot
        be, the next probe comes soon, and shows when they are over.
        """
        rested_s = 0.0
        while rested_s < rest_s:
            if stop.wait(KEEP_S):
                return True
            rested_s += KEEP_S
            self._credentials.keep()
            if self._credentials.facts().renewal_error is not None:
                rest_s = PROBE_AGAIN_S
        return False

    def probe(self) -> bool:
        """Ask once; a change is logged."""
        self._asked_at.set(self._clock.monotonic())
        try:
            self._store.probe()
        except (PermanentError, TransientError) as error:
            self._learn(error)
            return False
        finally:
            self._asked_at.set(None)
        self._learn(None)
        return True

    def _learn(self, error: PermanentError | TransientError | None) -> None:
        old, keys = self._status.get(), self._credentials.identify()
        text = None if error is None else _text(error)
        if error is not None and old.error != text:
            self._log.error(
                "storage does not answer", label=old.label, code=error.code, reason=text
            )
        elif old.error and error is None:
            self._log.info("storage answers again", label=old.label)
        if keys.source != old.credential_source and error is None:
            self._log.info("credentials found", label=old.label, source=keys.source)
        code = None if error is None else error.code
        self._status.set(_with(replace(old, ok=error is None, error=text, error_code=code), keys))


def _with(status: StorageStatus, keys: CredentialFacts) -> StorageStatus:
    """Return a status with facts of keys; fresh ones of a source are whose the old ones were."""
    is_same_source = keys.source == status.credential_source
    return replace(
        status,
        credential_source=keys.source,
        identity=keys.identity or (status.identity if is_same_source else None),
        expires_at=keys.expires_at,
        renewal_error=keys.renewal_error,
    )


def _text(error: PermanentError | TransientError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
