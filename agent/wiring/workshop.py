"""Jobs with the ports that they need."""

from dataclasses import dataclass
from typing import assert_never

import agent
from agent.core.clock import Clock
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.core.log import Log
from agent.jobs.backup.job import BackupJob, BackupPorts
from agent.jobs.check.job import CheckJob, CheckPorts
from agent.jobs.delete import DeleteJob, DeletePorts
from agent.jobs.prune.job import PruneJob
from agent.jobs.prune.ports import PrunePorts
from agent.jobs.restore.job import RestoreJob
from agent.jobs.restore.ports import RestorePorts
from agent.jobs.resync import ResyncJob, ResyncPorts
from agent.jobs.roles.authorize import AuthorizeRoleJob
from agent.jobs.roles.deauthorize import DeauthorizeRoleJob
from agent.jobs.verify.job import VerifyJob, VerifyPorts
from agent.model.commands import (
    AuthorizeRole,
    Backup,
    Cancel,
    Check,
    DeauthorizeRole,
    Delete,
    Prune,
    Request,
    Restore,
    Resync,
    Verify,
)
from agent.mongo.apply import MongoReplayTarget
from agent.mongo.switch import MongoSwitch
from agent.mongo.target import MongoTarget
from agent.ports import (
    Boards,
    ClusterSource,
    OplogReader,
)
from agent.ports.work import Job, JobContext
from agent.settings import Settings
from agent.wiring.links import Links, patient
from agent.wiring.roles import role_ports
from agent.wiring.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What most of an agent needs."""

    settings: Settings
    links: Links
    source: ClusterSource
    oplog: OplogReader
    clock: Clock
    log: Log


class Workshop:
    """Makes the job of each command."""

    def __init__(self, parts: Parts, stores: Stores, once: Boards, stop: Stop) -> None:
        self._parts = parts
        self._stores = stores
        self._once = once
        self._stop = stop

    def job(self, request: Request, context: JobContext) -> Job:
        """Return the job of a request. Raises: PermanentError ``unknown_storage``."""
        match request:
            case Backup():
                return self._backup(request, context)
            case Restore():
                return self._restore(request, context)
            case Delete():
                return self._delete(request, context)
            case Prune():
                return self._prune(request, context)
            case Resync():
                return self._resync(request, context)
            case Check():
                return self._check(context)
            case AuthorizeRole() | DeauthorizeRole():
                return self._role(request, context)
            case Verify():
                return self._verify(request, context)
            case Cancel():
                raise PermanentError("not_a_job", "a cancel is settled by the coordinator itself")
            case _:
                assert_never(request)

    def _boards(self, context: JobContext) -> Boards:
        """Return boards that try again only while the job's lease is held.

        Another coordinator may have the job by then, and not every write names a token.
        """
        return patient(self._once, self._stop, lambda _error, _number: context.held())

    def _backup(self, request: Backup, context: JobContext) -> Job:
        boards = self._boards(context)
        label, store = self._stores.open(request.storage)
        ports = BackupPorts(
            source=self._parts.source,
            oplog=self._parts.oplog,
            store=store,
            commit_store=self._stores.open_for(label, context),
            label=label,
            board=boards.tasks,
            notes=boards.notes,
            catalogue=boards.catalogue,
            clock=self._parts.clock,
            agent_version=agent.__version__,
            level=self._parts.settings.backup.compression.level,
            log=self._parts.log,
        )
        return BackupJob(context, request, ports)

    def _restore(self, request: Restore, context: JobContext) -> Job:
        boards = self._boards(context)
        _, store = self._stores.open(request.storage)
        loading = self._parts.links.loading
        ports = RestorePorts(
            source=self._parts.source,
            target=MongoTarget(loading),
            switch=MongoSwitch(loading),
            # The primary's version now: nodes are upgraded one by one, under running agents.
            replay=MongoReplayTarget(loading, self._parts.source.identity().server_version),
            store=store,
            notes=boards.notes,
            events=boards.events,
            clock=self._parts.clock,
            control_database=self._parts.settings.control.database,
            workers=self._parts.settings.backup.workers,
            log=self._parts.log,
        )
        return RestoreJob(context, request, ports)

    def _delete(self, request: Delete, context: JobContext) -> Job:
        boards = self._boards(context)
        label, store = self._stores.open(request.storage)
        ports = DeletePorts(
            source=self._parts.source,
            store=store,
            label=label,
            catalogue=boards.catalogue,
            notes=boards.notes,
            log=self._parts.log,
        )
        return DeleteJob(context, request, ports)

    def _prune(self, request: Prune, context: JobContext) -> Job:
        boards = self._boards(context)
        parts = self._parts
        label, _ = self._stores.open(request.storage)
        ports = PrunePorts(
            source=parts.source,
            store=self._stores.open_for(label, context, ends_on_cancel=False),
            label=label,
            main=parts.settings.storage.label,
            schedules=boards.schedules,
            catalogue=boards.catalogue,
            notes=boards.notes,
            now=lambda: min(boards.status.server_now(), parts.clock.now()),
            old_versions=lambda: self._stores.old_versions(label, parts.links.own.replset),
            log=parts.log,
        )
        return PruneJob(context, request, ports)

    def _resync(self, request: Resync, context: JobContext) -> Job:
        boards = self._boards(context)
        labels = (request.storage,) if request.storage else self._stores.labels()
        ports = ResyncPorts(
            source=self._parts.source,
            stores=dict(self._stores.open(label) for label in labels),
            catalogue=boards.catalogue,
            log=self._parts.log,
        )
        return ResyncJob(context, ports)

    def _role(self, request: AuthorizeRole | DeauthorizeRole, context: JobContext) -> Job:
        ports = role_ports(self._parts.settings, self._parts.links, self._stores, context)
        if isinstance(request, AuthorizeRole):
            return AuthorizeRoleJob(context, request, ports)
        return DeauthorizeRoleJob(context, request, ports)

    def _verify(self, request: Verify, context: JobContext) -> Job:
        boards = self._boards(context)
        label, _ = self._stores.open(request.storage)
        ports = VerifyPorts(
            source=self._parts.source,
            store=self._stores.open_for(label, context),
            label=label,
            catalogue=boards.catalogue,
            clock=self._parts.clock,
            workers=self._parts.settings.backup.workers,
            log=self._parts.log,
        )
        return VerifyJob(context, request, ports)

    def _check(self, context: JobContext) -> Job:
        boards = self._boards(context)
        ports = CheckPorts(
            status=boards.status,
            questions=boards.questions,
            clock=self._parts.clock,
            log=self._parts.log,
        )
        return CheckJob(context, ports)
