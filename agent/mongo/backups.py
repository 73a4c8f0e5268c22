"""The backups collection: the catalogue as people see it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bson import Int64
from pymongo import DeleteMany, ReplaceOne
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.model.backups import BackupEntry
from agent.model.verdict import DEPTHS, Verdict
from agent.mongo.connect import Document
from agent.mongo.control import BACKUPS
from agent.mongo.documents import cluster_time, readable, timestamp
from agent.mongo.errors import translated
from agent.ports import BackupCatalogue

_WORDS: Final = {True: "sound", False: "damaged"}


class MongoBackups:
    """One document for each backup in each storage."""

    def __init__(self, database: Database[Document]) -> None:
        self._backups: Collection[Document] = database[BACKUPS]

    @translated()
    def entries(self) -> Sequence[BackupEntry]:
        """Return all entries, oldest consistent time first.

        One that cannot be read, of another version or changed by hand, is as if not there:
        a resync writes it anew.
        """
        found = self._backups.find().sort([("consistent_at", 1), ("_id", 1)])
        return list(readable(_entry, found))

    @translated()
    def put(self, entry: BackupEntry) -> None:
        """Add or replace an entry."""
        document = _document(entry)
        self._backups.replace_one({"_id": document["_id"]}, document, upsert=True)

    @translated()
    def remove(self, backup_id: str, storage: str) -> None:
        """Remove an entry; no error if there is none."""
        self._backups.delete_one({"_id": _key(backup_id, storage)})

    @translated()
    def replace(self, storage: str, entries: Sequence[BackupEntry]) -> None:
        """Make the entries of one storage be exactly these."""
        documents = [_document(entry) for entry in entries]
        kept = [document["_id"] for document in documents]
        self._backups.bulk_write([
            *(ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in documents),
            DeleteMany({"storage": storage, "_id": {"$nin": kept}}),
        ])

    @translated()
    def judge(self, backup_id: str, storage: str, verdict: Verdict) -> None:
        """Write down what verifying a backup found, unless a newer look was as deep."""
        field = f"verified.{verdict.depth}"
        self._backups.update_one(
            {
                "_id": _key(backup_id, storage),
                # Not less than: no answer is as if there were none.
                f"{field}.checked_at": {"$not": {"$gt": verdict.checked_at}},
            },
            {"$set": {field: _judged(verdict)}},
        )


def _judged(verdict: Verdict) -> Document:
    return {"verdict": _WORDS[verdict.is_sound], "checked_at": verdict.checked_at}


def _verdicts(found: Mapping[str, Any]) -> Iterator[Verdict]:
    """Yield what an entry says of itself; one that an older agent wrote says nothing."""
    verified = found.get("verified", {})
    for depth in DEPTHS:
        if depth in verified:
            yield Verdict(
                depth=depth,
                checked_at=verified[depth]["checked_at"],
                is_sound=verified[depth]["verdict"] == _WORDS[True],
            )


def _key(backup_id: str, storage: str) -> Document:
    return {"id": backup_id, "storage": storage}


def _document(entry: BackupEntry) -> Document:
    return {
        "_id": _key(entry.backup_id, entry.storage),
        "backup": entry.backup_id,
        "storage": entry.storage,
        "replset_id": entry.replset_id,
        "consistent_at": timestamp(entry.consistent_at),
        "consistent_at_wall": entry.consistent_at.wall,
        "oplog_from": timestamp(entry.oplog_from),
        "started_at": entry.started_at,
        "finished_at": entry.finished_at,
        "docs": Int64(entry.docs),
        "bytes": Int64(entry.bytes),
        "stored_bytes": Int64(entry.stored_bytes),
        "chunks": entry.chunks,
        "collections": entry.collections,
        "nodes": list(entry.nodes),
        "server_version": entry.server_version,
        "namespaces": list(entry.namespaces),
        "tags": dict(entry.tags),
        "note": entry.note,
        "keep": entry.keep,
        "verified": {each.depth: _judged(each) for each in entry.verdicts},
    }


def _entry(found: Mapping[str, Any]) -> BackupEntry:
    return BackupEntry(
        backup_id=found["backup"],
        storage=found["storage"],
        replset_id=found["replset_id"],
        consistent_at=cluster_time(found["consistent_at"]),
        oplog_from=cluster_time(found["oplog_from"]),
        started_at=found["started_at"],
        finished_at=found["finished_at"],
        docs=int(found["docs"]),
        bytes=int(found["bytes"]),
        stored_bytes=int(found["stored_bytes"]),
        chunks=found["chunks"],
        collections=found["collections"],
        nodes=tuple(found["nodes"]),
        server_version=found["server_version"],
        namespaces=tuple(found["namespaces"]),
        tags=found["tags"],
        note=found["note"],
        keep=found["keep"],
        verdicts=tuple(_verdicts(found)),
    )


def _proves(database: Database[Document]) -> BackupCatalogue:
    return MongoBackups(database)
