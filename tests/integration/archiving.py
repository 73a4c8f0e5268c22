"""An archiver that a test drives, and what it has stored compared with the oplog itself."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from pymongo import WriteConcern

from agent.codec import framing, oplog
from agent.core import log
from agent.core.clock import Clock, SystemClock
from agent.core.errors import AgentError, LeaseLost, PermanentError, Stopped
from agent.core.flow import Stop, WorkerGroup
from agent.jobs import segments
from agent.jobs.archive.archiver import Archiver
from agent.jobs.archive.ports import ArchivePorts, Pace
from agent.model.cluster_time import ClusterTime, Position
from agent.model.coverage import Archived, Span, gaps, spans
from agent.model.leases import ARCHIVER
from agent.model.status import ArchiveReport
from agent.mongo.connect import Client, open_cluster, open_node
from agent.mongo.node_link import NodeLink
from agent.mongo.oplog import MongoOplogReader
from agent.mongo.source import MongoClusterSource
from agent.ports import Batch, ObjectStore, StoredObject
from tests.fakes.control import MemoryControl
from tests.testbed.mongod import Node
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

CONTROL = "backstay"
# No segment is stored only because nothing happened, unless a test asks for it.
NEVER_S = 3600.0


class WatchedTail(MongoOplogReader):
    """An oplog that counts how often and how much was read of it.

    ``until``, where it is not None, is the last time that is there to be read.
    """

    def __init__(self, client: Client, until: ClusterTime | None) -> None:
        super().__init__(NodeLink.over(client))
        self.polls = 0
        self.read_bytes = 0
        self._until = until

    def after(self, position: Position) -> Generator[Batch, None, None]:
        """Count, and read."""
        self.polls += 1
        for batch in super().after(position):
            cut = batch if self._until is None else _cut(batch, self._until)
            self.read_bytes += len(cut.data)
            if cut.docs:
                yield cut


def _cut(batch: Batch, until: ClusterTime) -> Batch:
    entries = [bytes(each) for each in framing.documents(batch.data)]
    kept = [entry for entry in entries if oplog.position(entry).time <= until]
    return Batch(data=b"".join(kept), docs=len(kept))


class FaultyStore:
    """A store that fails with ``error`` while there is one, of all methods or of some.

    Keys in ``hidden`` are not listed; those in ``missing`` are listed and not there.

    ``killed_before`` and ``killed_after`` tell, of a key, whether its put is the last thing that
    the process does.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.error: AgentError | None = None
        self.error_of: dict[str, AgentError] = {}
        self.hidden: set[str] = set()
        self.missing: set[str] = set()
        self.killed_before: Callable[[str], bool] = lambda _key: False
        self.killed_after: Callable[[str], bool] = lambda _key: False
        self.calls: list[str] = []

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Create an object."""
        self._called("put")
        if self.killed_before(key):
            raise KilledError
        self.store.put(key, body)
        if self.killed_after(key):
            raise KilledError

    def get(self, key: str) -> bytes:
        """Return an object."""
        self._called("get")
        if key in self.missing:
            raise PermanentError("object_missing", f"{key} is not in the storage")
        return self.store.get(key)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield objects that are not hidden."""
        self._called("list")
        return (each for each in self.store.list(prefix) if each.key not in self.hidden)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        self._called("delete")
        self.store.delete(keys)

    def probe(self) -> None:
        """Ask the store."""
        self._called("probe")
        self.store.probe()

    def describe(self) -> str:
        """Name the store."""
        return self.store.describe()

    def _called(self, method: str) -> None:
        self.calls.append(method)
        error = self.error or self.error_of.get(method)
        if error is not None:
            raise error


class KilledError(Exception):
    """The process was killed here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HurriedClock:
    """A clock by which ``factor`` seconds pass in one."""

    factor: float
    clock: Clock = field(default_factory=SystemClock)

    def monotonic(self) -> float:
        """Seconds that pass too quickly."""
        return self.factor * self.clock.monotonic()

    def now(self) -> datetime:
        """Wall time, as it is."""
        return self.clock.now()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An archiver in a thread of its own."""

    archiver: Archiver
    tail: WatchedTail
    control: MemoryControl
    group: WorkerGroup
    lease: list[bool]

    @property
    def report(self) -> ArchiveReport:
        """How the archive stands; fails while it has not begun."""
        report = self.archiver.report()
        assert report is not None, "the archive has not begun"
        return report

    @property
    def event_codes(self) -> list[str]:
        """The codes of all events."""
        return [each.code for each in self.control.events.written]

    def begun(self) -> "Running":
        """Wait until it has read the oplog twice, and return itself."""
        eventually(lambda: self.error or self.tail.polls > 1, 20, message="the archive begins")
        assert self.error is None
        return self

    def polls_again(self, times: int = 3) -> None:
        """Wait until it has read the oplog some times more."""
        seen = self.tail.polls
        eventually(lambda: self.tail.polls >= seen + times, 20, message="the oplog is read")

    def reaches(self, time: ClusterTime, timeout_s: float = 20.0) -> None:
        """Wait until everything up to a time is archived."""
        eventually(
            lambda: (self.archiver.report() and self.report.archived_to >= time) or self.error,
            timeout_s,
            0.02,
            f"{time} is archived",
        )
        assert self.error is None

    def lose_the_lease(self) -> None:
        """Let it find that its lease is lost."""
        self.lease[0] = False

    @property
    def error(self) -> BaseException | None:
        """What it ended with."""
        return self.group.error

    def end(self) -> BaseException | None:
        """Stop it, and return what it ended with if that was not the stop."""
        self.group.stop.set("the test ends it")
        with suppress(AgentError, KilledError):
            assert self.group.join(20), "it does not end"
        return None if isinstance(self.error, Stopped) else self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A replica set whose oplog is archived into a store, and a user who writes."""

    replica_set: ReplicaSet
    user: Client
    store: ObjectStore
    source: MongoClusterSource

    @contextmanager
    def archiver(
        self,
        node: Node | None = None,
        *,
        store: ObjectStore | None = None,
        clock: Clock | None = None,
        pace: Pace | None = None,
        until: ClusterTime | None = None,
        wanted_from: Callable[[], ClusterTime | None] = lambda: None,
    ) -> Iterator[Running]:
        """Archive the oplog of a node, or of the primary, until the context ends."""
        with open_node((node or self.replica_set.primary()).uri) as client:
            tail = WatchedTail(client, until)
            control = MemoryControl(SystemClock())
            ports = ArchivePorts(
                identity=self.source.identity(),
                source=self.source,
                tail=tail,
                store=store or self.store,
                events=control.events,
                wanted_from=wanted_from,
                control_database=CONTROL,
                pace=pace or a_pace(),
                clock=clock or SystemClock(),
                log=log.get(),
            )
            lease = [True]

            def held() -> None:
                if not lease[0]:
                    raise LeaseLost(ARCHIVER)

            group = WorkerGroup("archiver", Stop())
            archiver = Archiver(ports)
            running = Running(
                archiver=archiver, tail=tail, control=control, group=group, lease=lease
            )
            group.start(lambda: archiver.run(group.stop, held), "run")
            try:
                yield running
            finally:
                running.end()

    def note(self) -> ClusterTime:
        """Write a note that is later than everything acknowledged, and return its time."""
        return self.source.write_note("here")

    def mark(self) -> ClusterTime:
        """Write something that is worth an upload, and return its time."""
        with self.user.start_session() as session:
            marks = self.user["shop"].get_collection(
                "marks", write_concern=WriteConcern("majority", wtimeout=30_000)
            )
            marks.insert_one({}, session=session)
            time = session.operation_time
            assert time is not None
            return ClusterTime(time.time, time.inc)

    def segments(self) -> tuple[Archived, ...]:
        """Return what a listing shows of this replica set, by end."""
        identity = self.source.identity()
        listed = segments.listed(self.store, identity.replset)
        assert set(listed) <= {identity.replset_id}
        own = listed.get(identity.replset_id, ())
        return tuple(sorted(own, key=lambda segment: (segment.last, segment.begin)))

    def spans(self) -> tuple[Span, ...]:
        """Return what the archive covers."""
        return spans(self.segments())

    def gaps(self) -> tuple[Span, ...]:
        """Return what it misses in between."""
        return gaps(self.spans())

    def entries_of(self, segment: Archived) -> list[bytes]:
        """Return the raw entries of a segment."""
        return [
            bytes(each)
            for part in segments.parts(self.store.get(segment.key), segment)
            for each in framing.documents(part)
        ]

    def check(self, node: Node | None = None) -> Span:
        """Check that there is no gap, and that each segment is what the oplog of a node holds.

        Returns what is covered.
        """
        (whole,) = self.spans()
        with open_node((node or self.replica_set.primary()).uri) as client:
            reader = MongoOplogReader(NodeLink.over(client))
            real = [
                bytes(each)
                for batch in reader.read(whole.begin, whole.last)
                for each in framing.documents(batch.data)
            ]
        times = [oplog.position(each).time for each in real]
        for segment in self.segments():
            expected = [
                entry
                for time, entry in zip(times, real, strict=True)
                if segment.begin < time <= segment.last
            ]
            assert expected == self.entries_of(segment), f"{segment.key} is not the oplog's"
        return whole


def a_pace(
    interval_s: float = 0.05,
    *,
    segment_bytes: int = 1_048_576,
    level: int = 1,
    idle_s: float = NEVER_S,
) -> Pace:
    """Return a pace for tests that do not want to wait."""
    return Pace(interval_s=interval_s, segment_bytes=segment_bytes, level=level, idle_s=idle_s)


@contextmanager
def staged(replica_set: ReplicaSet, store: ObjectStore) -> Iterator[Stage]:
    """Archive a replica set into a store, for a test."""
    hosts = [each.address for each in replica_set.data_nodes()]
    with open_cluster(f"mongodb://{hosts[0]}/", hosts, replica_set.spec.name) as cluster:
        source = MongoClusterSource(cluster, control_database=CONTROL, stop=Stop())
        user = replica_set.client()
        yield Stage(replica_set=replica_set, user=user, store=store, source=source)
