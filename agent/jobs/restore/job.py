"""The restore command: plan, build beside what exists, switch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from agent.core.crash import Point, passing
from agent.core.errors import AgentError, LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Shared, Stop
from agent.core.retry import RetryPolicy, retry
from agent.jobs.restore.check import check_counts
from agent.jobs.restore.crew import Crew
from agent.jobs.restore.gather import gather, replanned
from agent.jobs.restore.indexes import Indexing
from agent.jobs.restore.load import Loading
from agent.jobs.restore.objects import require_all
from agent.jobs.restore.oplog import renewed, replay_oplog
from agent.jobs.restore.ports import RestorePorts
from agent.jobs.restore.preparation import check_matches, drop_unwanted, prepare
from agent.jobs.restore.record import SwitchRecord, ended_notes, record_of, result_of
from agent.jobs.restore.result import result_of_build
from agent.jobs.restore.room import await_room, check_room
from agent.jobs.restore.switch import Switch
from agent.jobs.workspace import Workspace
from agent.model.commands import Restore
from agent.model.names import temporary_token
from agent.model.progress import Phase, Progress
from agent.model.restore_plan import RestorePlan
from agent.ports import CANCELED, Job, JobContext

_CLEANING: Final = RetryPolicy(limit_s=60.0)


class RestoreJob:
    """One ``restore`` command."""

    def __init__(self, context: JobContext, request: Restore, ports: RestorePorts) -> None:
        self._context = context
        self._request = request
        self._ports = ports
        self._plan: RestorePlan | None = None
        self._progress = Shared(Progress(phase="planning"))
        self._may_cancel = Shared(True)

    def plan(self) -> None:
        """Decide everything; a switch that has begun was decided long ago."""
        if self._switching() is None:
            self._plan = gather(self._request, self._ports)
            check_room(self._plan.stored_bytes, self._ports.target.free_bytes)

    def progress(self) -> Progress:
        """Return how far the restore is."""
        return self._progress.get()

    def may_cancel(self) -> bool:
        """Until the switch begins, everything can be undone."""
        return self._may_cancel.get()

    def run(self) -> Mapping[str, object]:
        """Do the restore, or finish the switch that an earlier coordinator began."""
        result = self._switched()
        if result is not None:
            self._clean()
            return result
        record = self._switching()
        if record is not None:
            return self._finish(record)
        plan = self._plan or gather(self._request, self._ports)
        if self._request.dry_run:
            return {"plan": plan.document()}
        try:
            record = self._build_all(plan)
        except PermanentError:
            self._clean()
            raise
        except Stopped:
            if self._context.stop.reason == CANCELED:
                self._clean()
            raise
        return self._finish(record)

    def give_up(self) -> None:
        """Remove temporary collections, unless the switch has begun: then there is no way back."""
        if self._may_cancel.get():
            self._clean()

    def _switching(self) -> SwitchRecord | None:
        record = record_of(self._noted())
        if record is not None:
            self._may_cancel.set(False)
        return record

    def _switched(self) -> Mapping[str, object] | None:
        """Return the result if an earlier run has made the whole switch.

        Its temporary collections may be gone by now, and with them what a step would need: no
        step may be made again.
        """
        result = result_of(self._noted())
        if result is not None:
            self._may_cancel.set(False)
        return result

    def _noted(self) -> Mapping[str, object] | None:
        try:
            return self._ports.notes.load(self._context.command_id)
        except TransientError as error:
            # Whether a switch has begun is unknown: this must not count as a failed restore.
            raise LeaseLost("coordinator") from error

    def _enter(self, phase: Phase) -> None:
        self._context.held()
        self._context.stop.check()
        self._progress.update(lambda old: replace(old, phase=phase))
        self._ports.log.info("restore enters", phase=phase)

    def _build_all(self, plan: RestorePlan) -> SwitchRecord:
        """Build; and again, by a better plan, if the replay met collections that it lacked."""
        unfit: set[str] = set()
        while True:
            try:
                return self._build(plan)
            except PermanentError as error:
                better = replanned(plan, self._request, self._ports, error, unfit)
                if better is None:
                    raise
                self._ports.log.info("restore begins anew", reason=error.message)
                plan = better

    def _build(self, plan: RestorePlan) -> SwitchRecord:
        """Build everything in temporary collections, and write down the switch to come."""
        context, ports, wish = self._context, self._ports, plan.wish
        self._remove_temporaries()
        # After a death, or with a better plan: what was loaded before may still take its room.
        await_room(plan.stored_bytes, ports.target.free_bytes, context.stop)
        require_all(ports.store, plan)
        plan = renewed(plan, ports)
        crew = Crew(workers=ports.workers, stop=context.stop, held=context.held)
        workspace = Workspace(context.token, lambda name: wish.target(name) or name)
        self._progress.set(Progress(phase="loading", total_bytes=plan.bytes, total_docs=plan.docs))
        self._enter("loading")
        loading = Loading(crew, context.stop, ports, self._progress)
        loading.run(plan.copies, workspace, plan.manifest.catalogue_at)
        self._enter("checking")
        check_counts(crew, context.stop, ports.target, plan.copies, workspace)
        if plan.goal.stretch is not None:
            self._enter("replaying")
        replayed = replay_oplog(plan, ports, workspace, context, self._progress)
        if plan.goal.stretch is not None:
            drop_unwanted(ports, workspace, wish)
            check_matches(ports, workspace, wish)
        self._enter("indexing")
        passing(Point.RESTORE_BEFORE_INDEXES)
        indexing = Indexing(crew, context.stop, ports.target, workspace)
        indexing.build_plain(hold_ttl=wish.hold_ttl)
        version = ports.source.identity().server_version
        result = result_of_build(plan, workspace, replayed, version)
        record = prepare(ports, plan, workspace, result)
        if not wish.hold_ttl:
            indexing.build_ttl()
        self._begin_switch(record)
        return record

    def _begin_switch(self, record: SwitchRecord) -> None:
        """Pass the point of no return: first no more cancelling, then the written record."""
        self._may_cancel.set(False)
        try:
            self._enter("switching")
            passing(Point.SWITCH_BEFORE_NOTED)
            retry(lambda: self._write_down(record), policy=_CLEANING, stop=Stop())
            passing(Point.SWITCH_NOTED)
        except TransientError as error:
            # Unknown whether it was written: whoever comes next sees, and acts on that.
            raise LeaseLost("coordinator") from error

    def _write_down(self, record: SwitchRecord) -> None:
        """Tell people first: from here on, some data may be new and some old."""
        self._context.tell()
        context = self._context
        self._ports.notes.save(context.command_id, context.token, record.notes())

    def _finish(self, record: SwitchRecord) -> Mapping[str, object]:
        self._progress.update(lambda old: replace(old, phase="switching"))
        switch = Switch(self._context, self._ports, record)
        try:
            switch.run()
        except TransientError as error:
            raise LeaseLost("coordinator") from error
        except PermanentError as error:
            told = self._told(switch, record, error)
            self._clean()
            raise told from error
        self._note_the_end(record)
        self._clean()
        return record.result

    def _note_the_end(self, record: SwitchRecord) -> None:
        """Write down that all is switched, before what the switch works with is removed."""
        passing(Point.SWITCH_BEFORE_END_NOTED)
        try:
            self._ports.notes.save(
                self._context.command_id, self._context.token, ended_notes(record)
            )
            passing(Point.SWITCH_END_NOTED)
        except TransientError as error:
            raise LeaseLost("coordinator") from error

    def _told(self, switch: Switch, record: SwitchRecord, error: PermanentError) -> PermanentError:
        """Say with the error how far the switch had come: it cannot be undone."""
        try:
            names = switch.in_place()
        except TransientError:
            names = []
        done = f"{len(names)} of {len(record.moves)} collections are switched already"
        shown = f": {', '.join(names[:10])}" if names else ""
        return PermanentError(
            error.code, f"{error.message}; {done}{shown}", hint=error.hint, switched=names
        )

    def _clean(self) -> None:
        """Remove temporary collections, also when the job's own stop is set."""
        self._context.held()
        self._progress.update(lambda old: replace(old, phase="cleaning"))
        try:
            retry(self._remove_temporaries, policy=_CLEANING, stop=Stop())
        except AgentError as error:
            # The next restore removes them: the outcome of this one does not depend on it.
            if isinstance(error, LeaseLost):
                raise
            self._ports.events.write(
                "warning",
                "temporaries_left",
                f"temporary collections of a restore could not be removed: {error.message}",
            )

    def _remove_temporaries(self) -> None:
        """Drop what restores left behind, except those of a newer coordinator."""
        for place in self._ports.target.temporaries():
            token = temporary_token(place)
            if token is not None and token <= self._context.token:
                self._context.held()
                self._ports.target.drop(place)
                passing(Point.RESTORE_CLEANING)


def _proof(context: JobContext, request: Restore, ports: RestorePorts) -> Job:
    return RestoreJob(context, request, ports)
