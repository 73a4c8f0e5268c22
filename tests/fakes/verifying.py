"""A verify that a test drives, and every damage that it is to name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.core import log
from agent.core.errors import LeaseLost
from agent.core.flow import Stop
from agent.jobs.verify.job import VerifyJob, VerifyPorts
from agent.model.backups import entry_of
from agent.model.commands import Verify
from agent.model.verdict import Depth
from agent.ports import JobContext, JobError, ObjectStore
from tests.fakes.clock import VirtualClock
from tests.fakes.cluster import MemoryCluster
from tests.fakes.control import MemoryBackups
from tests.fakes.stored_backup import BACKUP, OTHER, StoredBackup

LABEL = "main"


class Verifying:
    """One backup in a store and in the catalogue."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.stored = StoredBackup(store)
        self.clock = VirtualClock()
        self.catalogue = MemoryBackups()
        self.catalogue.put(entry_of(self.stored.manifest, LABEL))
        self.stop = Stop()
        self.may_act = True

    def job(self, depth: Depth = "objects", backup: str = BACKUP) -> VerifyJob:
        """Make a job."""

        def held() -> None:
            if not self.may_act:
                raise LeaseLost("coordinator")

        context = JobContext(command_id="c", agent="a:1", token=1, stop=self.stop, held=held)
        ports = VerifyPorts(
            source=MemoryCluster(),
            store=self.store,
            label=LABEL,
            catalogue=self.catalogue,
            clock=self.clock,
            workers=2,
            log=log.get(),
        )
        return VerifyJob(context, Verify(backup=backup, depth=depth), ports)

    def run(self, depth: Depth = "objects") -> Mapping[str, Any]:
        """Verify, and return the result, also of a backup that is not sound."""
        job = self.job(depth)
        job.plan()
        try:
            return job.run()
        except JobError as error:
            if error.code != "verify_failed" or not error.hint:
                raise
            return error.result


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Something that is done to a backup, and what is to be said of which object."""

    name: str
    do: Callable[[StoredBackup], object]
    key: Callable[[StoredBackup], str]
    what: str
    by_listing: bool = True


def _chunk(stored: StoredBackup) -> str:
    return stored.chunks[0].key


def _segment(stored: StoredBackup) -> str:
    return stored.segments[0].key


def _manifest(stored: StoredBackup) -> str:
    return stored.manifest_key


def _cut(key: Callable[[StoredBackup], str]) -> Callable[[StoredBackup], None]:
    return lambda stored: stored.replace(key(stored), stored.store.get(key(stored))[:-1])


def _lengthened(key: Callable[[StoredBackup], str]) -> Callable[[StoredBackup], None]:
    return lambda stored: stored.replace(key(stored), stored.store.get(key(stored)) + b"\0")


def _two(stored: StoredBackup) -> tuple[str, str]:
    return stored.chunks[0].key, stored.chunks[2].key


DAMAGES = (
    Damage(
        name="a chunk is gone",
        do=lambda stored: stored.store.delete([_chunk(stored)]),
        key=_chunk,
        what="it is not there",
    ),
    Damage(name="a chunk is cut off", do=_cut(_chunk), key=_chunk, what="it is cut off"),
    Damage(
        name="a chunk is empty",
        do=lambda stored: stored.replace(_chunk(stored), b""),
        key=_chunk,
        what="it is empty",
    ),
    Damage(
        name="a chunk goes on", do=_lengthened(_chunk), key=_chunk, what="it has bytes too many"
    ),
    Damage(
        name="a bit of a chunk",
        do=lambda stored: stored.damage(_chunk(stored)),
        key=_chunk,
        what="its bytes were changed",
        by_listing=False,
    ),
    Damage(
        name="two chunks are swapped",
        do=lambda stored: stored.swap(*_two(stored)),
        key=_chunk,
        what="it holds what belongs into rs/backups/20261121T201512Z/data/shop/items/",
    ),
    Damage(
        name="a segment is gone",
        do=lambda stored: stored.store.delete([_segment(stored)]),
        key=_segment,
        what="it is not there",
    ),
    Damage(name="a segment is cut off", do=_cut(_segment), key=_segment, what="it is cut off"),
    Damage(
        name="a bit of a segment",
        do=lambda stored: stored.damage(_segment(stored)),
        key=_segment,
        what="its bytes were changed",
        by_listing=False,
    ),
    Damage(
        name="the manifest is gone",
        do=lambda stored: stored.store.delete([_manifest(stored)]),
        key=_manifest,
        what="it is not there",
    ),
    Damage(
        name="the manifest is cut off",
        do=lambda stored: stored.replace(
            _manifest(stored), stored.store.get(_manifest(stored))[:-10]
        ),
        key=_manifest,
        what="JSON",
    ),
    Damage(
        name="the manifest is empty",
        do=lambda stored: stored.replace(_manifest(stored), b""),
        key=_manifest,
        what="JSON",
    ),
    Damage(
        name="the manifest is another backup's",
        do=lambda stored: stored.replace(
            _manifest(stored), stored.store.get(_manifest(StoredBackup(stored.store, OTHER)))
        ),
        key=_manifest,
        what=f"it is the manifest of another backup, {OTHER}",
    ),
)
