"""The doors of a prune."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from agent.core.log import Log
from agent.ports import (
    BackupCatalogue,
    ClusterSource,
    JobNotes,
    ObjectStore,
    OldVersions,
    ScheduleBoard,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePorts:
    """What a prune needs; ``label`` names the storage that ``store`` is, ``main`` the main one.

    ``now`` returns the earlier of this host's time and the cluster's: retention takes an earlier
    time for a reason to keep more, so one clock that is wrong removes nothing.
    """

    source: ClusterSource
    store: ObjectStore
    label: str
    main: str
    schedules: ScheduleBoard
    catalogue: BackupCatalogue
    notes: JobNotes
    now: Callable[[], datetime]
    old_versions: Callable[[], OldVersions]
    log: Log
