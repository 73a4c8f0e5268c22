"""The archive of the oplog, put together for one tenure after another."""

from dataclasses import dataclass
from typing import Final

from agent.core.clock import Clock
from agent.core.log import Log
from agent.daemon.archive import Elsewhere
from agent.jobs.archive.archiver import Archiver
from agent.jobs.archive.compaction import CompactionPorts, Compactor
from agent.jobs.archive.ports import ArchivePorts, Pace
from agent.jobs.archive.work import ArchiveWork
from agent.model.backups import newest
from agent.model.cluster_time import ClusterTime
from agent.ports import BackupCatalogue, ClusterSource, EventLog, Instruments, OplogTail
from agent.settings import Settings
from agent.wiring.stores import Stores

# The archive asks again sooner than others: a connection that an outage broke must not hold it up.
_ANSWER_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveParts:
    """What an agent has for its archive."""

    settings: Settings
    stores: Stores
    source: ClusterSource
    tail: OplogTail
    events: EventLog
    catalogue: BackupCatalogue
    clock: Clock
    log: Log
    instruments: Instruments


class ArchiveShop:
    """Makes the work of each tenure; the connections to the storage last longer than one."""

    def __init__(self, parts: ArchiveParts) -> None:
        self._parts = parts
        self._store = parts.stores.open_hurried(answer_s=_ANSWER_S)

    def make(self, elsewhere: Elsewhere) -> ArchiveWork:
        """Return the work of a new tenure. Raises: TransientError while there is no primary."""
        parts, oplog = self._parts, self._parts.settings.oplog
        identity = parts.source.identity()
        level = parts.settings.backup.compression.level
        archiver = Archiver(
            ArchivePorts(
                identity=identity,
                source=parts.source,
                tail=parts.tail,
                store=self._store,
                events=parts.events,
                wanted_from=self._wanted_from,
                control_database=parts.settings.control.database,
                pace=Pace(
                    interval_s=oplog.upload_interval_s,
                    segment_bytes=oplog.segment_max_bytes,
                    level=level,
                ),
                clock=parts.clock,
                log=parts.log,
                elsewhere=elsewhere,
                retried=lambda: parts.instruments.count_retry(parts.settings.storage.label),
            )
        )
        _, patient = parts.stores.open(None)
        compactor = Compactor(
            CompactionPorts(
                identity=identity, store=patient, events=parts.events, level=level, log=parts.log
            )
        )
        return ArchiveWork(archiver, compactor, parts.clock, parts.log)

    def _wanted_from(self) -> ClusterTime | None:
        parts = self._parts
        label, replset_id = parts.settings.storage.label, parts.source.identity().replset_id
        last = newest([
            one
            for one in parts.catalogue.entries()
            if one.storage == label and one.replset_id == replset_id and not one.namespaces
        ])
        return None if last is None else last.oplog_from
