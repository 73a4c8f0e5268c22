"""What tests of the replay share: copies of a source, its oplog, and the comparison at the end."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from bson.timestamp import Timestamp

from agent.codec.definitions import traits_of
from agent.codec.oplog import OPTIONS
from agent.core.flow import Stop
from agent.jobs.replay import ReplayLimits, ReplayResult, replay
from agent.jobs.workspace import Piece, Workspace
from agent.model.catalogue import Collection
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace, is_backed_up
from agent.mongo.apply import MongoReplayTarget
from agent.mongo.target import MongoTarget
from agent.ports import Batch
from tests.testbed.clients import Client

RAW: CodecOptions[RawBSONDocument] = OPTIONS
_CONTROL = "backstay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """All that must be equal: hashed documents, options, expiry and indexes by name."""

    docs: int
    content: str
    options: Mapping[str, Any]
    ttl_s: int | None
    indexes: Mapping[str, Any]


class Source:
    """A replica set seen as the source of a backup, and as the target of its replay."""

    def __init__(self, client: Client, version: str = "6.0.5") -> None:
        self.client = client
        self.target = MongoReplayTarget(client, version)
        self.loader = MongoTarget(client)

    def now(self) -> ClusterTime:
        """Write a note and return its time."""
        answer = self.client.admin.command({
            "appendOplogNote": 1,
            "data": {"test": 1},
            "writeConcern": {"w": "majority"},
        })
        return cluster_time(answer["operationTime"])

    def collections(self) -> Iterator[Collection]:
        """List what a backup would hold, temporary collections of a restore left out."""
        for database in self.client.list_database_names():
            for entry in self.listed(database):
                namespace = Namespace(database, entry["name"])
                if entry["type"] != "collection" or not is_backed_up(namespace, _CONTROL):
                    continue
                yield Collection(
                    namespace=namespace,
                    kind="collection",
                    uuid=bytes(entry["info"]["uuid"]),
                    options=bytes(entry["options"].raw),
                    indexes=self.indexes(namespace),
                    traits=traits_of(entry["options"]),
                )

    def listed(self, database: str) -> list[RawBSONDocument]:
        """Return what listCollections says, raw, but for temporary collections."""
        found = self._raw(database, "listCollections")
        return [each for each in found if not each["options"].get("temp")]

    def indexes(self, namespace: Namespace) -> tuple[bytes, ...]:
        """Return the finished indexes of a collection, raw."""
        command = {"listIndexes": namespace.collection}
        return tuple(bytes(each.raw) for each in self._raw(namespace.database, command))

    def documents(self, namespace: Namespace, at: ClusterTime | None = None) -> list[bytes]:
        """Return a collection's raw documents, of now or of an earlier time."""
        command: dict[str, Any] = {"find": namespace.collection, "batchSize": 100_000}
        if at is not None:
            stamp = Timestamp(at.seconds, at.increment)
            command["readConcern"] = {"level": "snapshot", "atClusterTime": stamp}
        return [bytes(each.raw) for each in self._raw(namespace.database, command)]

    def _raw(self, name: str, command: str | dict[str, Any]) -> Iterator[RawBSONDocument]:
        # The database's own options are what later batches of the cursor are read with.
        database = self.client.get_database(name, codec_options=RAW)
        found = database.cursor_command(command, codec_options=RAW)
        yield from cast("Iterable[RawBSONDocument]", found)

    def copy(self, workspace: Workspace, collection: Collection, at: ClusterTime) -> Piece:
        """Copy a collection as it was at a time; a capped one as it is now."""
        piece = workspace.add(collection, at)
        self.loader.create(piece.place, collection)
        is_capped = collection.traits.is_capped
        documents = self.documents(collection.namespace, None if is_capped else at)
        if documents:
            self.loader.load(piece.place, b"".join(documents), in_order=is_capped, again=False)
        return piece

    def copy_all(self, at: ClusterTime, token: int = 1) -> Workspace:
        """Copy everything at one time."""
        workspace = Workspace(token)
        for collection in tuple(self.collections()):
            self.copy(workspace, collection, at)
        return workspace

    def oplog(self, begin: ClusterTime, *, seed: int = 1) -> list[Batch]:
        """Return all entries after a time, cut at random borders."""
        oplog = self.client.get_database("local", codec_options=RAW)["oplog.rs"]
        after = {"ts": {"$gt": Timestamp(begin.seconds, begin.increment)}}
        found = cast("Iterable[RawBSONDocument]", oplog.find(after).sort("$natural", 1))
        entries = [bytes(each.raw) for each in found]
        return list(cut(entries, seed))

    def replay(
        self,
        workspace: Workspace,
        begin: ClusterTime,
        until: ClusterTime,
        *,
        consistent_at: ClusterTime | None = None,
        batches: Iterable[Batch] | None = None,
    ) -> ReplayResult:
        """Replay the oplog after ``begin`` into a workspace that was copied from then on."""
        limits = ReplayLimits(
            until=until,
            tolerate_missing_until=consistent_at or begin,
            catalogue_at=begin,
            selects=lambda namespace: is_backed_up(namespace, _CONTROL),
        )
        entries = self.oplog(begin) if batches is None else batches
        return replay(entries, workspace, self.target, limits, Stop())

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every collection of the source, by name."""
        return {
            str(each.namespace): self.shape(each.namespace, each) for each in self.collections()
        }

    def shape(self, namespace: Namespace, collection: Collection) -> Shape:
        """Return how a collection is now, with indexes and expiry as ``collection`` says."""
        return _shape(
            self.documents(namespace),
            self._options(namespace),
            collection.indexes,
            collection.traits.ttl_s,
        )

    def rebuilt(self, workspace: Workspace) -> dict[str, Shape]:
        """Return the shape of every piece, by the name that it will have."""
        return {
            str(piece.collection.namespace): _shape(
                self.documents(piece.place),
                self._options(piece.place),
                piece.collection.indexes,
                piece.ttl_s,
            )
            for piece in workspace
        }

    def places(self) -> set[str]:
        """Return the names of all temporary collections."""
        return {str(place) for place in self.loader.temporaries()}

    def _options(self, namespace: Namespace) -> dict[str, Any]:
        entries = {each["name"]: each for each in self.listed(namespace.database)}
        return bson.decode(entries[namespace.collection]["options"].raw)


def cut(entries: list[bytes], seed: int = 1) -> Iterator[Batch]:
    """Yield entries in batches of random lengths."""
    chance = random.Random(seed)
    begin = 0
    while begin < len(entries):
        end = begin + chance.randint(1, 200)
        run = entries[begin:end]
        yield Batch(data=b"".join(run), docs=len(run))
        begin = end


def cluster_time(stamp: Timestamp) -> ClusterTime:
    """Return a BSON timestamp as a cluster time."""
    return ClusterTime(stamp.time, stamp.inc)


def _shape(
    documents: list[bytes],
    options: dict[str, Any],
    indexes: tuple[bytes, ...],
    ttl_s: int | None,
) -> Shape:
    digest = hashlib.sha256()
    is_capped = bool(options.get("capped"))
    # The order of a capped collection is part of the data.
    for document in documents if is_capped else sorted(documents):
        digest.update(document)
    options.pop("expireAfterSeconds", None)
    specs = {spec["name"]: spec for spec in map(bson.decode, indexes) if not spec.get("clustered")}
    return Shape(
        docs=len(documents),
        content=digest.hexdigest(),
        options=options,
        ttl_s=ttl_s,
        indexes=specs,
    )
