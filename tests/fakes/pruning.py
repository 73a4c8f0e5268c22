"""A storage with backups of several days and the archive between them, and a prune of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.codec import manifest_json
from agent.core import log
from agent.core.flow import Stop
from agent.jobs.prune.job import PruneJob
from agent.jobs.prune.ports import PrunePorts
from agent.model import keys
from agent.model.backups import entry_of
from agent.model.cluster_time import ClusterTime
from agent.model.commands import Prune
from agent.model.manifest import Chunk, Copy, Manifest, Segment, Window
from agent.model.schedules import Mark
from agent.model.timetable import ScheduleRecord, record_of
from agent.ports import JobContext, ObjectStore, OldVersions
from tests.fakes import archive
from tests.fakes.catalogue import collection
from tests.fakes.cluster import MemoryCluster
from tests.fakes.control import MemoryBackups, MemoryNotes
from tests.fakes.store import MemoryStore

BEGIN = datetime(2026, 1, 1, 3, tzinfo=UTC)
DAY = timedelta(days=1)
IDENTITY = MemoryCluster().identity()
REPLSET = IDENTITY.replset
KEEP_TWO: Mapping[str, Any] = {"_id": "nightly", "retention": {"keep_last": 2}}


def at(day: float) -> ClusterTime:
    """Return the cluster time of so many days after the first backup."""
    return ClusterTime(int((BEGIN + day * DAY).timestamp()), 1)


def id_of(day: int) -> str:
    """Return the id of the backup of a day."""
    return keys.backup_id(BEGIN + day * DAY)


class MemoryRules:
    """Documents of schedules that a test changes at will."""

    def __init__(self, *found: Mapping[str, Any]) -> None:
        self.found = list(found)

    def records(self) -> list[ScheduleRecord]:
        """Return them as they are read."""
        return [record_of(each) for each in self.found]

    def mark(self, _record: ScheduleRecord, _mark: Mark) -> bool:
        """Refuse: a prune marks nothing."""
        raise NotImplementedError


@dataclass
class Cellar:
    """A storage, and the control database beside it. ``now`` is an hour after the last day."""

    store: MemoryStore = field(default_factory=MemoryStore)
    days: int = 5
    rules: MemoryRules = field(default_factory=lambda: MemoryRules(KEEP_TWO))
    notes: MemoryNotes = field(default_factory=MemoryNotes)
    catalogue: MemoryBackups = field(default_factory=MemoryBackups)
    cluster: MemoryCluster = field(default_factory=MemoryCluster)
    versions: OldVersions = "none"
    stop: Stop = field(default_factory=Stop)

    def __post_init__(self) -> None:
        """Put a backup on each day, and four segments between two."""
        for day in range(self.days):
            self.backup(day)
            for quarter in range(4):
                self.segment(day + quarter / 4, day + (quarter + 1) / 4)
        self.now = BEGIN + (self.days - 1) * DAY + timedelta(hours=1)

    def backup(self, day: int, **changes: Any) -> str:
        """Put a backup of a day; ``window`` are the ends, in days, of oplog of its own."""
        ends = changes.pop("window", None)
        made = id_of(day)
        shop = collection("shop.orders")
        name = keys.ChunkName(task=0, token=1, sequence=0)
        chunk = keys.chunk(REPLSET, made, shop.namespace, name)
        self.put(chunk, b"12345")
        manifest = Manifest(**{
            "backup_id": made,
            "identity": IDENTITY,
            "agent_version": "0",
            "nodes": (),
            "started_at": BEGIN + day * DAY,
            "finished_at": BEGIN + day * DAY,
            "consistent_at": at(day),
            "oplog_from": at(day),
            "catalogue_at": at(day),
            "copies": (
                Copy(
                    collection=shop,
                    read_at=(at(day),),
                    chunks=(Chunk(key=chunk, docs=1, bytes=5, stored_bytes=5, sha256="0" * 64),),
                ),
            ),
            "window": None if ends is None else self._window(*ends),
            **changes,
        })
        self.put(keys.manifest(REPLSET, made), manifest_json.encode(manifest))
        self.catalogue.put(entry_of(manifest, "main"))
        return made

    def archived_backup(self, number: int) -> str:
        """Put a backup that needs the oplog of `tests.fakes.archive` after its n-th entry."""
        time = archive.time(number)
        made = keys.backup_id(time.wall)
        manifest = Manifest(
            backup_id=made,
            identity=IDENTITY,
            agent_version="0",
            nodes=(),
            started_at=time.wall,
            finished_at=time.wall,
            consistent_at=time,
            oplog_from=time,
            catalogue_at=time,
            copies=(),
            window=None,
        )
        self.put(keys.manifest(REPLSET, made), manifest_json.encode(manifest))
        return made

    def _window(self, begin: float, last: float) -> Window:
        key = self.segment(begin, last)
        segment = Segment(
            key=key,
            begin=at(begin),
            last=at(last),
            entries=1,
            bytes=3,
            stored_bytes=3,
            sha256="0" * 64,
        )
        return Window(begin=at(begin), last=at(last), segments=(segment,))

    def segment(self, begin: float, last: float, replset_id: str = IDENTITY.replset_id) -> str:
        """Put a segment between two days, and return its key."""
        key = keys.segment(REPLSET, replset_id, at(begin), at(last))
        self.put(key, b"123")
        return key

    def leftover(self, day: int, *, age: timedelta) -> str:
        """Put a chunk of a backup without a manifest, written so long ago; return its key."""
        name = keys.ChunkName(task=0, token=1, sequence=0)
        made = keys.backup_id(BEGIN + day * DAY + timedelta(hours=2))
        key = keys.chunk(REPLSET, made, collection("shop.orders").namespace, name)
        self.put(key, b"1234567")
        self.store.modified[key] = self.now - age
        return key

    def put(self, key: str, body: bytes) -> None:
        """Put an object past any fault."""
        self.store.objects[key] = body
        self.store.modified[key] = BEGIN

    def job(
        self, *, dry_run: bool = False, token: int = 1, store: ObjectStore | None = None
    ) -> PruneJob:
        """Make a job, as the coordinator of a token would."""
        ports = PrunePorts(
            source=self.cluster,
            store=store or self.store,
            label="main",
            main="main",
            schedules=self.rules,
            catalogue=self.catalogue,
            notes=self.notes,
            now=lambda: self.now,
            old_versions=lambda: self.versions,
            log=log.get(),
        )
        context = JobContext(
            command_id="c", agent="a:1", token=token, stop=self.stop, held=lambda: None
        )
        return PruneJob(context, Prune(dry_run=dry_run), ports)

    def run(self, *, dry_run: bool = False, store: ObjectStore | None = None) -> dict[str, Any]:
        """Plan and run a job, and return its result."""
        job = self.job(dry_run=dry_run, store=store)
        job.plan()
        return dict(job.run())

    def backups(self) -> list[str]:
        """Return the ids of the backups that have a manifest, oldest first."""
        found = (keys.parse_manifest(key) for key in self.store.objects)
        return sorted(each[1] for each in found if each is not None)

    def oplog(self) -> list[str]:
        """Return the keys of all segments, in order."""
        return sorted(key for key in self.store.objects if "/oplog/" in key)
