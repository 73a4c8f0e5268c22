"""The agent that holds the archiver's lease archives the oplog of its node."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.errors import LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Shared, Stop
from agent.core.keeper import Held, Keeper
from agent.core.log import Log
from agent.model.cluster_time import ClusterTime
from agent.model.leases import ARCHIVER, LEASE_S, Grant
from agent.model.status import ArchiveReport
from agent.ports import LeaseStore

# How often it is looked whether somebody archives.
LOOK_S: Final = 1.0
# Primaries, and nodes that are behind, leave a free lease to others for so long.
STAND_BACK_S: Final = 5.0
# An agent whose node or storage failed it lets all others try first.
AFTER_FAILURE_S: Final = 10.0
# Before entries are given up, the agent of a node that has them may take over for so long...
HAND_OVER_S: Final = 45.0
# ...and again after a time that is no part of it.
HAND_OVER_AGAIN_S: Final = 600.0
# The primary hands over to a secondary, but not at each flutter of the set.
YIELD_AFTER_S: Final = 30.0


# The name of an agent whose node's oplog reaches back to a time, if there is one.
Elsewhere = Callable[[ClusterTime], str | None]


class Archiving(Protocol):
    """The archive of the oplog, as the one who holds the lease runs it."""

    def run(self, stop: Stop, held: Callable[[], None]) -> None:
        """Archive until stopped. Raises: LeaseLost; Stopped; Transient- and PermanentError."""
        ...

    def report(self) -> ArchiveReport | None:
        """Return how the archive stands; from any thread."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePreference:
    """Whether this agent's node should archive, and whether some other one should.

    ``elsewhere`` names another agent whose node's oplog reaches back to a time.
    """

    own: Callable[[], bool]
    another: Callable[[], bool]
    elsewhere: Elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveDutyPorts:
    """What the duty needs; ``make`` begins an archive anew; ``look_s``: between two looks."""

    leases: LeaseStore
    keeper: Keeper
    clock: Clock
    agent: str
    make: Callable[[Elsewhere], Archiving]
    log: Log
    look_s: float = LOOK_S


class ArchiveDuty:
    """Takes the lease when it is free, secondaries first, and archives while it has it."""

    def __init__(self, ports: ArchiveDutyPorts) -> None:
        self._ports = ports
        self._archiving: Shared[Archiving | None] = Shared(None)
        self._free_since: float | None = None
        self._not_before = float("-inf")
        self._handing_over_since = float("-inf")

    def report(self) -> ArchiveReport | None:
        """Return how the archive stands if this agent archives now."""
        archiving = self._archiving.get()
        return None if archiving is None else archiving.report()

    def run(self, stop: Stop, preference: ArchivePreference) -> None:
        """Archive whenever it is this agent's turn, until stopped."""
        failed = False
        while not stop.wait(self._ports.look_s):
            try:
                self._look(stop, preference)
                failed = False
            except TransientError as error:
                if not failed:
                    self._ports.log.warning(
                        "cannot see who archives", code=error.code, reason=error.message
                    )
                failed = True

    def _look(self, stop: Stop, preference: ArchivePreference) -> None:
        if not self._is_its_turn(preference):
            return
        asked_at = self._ports.clock.monotonic()
        grant = self._ports.leases.acquire(ARCHIVER, self._ports.agent, LEASE_S)
        if grant is None:
            return
        passing(Point.ARCHIVER_ACQUIRED)
        held = self._ports.keeper.keep(
            ARCHIVER, asked_at, lambda: self._ports.leases.renew(grant, LEASE_S)
        )
        self._ports.log.info("archiver now", token=grant.token)
        try:
            self._archive(stop, held, preference)
        finally:
            self._archiving.set(None)
            self._ports.keeper.drop(held)
            self._give_back(grant)

    def _is_its_turn(self, preference: ArchivePreference) -> bool:
        now = self._ports.clock.monotonic()
        holder = self._ports.leases.holder(ARCHIVER)
        if holder is not None and holder != self._ports.agent:
            self._free_since = None
            return False
        if self._free_since is None:
            self._free_since = now
        if now < self._not_before:
            return False
        return preference.own() or now - self._free_since >= STAND_BACK_S

    def _archive(self, stop: Stop, held: Held, preference: ArchivePreference) -> None:
        ending = stop.child()
        unfit_since = self._ports.clock.monotonic()

        def check() -> None:
            nonlocal unfit_since
            held.check()
            now = self._ports.clock.monotonic()
            if preference.own() or not preference.another():
                unfit_since = now
            elif now - unfit_since > YIELD_AFTER_S:
                ending.set("a secondary keeps up and should archive")
                ending.check()

        try:
            archiving = self._ports.make(lambda time: self._elsewhere(preference, time))
            self._archiving.set(archiving)
            archiving.run(ending, check)
        except LeaseLost as error:
            self._ports.log.warning("archiver lease lost", reason=error.message)
        except Stopped as error:
            self._ports.log.info("archiver no more", reason=error.message)
            self._not_before = self._ports.clock.monotonic() + STAND_BACK_S
        except (TransientError, PermanentError) as error:
            self._ports.log.error("archiver gives up", code=error.code, reason=error.message)
            self._not_before = self._ports.clock.monotonic() + AFTER_FAILURE_S
        finally:
            stop.drop(ending)

    def _elsewhere(self, preference: ArchivePreference, time: ClusterTime) -> str | None:
        """Return who else has the oplog, but not for ever: it may be that nobody takes over."""
        name = preference.elsewhere(time)
        now = self._ports.clock.monotonic()
        if name is not None and now - self._handing_over_since > HAND_OVER_AGAIN_S:
            self._handing_over_since = now
        return name if now - self._handing_over_since <= HAND_OVER_S else None

    def _give_back(self, grant: Grant) -> None:
        self._free_since = None
        try:
            self._ports.leases.release(grant)
        except TransientError:
            self._ports.log.warning("archiver lease not handed back; it ends by itself")
