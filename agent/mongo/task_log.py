"""What was done of a task: a log at whose end every claim puts a fence.

Positions 0, 1, 2, ... of a task are documents, each with the records that one call brought.
Whoever claims a task first appends an empty one under the new token. A call of an earlier
holder then finds a larger token at the end, or its position taken, and writes nothing: what
the claim read of the log is all that there will ever be from before it.

Transactions would say the same more plainly, but one that a killed agent left open locks what
it wrote for a minute.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bson import Int64
from pymongo.errors import DuplicateKeyError
from pymongo.synchronous.collection import Collection

from agent.core.errors import LeaseLost, PermanentError
from agent.model.outcome import cut
from agent.model.tasks import Record, Stored
from agent.mongo.connect import Document
from agent.mongo.control import TASKS
from agent.mongo.documents import from_bson, timestamp, to_bson
from agent.mongo.fences import is_larger, why
from agent.mongo.task_documents import from_record, key_of, to_record

LOG: Final = "log"


class TaskLog:
    """The log of one task, as one claim writes it."""

    def __init__(
        self, collection: Collection[Document], job: object, number: int, *, token: int, holder: str
    ) -> None:
        self._collection = collection
        self._task: Document = {"kind": LOG, "job": job, "number": number}
        self._token = token
        self._holder = holder

    def fence(self) -> None:
        """Keep all earlier claims from writing. Raises: LeaseLost if a later one was quicker."""
        while not self._insert(self._next_position(), {}):
            pass

    def append(self, records: Sequence[Record]) -> None:
        """Add records, those that are there already excepted. Raises: LeaseLost."""
        new = {key_of(record): record for record in records}
        while new:
            position = self._next_position()
            if position == 0:  # not even our fence is there: the job was removed
                raise self._lost()
            if self._insert(position, new):
                return
            # Another thread took the position, or an earlier call, whose answer was lost,
            # brought some of the same.
            new = self._without_known(new)

    def _next_position(self) -> int:
        last = self._collection.find_one(
            self._task, {"position": True, "token": True}, sort=[("position", -1)]
        )
        if last is None:
            return 0
        if is_larger(last, self._token, field="token"):
            raise why(self._collection, last["_id"], lease=self._lease, field="token")
        position = last.get("position")
        if not isinstance(position, int):
            raise bad_task(f"position is {position!r}")
        return int(position) + 1

    def _insert(self, position: int, records: Mapping[str, Record]) -> bool:
        chunks = [each.chunk for each in records.values() if isinstance(each, Stored)]
        entry: Document = {
            "_id": {**self._task, "position": position},
            **self._task,
            "position": position,
            "token": Int64(self._token),
            "holder": self._holder,
            "records": [to_bson(from_record(record)) for record in records.values()],
            "docs": Int64(sum(chunk.docs for chunk in chunks)),
            "bytes": Int64(sum(chunk.bytes for chunk in chunks)),
        }
        if records:
            entry["keys"] = list(records)
            entry["read_at"] = timestamp(max(record.read_at for record in records.values()))
        try:
            self._collection.insert_one(entry)
        except DuplicateKeyError:
            return False
        return True

    def _without_known(self, records: Mapping[str, Record]) -> dict[str, Record]:
        found = self._collection.find(
            {**self._task, "keys": {"$in": list(records)}}, {"keys": True}
        )
        known = {key for entry in found for key in entry["keys"]}
        return {key: record for key, record in records.items() if key not in known}

    @property
    def _lease(self) -> str:
        return f"of task {self._task['number']}"

    def _lost(self) -> LeaseLost:
        return LeaseLost(self._lease)


def bad_task(reason: str) -> PermanentError:
    """Return the error of a task, or a record of one, that no agent wrote like this."""
    return PermanentError(
        "bad_task",
        f"a document of a backup in {TASKS} cannot be read: {cut(reason)}",
        hint="leave to the agents what they write; insert the command again",
    )


def entries(collection: Collection[Document], job: object, number: int) -> Iterator[Any]:
    """Yield the documents of a task's log in order."""
    found = collection.find({"kind": LOG, "job": job, "number": number})
    yield from found.sort("position", 1)


def records_in(found: Sequence[Mapping[str, Any]]) -> tuple[Record, ...]:
    """Return the records of a log's documents, each once.

    The index that keeps a record from being written twice is gone for a while if an operator
    drops the control database under running agents.
    """
    records = (to_record(from_bson(each)) for entry in found for each in entry["records"])
    once: dict[str, Record] = {}
    for record in records:
        once.setdefault(key_of(record), record)
    return tuple(once.values())
