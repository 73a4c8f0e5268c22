"""An agent, put together."""

import os
from collections.abc import Callable

import agent
from agent.core import log as logs
from agent.core.clock import Clock, SystemClock
from agent.core.flow import Stop
from agent.core.keeper import Keeper
from agent.core.log import Log
from agent.core.retry import persistent
from agent.daemon.active import JobPorts
from agent.daemon.archive import ArchiveDuty, ArchiveDutyPorts, ArchivePreference
from agent.daemon.coordinator import Coordinator, CoordinatorPorts
from agent.daemon.dispatcher import Dispatcher, DispatcherPorts
from agent.daemon.following import Following
from agent.daemon.gaps import GapBackups
from agent.daemon.node_watch import Itself, NodeWatch, Reports
from agent.daemon.overview import Overview, OverviewPorts
from agent.daemon.problems import ArchiveRules
from agent.daemon.respondent import Respondent
from agent.daemon.schedules import ScheduleDuty, SchedulePorts
from agent.daemon.storage_watch import Credentials, StorageWatch
from agent.jobs.backup.reading import ReadingPorts
from agent.jobs.backup.worker import TaskRunner
from agent.jobs.check.examination import Examination, Part, tell_failed
from agent.model.leases import LEASE_S, MARGIN_S, RENEW_S
from agent.model.status import StorageStatus
from agent.mongo.control import prepare
from agent.mongo.doctor import MongoDoctor
from agent.mongo.oplog import MongoOplogReader
from agent.mongo.reader import MongoNodeReader
from agent.mongo.source import MongoClusterSource
from agent.ports import (
    NO_INSTRUMENTS,
    ClusterSource,
    Instruments,
    NodeReader,
    OplogReader,
    OplogTail,
)
from agent.settings import Settings
from agent.wiring.archive import ArchiveParts, ArchiveShop
from agent.wiring.doctor import examination
from agent.wiring.links import CONTROL_POLICY, Links, boards, patient
from agent.wiring.metrics import Sights
from agent.wiring.outside import hooks, notices
from agent.wiring.roles import source_watch
from agent.wiring.stores import Stores
from agent.wiring.workshop import Parts, Workshop


class Assembly:
    """One agent's parts, put together."""

    def __init__(
        self,
        settings: Settings,
        links: Links,
        stores: Stores,
        stop: Stop,
        instruments: Instruments = NO_INSTRUMENTS,
    ) -> None:
        self.settings = settings
        self.instruments = instruments
        self.links = links
        self.stores = stores
        self.clock: Clock = SystemClock()
        self.sources = source_watch(settings, stores)
        self.log: Log = logs.get(agent=links.own.name)
        self.once = boards(links, settings)
        self.patient = patient(self.once, stop)
        self._stop = stop
        self.keeper = Keeper(self.clock, every_s=RENEW_S, lasts_s=LEASE_S - MARGIN_S)
        control = settings.control.database
        self.reader: NodeReader = MongoNodeReader(
            links.node, links.own.name, priority=settings.backup.priority, clock=self.clock
        )
        tail = MongoOplogReader(links.node)
        self.oplog: OplogReader = tail
        self.source: ClusterSource = persistent(
            MongoClusterSource(links.cluster, control_database=control, stop=stop),
            policy=CONTROL_POLICY,
            stop=stop,
        )
        self.notices = notices(settings, links.own, self.clock, self.log)
        self.hooks = hooks(settings, links.own, stores.environment, self.clock, self.log)
        self.archive = self._archive(tail)

    def _archive(self, tail: OplogTail) -> ArchiveDuty:
        shop = ArchiveShop(
            ArchiveParts(
                settings=self.settings,
                stores=self.stores,
                source=self.source,
                tail=tail,
                events=self.patient.events,
                catalogue=self.patient.catalogue,
                clock=self.clock,
                log=self.log,
                instruments=self.instruments,
            )
        )
        return ArchiveDuty(
            ArchiveDutyPorts(
                leases=self.once.leases,
                keeper=self.keeper,
                clock=self.clock,
                agent=self.links.own.name,
                make=shop.make,
                log=self.log,
            )
        )

    def storage_watch(self) -> StorageWatch:
        """Return the watch over the main storage, which asks it without patience."""
        main = self.settings.storage
        store = self.stores.open_hurried()
        first = StorageStatus(
            label=main.label,
            ok=True,
            bucket=store.describe(),
            credential_source="none",
        )
        stores = self.stores
        credentials = Credentials(facts=stores.facts, identify=stores.identify, keep=stores.keep)
        awaits_role = main.s3 is not None and main.s3.awaits_role
        return StorageWatch(store, first, self.log, credentials, awaits_role=awaits_role)

    def node_watch(self, storage: StorageWatch) -> NodeWatch:
        """Return what writes this agent's heartbeats."""
        itself = Itself(
            name=self.links.own.name,
            priority=self.settings.backup.priority,
            use_primary=self.settings.backup.use_primary,
            server_version=self.links.own.server_version,
            agent_version=agent.__version__,
            pid=os.getpid(),
            started_at=self.clock.now(),
        )
        reports = Reports(
            storage=storage.status, archive=self.archive.report, access=self.sources.access
        )
        return NodeWatch(itself, self.reader, self.once.status, reports, self.log, clock=self.clock)

    def sights(self, node: NodeWatch, storage: StorageWatch) -> Sights:
        """Return what this agent can see of itself."""
        access = self.stores.access
        return Sights(
            written=node.written,
            is_archiver=lambda: self.archive.report() is not None,
            storage=storage.status,
            credentials=lambda: {label: each.facts() for label, each in access.items()},
        )

    def archive_run(self, watch: NodeWatch) -> Callable[[Stop], None]:
        """Return the duty of archiving, which prefers secondaries that keep up."""
        preference = ArchivePreference(
            own=watch.keeps_up, another=watch.another_keeps_up, elsewhere=watch.oplog_elsewhere
        )
        return lambda stop: self.archive.run(stop, preference)

    def dispatcher(self, may_read: Callable[[], bool]) -> Dispatcher:
        """Return what gives tasks to the workers."""
        runner = TaskRunner(board=self.patient.tasks, reading=self._reading, log=self.log)
        ports = DispatcherPorts(
            board=self.once.tasks,
            keeper=self.keeper,
            clock=self.clock,
            agent=self.links.own.name,
            may_read=may_read,
            run_task=runner.run,
            instruments=self.instruments,
        )
        return Dispatcher(ports, self.settings.backup.workers)

    def _reading(self, label: str) -> ReadingPorts:
        _, store = self.stores.open(label)
        return ReadingPorts(
            source=self.source,
            reader=self.reader,
            store=store,
            clock=self.clock,
            replset=self.links.own.replset,
            level=self.settings.backup.compression.level,
        )

    def respondent(self) -> Respondent:
        """Return what answers the questions that go to every agent."""
        doctor = examination(self._mongo(), self.stores, self.links.own, self.clock, self.log)
        return Respondent(self.once.questions, self.links.own.name, doctor.findings, self.log)

    def look_over(self, stop: Stop) -> None:
        """Log what is wrong with MongoDB, or with what the user may do there, at the start."""
        quick = Examination(
            [Part(name="mongodb", run=self._mongo().findings)], self.clock, self.log
        )
        tell_failed(quick.findings(stop), self.log)

    def _mongo(self) -> MongoDoctor:
        return MongoDoctor(
            node=self.links.node,
            cluster=self.links.cluster,
            own=self.links.own,
            reader=self.reader,
            control_database=self.settings.control.database,
        )

    def coordinator(self) -> Coordinator:
        """Return what leads when this agent has the lease."""
        control = self.settings.control
        jobs = JobPorts(
            boards=self.patient,
            make=self._workshop().job,
            clock=self.clock,
            agent=self.links.own.name,
            following=Following(
                self.patient.schedules,
                self.patient.commands,
                self.settings.storage.label,
                self.log,
            ),
            log=self.log,
            instruments=self.instruments,
            notices=self.notices,
            hooks=self.hooks,
        )
        database = self.links.cluster[control.database]
        return Coordinator(
            CoordinatorPorts(
                boards=self.once,
                prepare=lambda: prepare(database),
                jobs=jobs,
                keeper=self.keeper,
                overview=self._overview(),
                gaps=self._gap_backups(),
                schedules=self._schedules(),
                clock=self.clock,
                agent=self.links.own.name,
                poll_s=control.poll_interval_s,
                ttl_s=control.command_ttl_s,
                log=self.log,
            )
        )

    def _overview(self) -> Overview:
        settings = self.settings
        return Overview(
            OverviewPorts(
                replset=self.links.own.replset,
                storage=settings.storage.label,
                archive=ArchiveRules(
                    enabled=settings.oplog.enabled,
                    interval_s=settings.oplog.upload_interval_s,
                    backup_after_gap=settings.oplog.backup_after_gap,
                ),
                status=self.once.status,
                catalogue=self.once.catalogue,
                leases=self.once.leases,
                instruments=self.instruments,
                last_backup=lambda: self.once.commands.last_ended("backup"),
                further=lambda: [*self.notices.troubles(), *self.hooks.troubles()],
            )
        )

    def _gap_backups(self) -> GapBackups | None:
        if not self.settings.oplog.backup_after_gap:
            return None
        return GapBackups(self.once.commands, self.once.events, self.once.status, self.log)

    def _schedules(self) -> ScheduleDuty:
        return ScheduleDuty(
            SchedulePorts(
                schedules=self.once.schedules,
                commands=self.once.commands,
                status=self.once.status,
                storages=self.stores.labels(),
                log=self.log,
            )
        )

    def _workshop(self) -> Workshop:
        parts = Parts(
            settings=self.settings,
            links=self.links,
            source=self.source,
            oplog=self.oplog,
            clock=self.clock,
            log=self.log,
        )
        return Workshop(parts, self.stores, self.once, self._stop)
