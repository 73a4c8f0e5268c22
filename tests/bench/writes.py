"""Writes that go on while something is measured, and a look at what the storage has of them."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from bson import ObjectId
from bson.timestamp import Timestamp

from agent.model import keys
from agent.model.cluster_time import ClusterTime
from tests.bench import data
from tests.bench.stage import PREFIX, Stage

DATABASE: Final = "bench_archive"
# A listing of some dozens of keys takes the server a few milliseconds.
_POLL_S: Final = 0.02


def write(stage: Stage) -> Timestamp:
    """Insert a document, acknowledged by a majority, and return its cluster time."""
    answer = stage.client[DATABASE].command({
        "insert": "notes",
        "documents": [{"_id": ObjectId(), "at": datetime.now(UTC)}],
        "writeConcern": {"w": "majority"},
    })
    written: Timestamp = answer["operationTime"]
    return written


class Pace:
    """How many documents a writer has written, and since when."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.count = 0

    @property
    def per_s(self) -> float:
        """Documents per second so far."""
        return self.count / (time.monotonic() - self._began)


@contextmanager
def writing(stage: Stage, per_s: float, *, batch: int = 1) -> Iterator[Pace]:
    """Insert so many documents of 400 bytes a second, until the end of the block."""
    kind = data.KINDS[0]
    models = data.templates(kind)
    collection = stage.client[DATABASE][kind.name]
    pace, ended = Pace(), threading.Event()

    def go_on() -> None:
        due = time.monotonic()
        while not ended.wait(max(0.0, due - time.monotonic())):
            numbers = range(pace.count, pace.count + batch)
            collection.insert_many([
                {"_id": ObjectId(), **models[each % len(models)]} for each in numbers
            ])
            pace.count += batch
            due += batch / per_s

    with ThreadPoolExecutor(1, thread_name_prefix="writing") as pool:
        done = pool.submit(go_on)
        try:
            yield pace
        finally:
            ended.set()
            done.result()


class Stored:
    """The archive as its listing shows it, to a client that has nothing to do with the agents.

    ``back_s``: how long before a write the segment that holds it may begin.
    """

    def __init__(self, stage: Stage, *, back_s: float) -> None:
        config = stage.client.admin.command("replSetGetConfig")["config"]
        self._replset = str(config["_id"])
        self._replset_id = str(config["settings"]["replicaSetId"])
        self._s3 = stage.server.client()
        self._bucket = stage.bucket
        self._back_s = max(1, round(back_s))

    def wait(self, written: Timestamp, timeout_s: float = 60.0) -> float:
        """Wait until a segment holds what was written then, and return the seconds waited.

        Raises: AssertionError in time.
        """
        began = time.monotonic()
        while not self._holds(ClusterTime(written.time, written.inc)):
            waited_s = time.monotonic() - began
            assert waited_s < timeout_s, f"{written} is not archived after {waited_s:.0f} s"
            time.sleep(_POLL_S)
        return time.monotonic() - began

    def _holds(self, written: ClusterTime) -> bool:
        """Whether it is there; segments that begin long before are passed over by the listing."""
        back = ClusterTime(written.seconds - self._back_s, 0)
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=f"{PREFIX}/{keys.oplog_root(self._replset)}",
            StartAfter=f"{PREFIX}/{keys.segment(self._replset, self._replset_id, back, back)}",
        )
        for page in pages:
            for each in page.get("Contents", ()):
                segment = keys.parse_segment(each["Key"].removeprefix(f"{PREFIX}/"))
                if segment is not None and segment[2] < written <= segment[3]:
                    return True
        return False
