"""What tests of the restore share: a backup made by hand, and a job that restores it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from agent.codec import manifest_json
from agent.codec.zstd import ChunkCompressor
from agent.core import log
from agent.core.clock import SystemClock
from agent.core.flow import Stop
from agent.jobs.backup.window import WindowPlace, WindowRecorder
from agent.jobs.restore.job import RestoreJob
from agent.jobs.restore.ports import RestorePorts
from agent.model import keys
from agent.model.catalogue import Collection
from agent.model.cluster_time import ClusterTime
from agent.model.commands import Restore
from agent.model.manifest import Chunk, Copy, Manifest, Segment
from agent.model.names import Namespace
from agent.mongo.apply import MongoReplayTarget
from agent.mongo.node_link import NodeLink
from agent.mongo.oplog import MongoOplogReader
from agent.mongo.source import MongoClusterSource
from agent.mongo.switch import MongoSwitch
from agent.mongo.target import MongoTarget
from agent.ports import JobContext, RestoreTarget, SwitchTarget
from tests.fakes.control import MemoryEvents, MemoryNotes
from tests.fakes.store import MemoryStore
from tests.testbed.clients import Client

CONTROL = "backstay"
STARTED = datetime(2026, 11, 21, 20, 15, 12, tzinfo=UTC)
BACKUP = "20261121T201512Z"
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(RawBSONDocument)


@dataclass(kw_only=True)
class Desk:
    """A replica set to restore to, with a storage and the notes of its jobs in memory."""

    client: Client
    store: MemoryStore = field(default_factory=MemoryStore)
    notes: MemoryNotes = field(default_factory=MemoryNotes)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    target: RestoreTarget | None = None
    switch: SwitchTarget | None = None
    workers: int = 4
    segments: list[Segment] = field(default_factory=list)
    archived_to: ClusterTime = field(default_factory=lambda: ClusterTime(0, 0))

    @property
    def source(self) -> MongoClusterSource:
        """The adapter that lists what is there."""
        return MongoClusterSource(self.client, control_database=CONTROL, stop=Stop())

    def job(self, token: int = 1, stop: Stop | None = None, **options: Any) -> RestoreJob:
        """Make a job for a restore command with these options."""
        context = JobContext(
            command_id="restore-1", agent="a:1", token=token, stop=stop or Stop(), held=_held
        )
        ports = RestorePorts(
            source=self.source,
            target=self.target or MongoTarget(self.client),
            switch=self.switch or MongoSwitch(self.client),
            store=self.store,
            notes=self.notes,
            events=self.events,
            replay=MongoReplayTarget(self.client, self.source.identity().server_version),
            clock=SystemClock(),
            control_database=CONTROL,
            workers=self.workers,
            log=log.get(),
        )
        return RestoreJob(context, Restore.model_validate(options), ports)

    def restore(self, token: int = 1, **options: Any) -> Mapping[str, object]:
        """Plan and run a restore."""
        job = self.job(token, **options)
        job.plan()
        return job.run()

    def backup(
        self, *, chunk_docs: int = 1000, namespaces: tuple[str, ...] = (), backup_id: str = BACKUP
    ) -> Manifest:
        """Copy everything that is there now into the storage; nobody may write meanwhile."""
        identity = self.source.identity()
        at = self.source.write_note("a backup by hand")
        copies = tuple(
            self._copy(backup_id, number, each, chunk_docs)
            for number, each in enumerate(self.source.collections())
        )
        manifest = Manifest(
            backup_id=backup_id,
            identity=identity,
            agent_version="0",
            nodes=("a:1",),
            started_at=STARTED,
            finished_at=STARTED,
            consistent_at=at,
            oplog_from=at,
            catalogue_at=at,
            copies=tuple(
                Copy(
                    collection=each.collection,
                    read_at=(at,) if each.collection.has_data else (),
                    chunks=each.chunks,
                )
                for each in copies
            ),
            window=None,
            namespaces=namespaces,
        )
        self.put(manifest)
        self.archived_to = max(self.archived_to, at)
        return manifest

    def archive(self, last: ClusterTime | None = None, *, begin: ClusterTime | None = None) -> None:
        """Store the oplog since the last call, or after ``begin``, as one segment.

        Up to and with an entry's time; by itself up to now.
        """
        identity = self.source.identity()
        last = last or self.source.write_note("a segment by hand")
        begin = begin or self.archived_to
        recorder = WindowRecorder(
            WindowPlace(
                store=self.store,
                replset=identity.replset,
                replset_id=identity.replset_id,
                level=1,
                held=lambda: None,
                log=log.get(),
            ),
            MongoOplogReader(NodeLink.over(self.client)),
            begin,
            (),
        )
        recorder.advance(last)
        self.segments += recorder.window().segments
        self.archived_to = last

    def put(self, manifest: Manifest) -> None:
        """Store a manifest in place of an earlier one of its id."""
        key = keys.manifest(manifest.identity.replset, manifest.backup_id)
        self.store.objects[key] = manifest_json.encode(manifest)

    def _copy(self, backup_id: str, task: int, collection: Collection, chunk_docs: int) -> Copy:
        documents = raw_documents(self.client, collection.namespace) if collection.has_data else []
        chunks = []
        for sequence, begin in enumerate(range(0, len(documents), chunk_docs)):
            compressor = ChunkCompressor(1)
            part = documents[begin : begin + chunk_docs]
            compressor.add(b"".join(part), len(part))
            done = compressor.finish()
            name = keys.ChunkName(task=task, token=1, sequence=sequence)
            key = keys.chunk(self.source.identity().replset, backup_id, collection.namespace, name)
            self.store.put(key, done.body)
            chunks.append(
                Chunk(
                    key=key,
                    docs=done.docs,
                    bytes=done.bytes,
                    stored_bytes=done.stored_bytes,
                    sha256=done.sha256,
                )
            )
        return Copy(collection=collection, read_at=(), chunks=tuple(chunks))


def raw_documents(client: Client, namespace: Namespace) -> list[bytes]:
    """Return all documents of a collection byte for byte, in natural order."""
    collection: Any = client.get_database(namespace.database, codec_options=_RAW)[
        namespace.collection
    ]
    return [bytes(each.raw) for each in collection.find().sort("$natural", 1)]


def temporaries(client: Client) -> Sequence[Namespace]:
    """Return what restores have left behind."""
    return MongoTarget(client).temporaries()


def drop_all(client: Client) -> None:
    """Drop users' databases."""
    for name in client.list_database_names():
        if name not in {"admin", "config", "local", CONTROL}:
            client.drop_database(name)


def _held() -> None:
    """Hold for ever: these tests have one coordinator."""
