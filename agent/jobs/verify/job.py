"""The verify command: look at what the manifest names, judge it, write the verdict down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Shared
from agent.core.log import Log
from agent.jobs import manifests
from agent.jobs.verify import records
from agent.jobs.verify.examination import Examination, Found
from agent.model import keys
from agent.model.backups import BackupEntry, instead_of
from agent.model.commands import LATEST, Verify
from agent.model.manifest import Manifest
from agent.model.progress import Progress
from agent.model.verdict import Verdict
from agent.model.verification import GONE, Fault
from agent.ports import (
    BackupCatalogue,
    ClusterSource,
    Job,
    JobContext,
    JobError,
    ObjectStore,
)

# Of what is wrong, so many are named: one cause often harms everything.
MOST_NAMED: Final = 50
_BAD_MANIFEST: Final = "damaged_manifest"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyPorts:
    """The doors of a verify; ``label`` names the storage, ``workers`` is how many threads read."""

    source: ClusterSource
    store: ObjectStore
    label: str
    catalogue: BackupCatalogue
    clock: Clock
    workers: int
    log: Log


class VerifyJob:
    """One ``verify`` command. Begins anew under another coordinator; changes no backup."""

    def __init__(self, context: JobContext, request: Verify, ports: VerifyPorts) -> None:
        self._context = context
        self._request = request
        self._ports = ports
        self._progress = Shared(Progress(phase="planning"))

    def plan(self) -> None:
        """Refuse a backup that neither the storage nor the catalogue knows."""
        if self._entry() is None and not self._is_there():
            raise manifests.unknown(self._backup, self._ports.store)

    @cached_property
    def _backup(self) -> str:
        """The id of the backup; of ``latest``, the one that is the newest when it is asked for.

        It may be one that only the catalogue knows: that its manifest is gone is to be told.
        """
        if self._request.backup != LATEST:
            return self._request.backup
        ports = self._ports
        stored = manifests.backup_ids(ports.store, ports.source.identity().replset)
        listed = [each.backup_id for each in self._entries()]
        return max((*stored, *listed), default=LATEST)

    def progress(self) -> Progress:
        """Return how far the reading is; a listing takes seconds."""
        return self._progress.get()

    def may_cancel(self) -> bool:
        """Nothing is changed: always."""
        return True

    def give_up(self) -> None:
        """Leave everything: there is nothing to undo."""

    def run(self) -> Mapping[str, object]:
        """Look at everything, and write down what was found.

        Raises: JobError ``verify_failed`` with the objects at fault; PermanentError
        ``unknown_backup``, if the backup is deleted meanwhile.
        """
        ports, request = self._ports, self._request
        self._progress.set(Progress(phase="checking"))
        found = self._found()
        is_there = self._is_there()
        if found.faults and not is_there and (found.was_there or self._entry() is None):
            # Deleted meanwhile: a delete takes the manifest first.
            raise manifests.unknown(self._backup, ports.store)
        checked_at = ports.clock.now().replace(microsecond=0)
        verdict = Verdict(depth=request.depth, checked_at=checked_at, is_sound=not found.faults)
        result = _result(self._backup, request, found, checked_at)
        self._record(verdict, result, is_there=is_there)
        ports.log.info(
            "backup verified",
            backup=self._backup,
            depth=request.depth,
            objects=found.objects,
            bad_objects=len(found.faults),
        )
        if not found.faults:
            return result
        raise JobError(
            "verify_failed",
            _sentence(self._backup, found),
            hint=self._hint(),
            result=result,
        )

    def _found(self) -> Found:
        replset = self._ports.source.identity().replset
        manifest = self._manifest(replset)
        if isinstance(manifest, Fault):
            return Found(faults=(manifest,), objects=1, was_there=manifest.what != GONE)
        examination = Examination(
            self._ports.store, self._context, self._ports.workers, self._progress
        )
        return examination.of(manifest, replset, self._backup, self._request.depth)

    def _manifest(self, replset: str) -> Manifest | Fault:
        """Read the manifest; one that is gone or damaged is what is wrong with the backup."""
        key = keys.manifest(replset, self._backup)
        try:
            return manifests.read(self._ports.store, replset, self._backup)
        except PermanentError as error:
            if error.code == "unknown_backup":
                return Fault(key=key, what=GONE)
            if error.code != _BAD_MANIFEST:
                raise
            return Fault(key=key, what=error.message.removeprefix(f"{key}: "))

    def _record(self, verdict: Verdict, result: Mapping[str, object], *, is_there: bool) -> None:
        """Write the verdict into the catalogue and, for a lost cluster, beside the manifest."""
        ports, backup = self._ports, self._backup
        self._context.held()
        self._context.stop.check()
        passing(Point.VERIFY_BEFORE_JUDGED)
        ports.catalogue.judge(backup, ports.label, verdict)
        passing(Point.VERIFY_JUDGED)
        if not is_there:
            return
        replset = ports.source.identity().replset
        try:
            records.store_verdict(ports.store, replset, backup, verdict, result)
        except (PermanentError, TransientError) as error:
            # Keys that may only read are enough to verify.
            ports.log.warning(
                "the storage does not keep the verdict", code=error.code, reason=error.message
            )

    def _is_there(self) -> bool:
        backup = self._backup
        if not keys.is_backup_id(backup):
            return False
        key = keys.manifest(self._ports.source.identity().replset, backup)
        return any(each.key == key for each in self._ports.store.list(key))

    def _entry(self) -> BackupEntry | None:
        return next((each for each in self._entries() if each.backup_id == self._backup), None)

    def _entries(self) -> Sequence[BackupEntry]:
        entries = self._ports.catalogue.entries()
        return [each for each in entries if each.storage == self._ports.label]

    def _hint(self) -> str:
        entry, entries = self._entry(), self._ports.catalogue.entries()
        if entry is None:
            return "make a backup now"
        return instead_of(entry, entries)


def _result(backup: str, request: Verify, found: Found, checked_at: datetime) -> dict[str, object]:
    return {
        "backup": backup,
        "depth": request.depth,
        "checked_at": checked_at,
        "objects": found.objects,
        "stored_bytes": found.stored_bytes,
        "docs": found.docs,
        "bytes": found.bytes,
        "segments": found.segments,
        "replaced_segments": found.replaced_segments,
        "restorable_to": found.restorable_to,
        "bad_objects": len(found.faults),
        "bad": [{"key": each.key, "what": each.what} for each in found.faults[:MOST_NAMED]],
    }


def _sentence(backup: str, found: Found) -> str:
    first, many = found.faults[0], len(found.faults)
    more = f", and {many - 1} more" if many > 1 else ""
    return (
        f"{many} of {found.objects} objects of the backup {backup} are missing or damaged:"
        f" {first.key}: {first.what}{more}"
    )


def _proof(context: JobContext, request: Verify, ports: VerifyPorts) -> Job:
    return VerifyJob(context, request, ports)
