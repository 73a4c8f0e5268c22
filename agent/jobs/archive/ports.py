"""The doors of the archive."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.core.clock import Clock
from agent.core.flow import Stop
from agent.core.log import Log
from agent.model.catalogue import Identity
from agent.model.cluster_time import ClusterTime
from agent.ports import ClusterSource, EventLog, ObjectStore, OplogTail

# Without anything to archive but the agents' own writes, coverage advances so often.
IDLE_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How soon and how large segments are."""

    interval_s: float
    segment_bytes: int
    level: int
    idle_s: float = IDLE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivePorts:
    """What archiving needs.

    ``store`` shows every failure at once: how long the archive bears one is its own matter.
    ``source`` waits out elections. ``wanted_from`` tells after which time the newest full backup
    needs the oplog, if there is one. ``elsewhere`` names an agent whose node's oplog reaches back
    to a time, where this one's does not. ``retried`` is called whenever a segment is tried again.
    """

    identity: Identity
    source: ClusterSource
    tail: OplogTail
    store: ObjectStore
    events: EventLog
    wanted_from: Callable[[], ClusterTime | None]
    control_database: str
    pace: Pace
    clock: Clock
    log: Log
    elsewhere: Callable[[ClusterTime], str | None] = lambda _: None
    retried: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """The right to archive: ``held`` raises LeaseLost when it can no longer be proved."""

    stop: Stop
    held: Callable[[], None]
