"""The composition root: the only place that names concrete classes; no logic of its own."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import agent
from agent.aws.session import connect_s3, credential_source
from agent.core import log as logs
from agent.core.clock import Clock, SystemClock
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.core.keeper import Keeper
from agent.core.log import Log
from agent.core.retry import RetryPolicy, persistent, retry
from agent.daemon.active import JobPorts
from agent.daemon.coordinator import Coordinator, CoordinatorPorts
from agent.daemon.dispatcher import Dispatcher, DispatcherPorts
from agent.daemon.overview import Overview
from agent.daemon.service import serve
from agent.daemon.watch import Itself, NodeWatch, StorageWatch
from agent.jobs.backup.job import BackupJob, BackupPorts
from agent.jobs.backup.reading import ReadingPorts
from agent.jobs.backup.worker import TaskRunner
from agent.jobs.delete import DeleteJob, DeletePorts
from agent.jobs.restore.job import RestoreJob
from agent.jobs.restore.ports import RestorePorts
from agent.jobs.resync import ResyncJob, ResyncPorts
from agent.model.commands import Backup, Cancel, Delete, Request, Restore, Resync
from agent.model.leases import LEASE_S, MARGIN_S, RENEW_S
from agent.model.status import StorageStatus
from agent.mongo.apply import MongoReplayTarget
from agent.mongo.backups import MongoBackups
from agent.mongo.commands import MongoCommands
from agent.mongo.connect import Client, OwnNode, open_cluster, open_node, own_node
from agent.mongo.console import MongoDocuments
from agent.mongo.control import prepare
from agent.mongo.events import MongoEvents
from agent.mongo.leases import MongoLeases
from agent.mongo.notes import MongoNotes
from agent.mongo.oplog import MongoOplogReader
from agent.mongo.reader import MongoNodeReader
from agent.mongo.source import MongoClusterSource
from agent.mongo.status import MongoStatus
from agent.mongo.switch import MongoSwitch
from agent.mongo.target import MongoTarget
from agent.mongo.tasks import MongoTasks
from agent.ports import (
    BackupCatalogue,
    Boards,
    ClusterSource,
    CommandBoard,
    NodeReader,
    ObjectStore,
    OplogReader,
    StatusBoard,
)
from agent.ports.work import Job, JobContext
from agent.settings import S3Settings, Settings, process_environment
from agent.storage.open import open_store

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Longer than any election that ends at all; a job that meets more is tried again later.
_CONTROL_POLICY = RetryPolicy(limit_s=60.0)
# A node and its replica set may start after its agent.
_START_POLICY = RetryPolicy(limit_s=600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The connections of an agent, and what its node is.

    ``loading`` waits for an answer as long as the node lives: index builds take hours.
    """

    node: Client
    cluster: Client
    loading: Client
    own: OwnNode

    def close(self) -> None:
        """End all connections."""
        self.node.close()
        self.cluster.close()
        self.loading.close()


def link(settings: Settings, stop: Stop) -> Links:
    """Connect to the agent's node and through it to the replica set; waits while it starts.

    Raises: ConfigError for a node that cannot have an agent; TransientError after ten minutes.
    """
    uri = settings.mongodb.uri.get_secret_value()
    node = open_node(uri)
    own = retry(lambda: own_node(node), policy=_START_POLICY, stop=stop)
    return Links(
        node=node,
        cluster=open_cluster(uri, own.hosts, own.replset),
        loading=open_cluster(uri, own.hosts, own.replset, socket_timeout_s=None),
        own=own,
    )


def boards(links: Links, settings: Settings) -> Boards:
    """Return the boards, each call of which fails at once when the primary cannot be asked."""
    database = links.cluster[settings.control.database]
    return Boards(
        commands=MongoCommands(database),
        tasks=MongoTasks(database),
        notes=MongoNotes(database),
        status=MongoStatus(database),
        catalogue=MongoBackups(database),
        events=MongoEvents(database, links.own.name),
        leases=MongoLeases(database),
    )


def patient(once: Boards, stop: Stop) -> Boards:
    """Return the boards as jobs use them: each call waits out an election."""
    return Boards(
        commands=persistent(once.commands, policy=_CONTROL_POLICY, stop=stop),
        tasks=persistent(once.tasks, policy=_CONTROL_POLICY, stop=stop),
        notes=persistent(once.notes, policy=_CONTROL_POLICY, stop=stop),
        status=persistent(once.status, policy=_CONTROL_POLICY, stop=stop),
        catalogue=persistent(once.catalogue, policy=_CONTROL_POLICY, stop=stop),
        events=once.events,
        leases=once.leases,
    )


class Stores:
    """The configured storages by label."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], stop: Stop) -> None:
        self._environment = environment
        self._main = settings.storage.label
        self._stores = {
            one.label: open_store(one, connect=self.connect, stop=stop) for one in settings.storages
        }

    def connect(self, settings: S3Settings) -> "S3Client":
        """Return a client for a bucket."""
        return connect_s3(settings, self._environment)

    def open(self, label: str | None) -> tuple[str, ObjectStore]:
        """Return a storage with its label; None is the main one.

        Raises: PermanentError ``unknown_storage``.
        """
        wanted = label or self._main
        if wanted not in self._stores:
            raise PermanentError(
                "unknown_storage",
                f"no storage is labelled {wanted!r}",
                hint=f"configured: {', '.join(sorted(self._stores))}",
            )
        return wanted, self._stores[wanted]

    def labels(self) -> Sequence[str]:
        """Return all labels, the main storage's first."""
        return tuple(self._stores)


class Assembly:
    """One agent's parts, put together."""

    def __init__(self, settings: Settings, links: Links, stores: Stores, stop: Stop) -> None:
        self.settings = settings
        self.links = links
        self.stores = stores
        self.clock: Clock = SystemClock()
        self.log: Log = logs.get(agent=links.own.name)
        self.once = boards(links, settings)
        self.patient = patient(self.once, stop)
        self.keeper = Keeper(self.clock, every_s=RENEW_S, lasts_s=LEASE_S - MARGIN_S)
        control = settings.control.database
        self.reader: NodeReader = MongoNodeReader(
            links.node, links.own.name, priority=settings.backup.priority, clock=self.clock
        )
        self.oplog: OplogReader = MongoOplogReader(links.node)
        self.source: ClusterSource = persistent(
            MongoClusterSource(links.cluster, control_database=control, stop=stop),
            policy=_CONTROL_POLICY,
            stop=stop,
        )

    def storage_watch(self) -> StorageWatch:
        """Return the watch over the main storage, which asks it without patience."""
        main = self.settings.storage
        store = open_store(main, connect=self.stores.connect, stop=Stop(), is_patient=False)
        first = StorageStatus(
            label=main.label,
            ok=True,
            bucket=store.describe(),
            credential_source=credential_source(main.s3) if main.s3 else "none",
        )
        return StorageWatch(store, first, self.log)

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
        return NodeWatch(itself, self.reader, self.once.status, storage.status, self.log)

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

    def coordinator(self) -> Coordinator:
        """Return what leads when this agent has the lease."""
        control = self.settings.control
        jobs = JobPorts(
            boards=self.patient,
            make=self._job,
            clock=self.clock,
            agent=self.links.own.name,
            log=self.log,
        )
        overview = Overview(self.links.own.replset, self.once.status, self.once.catalogue)
        return Coordinator(
            CoordinatorPorts(
                boards=self.once,
                jobs=jobs,
                keeper=self.keeper,
                overview=overview,
                clock=self.clock,
                agent=self.links.own.name,
                poll_s=control.poll_interval_s,
                ttl_s=control.command_ttl_s,
                log=self.log,
            )
        )

    def _job(self, request: Request, context: JobContext) -> Job:
        match request:
            case Backup():
                return self._backup(request, context)
            case Restore():
                return self._restore(request, context)
            case Delete():
                return self._delete(request, context)
            case Resync():
                return self._resync(request, context)
            case Cancel():
                raise PermanentError("not_a_job", "a cancel is settled by the coordinator itself")
            case _:
                assert_never(request)

    def _backup(self, request: Backup, context: JobContext) -> Job:
        label, store = self.stores.open(request.storage)
        ports = BackupPorts(
            source=self.source,
            oplog=self.oplog,
            store=store,
            label=label,
            board=self.patient.tasks,
            notes=self.patient.notes,
            catalogue=self.patient.catalogue,
            clock=self.clock,
            agent_version=agent.__version__,
            level=self.settings.backup.compression.level,
            log=self.log,
        )
        return BackupJob(context, request, ports)

    def _restore(self, request: Restore, context: JobContext) -> Job:
        _, store = self.stores.open(request.storage)
        ports = RestorePorts(
            source=self.source,
            target=MongoTarget(self.links.loading),
            switch=MongoSwitch(self.links.loading),
            replay=MongoReplayTarget(self.links.loading, self.links.own.server_version),
            store=store,
            notes=self.patient.notes,
            events=self.once.events,
            control_database=self.settings.control.database,
            workers=self.settings.backup.workers,
            log=self.log,
        )
        return RestoreJob(context, request, ports)

    def _delete(self, request: Delete, context: JobContext) -> Job:
        label, store = self.stores.open(request.storage)
        ports = DeletePorts(
            source=self.source,
            store=store,
            label=label,
            catalogue=self.patient.catalogue,
            notes=self.patient.notes,
            log=self.log,
        )
        return DeleteJob(context, request, ports)

    def _resync(self, request: Resync, context: JobContext) -> Job:
        labels = (request.storage,) if request.storage else self.stores.labels()
        ports = ResyncPorts(
            source=self.source,
            stores=dict(self.stores.open(label) for label in labels),
            catalogue=self.patient.catalogue,
            log=self.log,
        )
        return ResyncJob(context, ports)


def run_agent(settings: Settings, stop: Stop) -> None:
    """Be an agent until ``stop`` is set.

    Raises: ConfigError, PermanentError at the start, for what an operator must mend first.
    """
    links = link(settings, stop)
    try:
        whole = Assembly(settings, links, Stores(settings, process_environment(), stop), stop)
        storage_watch = whole.storage_watch()
        storage_watch.begin()
        database = links.cluster[settings.control.database]
        retry(lambda: prepare(database), policy=_START_POLICY, stop=stop)
        node_watch = whole.node_watch(storage_watch)
        whole.log.info("agent started", version=agent.__version__, replset=links.own.replset)
        serve(
            {
                "keeper": whole.keeper.run,
                "heartbeat": node_watch.run,
                "storage": storage_watch.run,
                "dispatcher": whole.dispatcher(node_watch.may_read).run,
                "coordinator": whole.coordinator().run,
            },
            stop,
            whole.log,
        )
        whole.log.info("agent stopped")
    finally:
        links.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """The replica set as a person at a terminal needs it."""

    commands: CommandBoard
    status: StatusBoard
    catalogue: BackupCatalogue
    documents: MongoDocuments
    prepare: Callable[[], None]


@contextmanager
def open_console(settings: Settings) -> Iterator[Console]:
    """Connect to the replica set as an operator, for as long as the context lasts.

    Raises: ConfigError; TransientError if the node does not answer within seconds.
    """
    uri = settings.mongodb.uri.get_secret_value()
    with open_node(uri) as node:
        own = own_node(node)
    with open_cluster(uri, own.hosts, own.replset) as cluster:
        database = cluster[settings.control.database]
        yield Console(
            commands=MongoCommands(database),
            status=MongoStatus(database),
            catalogue=MongoBackups(database),
            documents=MongoDocuments(database),
            prepare=lambda: prepare(database),
        )
