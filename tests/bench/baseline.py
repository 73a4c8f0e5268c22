"""Plain pymongo doing the same work, in a process of its own: `python -m tests.bench.baseline`.

Reads one JSON document from standard input that says what to do, prepares, prints ``ready``,
waits for a line, does it, and prints what it took as JSON. Preparing is not measured.
"""

import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

import zstandard
from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, WriteConcern
from pymongo.synchronous.collection import Collection

from tests.bench.data import KINDS, index_models

Document = dict[str, Any]
Plan = Mapping[str, Any]

# Batches of about 1 MiB are the quickest to read: the allocator keeps their memory.
READ_BYTES: Final = 1024**2
# Of 1, 4, 16 and 48 MiB the best median of four rounds, by little more than chance would give.
INSERT_BYTES: Final = 4 * 1024**2
_RAW: Final = CodecOptions(document_class=RawBSONDocument)


class Work(Protocol):
    """What is prepared by its making, and measured when it runs."""

    def run(self) -> Document:
        """Do it."""
        ...


class Drain:
    """Reads ranges of one node as raw batches and compresses them, a frame for each range."""

    def __init__(self, plan: Plan) -> None:
        self._client: MongoClient[Document] = MongoClient(plan["uri"], directConnection=True)
        self._workers = int(plan["workers"])
        self._ranges: queue.SimpleQueue[Plan] = queue.SimpleQueue()
        for one in plan["ranges"]:
            self._ranges.put(one)
        self._lock = threading.Lock()
        self._bytes = 0
        self._stored_bytes = 0
        self._client.admin.command("ping")

    def run(self) -> Document:
        """Drain all ranges."""
        _in_threads(self._workers, self._work)
        return {"bytes": self._bytes, "stored_bytes": self._stored_bytes}

    def _work(self) -> None:
        compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)
        while (one := _next(self._ranges)) is not None:
            raw_bytes, stored_bytes = self._drain(one, compressor)
            with self._lock:
                self._bytes += raw_bytes
                self._stored_bytes += stored_bytes

    def _drain(self, one: Plan, compressor: zstandard.ZstdCompressor) -> tuple[int, int]:
        collection = self._client[one["database"]][one["collection"]]
        bounds: Document = {
            side: {"_id": one[side]} for side in ("min", "max") if one.get(side) is not None
        }
        docs = max(2, READ_BYTES // int(one["average_bytes"]))
        stream = compressor.compressobj()
        raw_bytes = stored_bytes = 0
        with collection.find_raw_batches(
            {}, batch_size=docs, hint=[("_id", 1)], **bounds
        ) as batches:
            for batch in cast("Iterable[bytes]", batches):
                raw_bytes += len(batch)
                stored_bytes += len(stream.compress(batch))
        return raw_bytes, stored_bytes + len(stream.flush())


class Insert:
    """Inserts documents that are in memory already, and then builds the indexes."""

    def __init__(self, plan: Plan) -> None:
        client: MongoClient[Document] = MongoClient(plan["uri"])
        self._workers = int(plan["workers"])
        self._batches: queue.SimpleQueue[tuple[str, list[RawBSONDocument]]] = queue.SimpleQueue()
        source = client.get_database(plan["source"], codec_options=_RAW)
        for kind in KINDS:
            batch: list[RawBSONDocument] = []
            size = 0
            found = source.get_collection(kind.name).find({}, hint=[("_id", 1)])
            for document in cast("Iterable[RawBSONDocument]", found):
                batch.append(document)
                size += len(document.raw)
                if size >= INSERT_BYTES:
                    self._batches.put((kind.name, batch))
                    batch, size = [], 0
            self._batches.put((kind.name, batch))
        self._target = client.get_database(plan["target"], write_concern=WriteConcern(w="majority"))

    def run(self) -> Document:
        """Create the collections, fill them, build their indexes."""
        for kind in KINDS:
            self._target.create_collection(kind.name)
        began = time.monotonic()
        _in_threads(self._workers, self._work)
        inserted_s = time.monotonic() - began
        for kind in KINDS:
            if kind.indexes:
                self._target.command({
                    "createIndexes": kind.name,
                    "indexes": index_models(kind),
                    "writeConcern": {"w": "majority"},
                })
        return {"inserted_s": inserted_s, "indexed_s": time.monotonic() - began - inserted_s}

    def _work(self) -> None:
        while (found := _next(self._batches)) is not None:
            name, batch = found
            collection: Collection[Any] = self._target[name]
            if batch:
                collection.insert_many(batch, ordered=False, bypass_document_validation=True)


class Apply:
    """Applies the first entries of a database's oplog, one by one, to another database."""

    def __init__(self, plan: Plan) -> None:
        client: MongoClient[Document] = MongoClient(plan["uri"])
        self._admin = client.admin
        self._concern = {"w": plan["w"]}
        source, target = f"{plan['source']}.", f"{plan['target']}."
        oplog = client.local.get_collection("oplog.rs", codec_options=_RAW)
        found = oplog.find({
            "ts": {"$gt": plan["after"]},
            "ns": {"$in": [f"{source}{name}" for name in plan["collections"]]},
        })
        self._entries: list[Document] = []
        for entry in cast("Iterable[RawBSONDocument]", found.limit(plan["count"])):
            kept = {field: entry[field] for field in ("op", "ns", "o", "o2") if field in entry}
            self._entries.append({**kept, "ns": target + kept["ns"].removeprefix(source)})
        for name in plan["collections"]:
            client[plan["target"]].create_collection(name)

    def run(self) -> Document:
        """Apply each by a command of its own."""
        for entry in self._entries:
            self._admin.command({"applyOps": [entry], "writeConcern": self._concern})
        return {"entries": len(self._entries)}


_WORKS: Final[Mapping[str, Callable[[Plan], "Work"]]] = {
    "drain": Drain,
    "insert": Insert,
    "apply": Apply,
}


def _next(pending: "queue.SimpleQueue[Any]") -> Any:
    try:
        return pending.get_nowait()
    except queue.Empty:
        return None


def _in_threads(count: int, work: Callable[[], None]) -> None:
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def main(arguments: Sequence[str]) -> None:
    """Do one piece of work: ``drain``, ``insert`` or ``apply``."""
    work = _WORKS[arguments[0]](json_util.loads(sys.stdin.readline()))
    print("ready", flush=True)
    sys.stdin.readline()
    began, cpu_began = time.monotonic(), time.process_time()
    result = work.run()
    took = {"wall_s": time.monotonic() - began, "cpu_s": time.process_time() - cpu_began}
    print(json.dumps({**took, **result}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
