"""What a restore works with."""

from dataclasses import dataclass
from typing import Final

from agent.core.clock import Clock
from agent.core.log import Log
from agent.core.retry import RetryPolicy
from agent.ports import (
    ClusterSource,
    EventLog,
    JobNotes,
    ObjectStore,
    ReplayTarget,
    RestoreTarget,
    SwitchTarget,
)

# Elections take seconds, the restart of a node a minute or two.
PATIENCE: Final = RetryPolicy(limit_s=300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorePorts:
    """The doors of a restore; ``workers`` is how many threads load and index."""

    source: ClusterSource
    target: RestoreTarget
    switch: SwitchTarget
    store: ObjectStore
    notes: JobNotes
    events: EventLog
    replay: ReplayTarget
    clock: Clock
    control_database: str
    workers: int
    log: Log
