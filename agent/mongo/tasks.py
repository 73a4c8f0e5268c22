"""The tasks collection: claims by compare-and-set and the server's clock.

A task is a small head document (state, holder, token), a body with its members, and a log of
what was done.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from bson import Int64, ObjectId
from bson.errors import BSONError
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError, OperationFailure
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.core.crash import Point, passing
from agent.core.errors import LeaseLost, PermanentError
from agent.model.leases import LEASE_S
from agent.model.tasks import Claim, JobTasks, Record, Task, TaskFailure, TaskReport, TaskState
from agent.mongo import bodies
from agent.mongo.connect import Document
from agent.mongo.control import TASKS
from agent.mongo.documents import EPOCH, cluster_time, granted_at, timestamp, token_of
from agent.mongo.errors import DUPLICATE_KEY, TYPE_MISMATCH, translated
from agent.mongo.task_documents import from_member, to_member
from agent.mongo.task_log import LOG, TaskLog, bad_task, entries, records_in
from agent.mongo.typed import is_typed
from agent.ports import TaskBoard

_HEAD: Final = "task"
_GRANT: Final = {"token": {"$type": "timestamp"}, "renewed_at": True}
# No two servers' clocks differ by so much.
_AHEAD_MS: Final = 600_000
# What reading a document raises that people have changed.
UNREADABLE: Final = (LookupError, TypeError, ValueError, AttributeError, OverflowError, BSONError)
_BY_SIZE: Final = [("size_bytes", -1), ("number", 1)]
_WAITS: Final[Document] = {
    "state": "todo",
    "$expr": {"$lte": ["$not_before", "$$NOW"]},
}


class MongoTasks:
    """Tasks of running jobs; ``claim_s`` is how long a claim lasts without renewal."""

    def __init__(self, database: Database[Document], *, claim_s: float = LEASE_S) -> None:
        self._tasks: Collection[Document] = database[TASKS]
        # Reckoned from now alone, because a server does not reckon with what is no date.
        claim_ms = int(1000 * claim_s)
        is_late = {"$lte": ["$renewed_at", {"$subtract": ["$$NOW", claim_ms]}]}
        is_ahead = {"$gt": ["$renewed_at", {"$add": ["$$NOW", claim_ms + _AHEAD_MS]}]}
        self._lapsed: Document = {"state": "running", "$expr": {"$or": [is_late, is_ahead]}}

    @translated()
    def publish(self, tasks: Sequence[Task]) -> None:
        """Put tasks up for claiming; a task that is there already (same job and number) stays."""
        if not tasks:
            return
        ids = [ObjectId() for _ in tasks]
        # Bodies first, each under an id of its own: a head decides which one counts.
        self._tasks.insert_many(
            part
            for body, task in zip(ids, tasks, strict=True)
            for part in bodies.parts_of(body, task.job, {"members": _members(task)})
        )
        passing(Point.TASK_FILLED)
        try:
            self._tasks.insert_many(map(_head, tasks, ids), ordered=False)
        except BulkWriteError as error:
            failed = error.details["writeErrors"]
            bodies.remove(self._tasks, [ids[each["index"]] for each in failed])
            codes = {each["code"] for each in failed}
            if error.details["writeConcernErrors"] or codes != {DUPLICATE_KEY}:
                raise

    @translated()
    def claim(self, holder: str) -> Claim | None:
        """Take the largest task that waits or whose holder's time is over; None if there is none.

        A claim whose answer was lost lapses like that of a dead agent.
        """
        free = {"$or": [_WAITS, self._lapsed]}
        try:
            head = self._tasks.find_one_and_update(
                free,
                {
                    "$set": {"state": "running", "holder": holder},
                    "$inc": {"attempt": 1},
                    "$currentDate": _GRANT,
                },
                sort=_BY_SIZE,
                return_document=ReturnDocument.AFTER,
            )
        except OperationFailure as error:
            if error.code != TYPE_MISMATCH:
                raise
            self._refuse({**free, "attempt": {"$not": {"$type": "number"}}}, "attempt")
            return None
        if head is None:
            return None
        passing(Point.TASK_BEFORE_FENCE)
        try:
            return self._claim(head, holder)
        except UNREADABLE as error:
            reason = repr(error)
        except PermanentError as error:
            if error.code != "bad_task":
                raise
            reason = error.message
        self._refuse({"_id": {"$eq": head["_id"]}}, reason)
        return None

    def _claim(self, head: Mapping[str, Any], holder: str) -> Claim:
        task = self._task(head)
        if task is None:
            raise LookupError("its members are not there")
        if not is_typed(task):
            raise TypeError("a field is of another type")
        token = token_of(head["token"])
        TaskLog(self._tasks, task.job, task.number, token=token, holder=holder).fence()
        done = list(entries(self._tasks, task.job, task.number))
        return Claim(
            task=task,
            holder=holder,
            token=token,
            attempt=head["attempt"],
            records=records_in(done),
        )

    def _refuse(self, which: Document, reason: str) -> None:
        """Let a task fail that no agent wrote like this, so that its job ends and says so.

        No error if it was removed meanwhile, with its job.
        """
        error = bad_task(reason)
        failure = {"code": error.code, "message": error.message, "hint": error.hint}
        self._tasks.update_many(which, {"$set": {"state": "failed", "failure": failure}})

    def _task(self, head: Mapping[str, Any]) -> Task | None:
        """Return a task with its members, or None if its job was removed."""
        body = bodies.read(self._tasks, head["body"])
        if body is None:
            return None
        return Task(
            job=head["job"],
            backup_id=head["backup_id"],
            storage=head["storage"],
            number=head["number"],
            read_at=cluster_time(head["read_at"]),
            members=tuple(map(to_member, body["members"])),
        )

    @translated()
    def renew(self, claim: Claim) -> None:
        """Prolong a claim. Raises: LeaseLost."""
        self._change(claim, {"$currentDate": {"renewed_at": True}}, among=["running"])

    @translated()
    def record(self, claim: Claim, records: Sequence[Record]) -> None:
        """Add what was done; recording the same again changes nothing. Raises: LeaseLost."""
        task = claim.task
        log = TaskLog(self._tasks, task.job, task.number, token=claim.token, holder=claim.holder)
        log.append(records)

    @translated()
    def finish(self, claim: Claim) -> None:
        """Mark a task done. Raises: LeaseLost."""
        self._change(claim, {"$set": {"state": "done"}}, among=["running", "done"])

    def _change(
        self, claim: Claim, change: Mapping[str, Any], *, among: Sequence[TaskState]
    ) -> None:
        changed = self._tasks.update_one(_is_held(claim, among), change)
        if changed.matched_count == 0:
            raise LeaseLost(f"of task {claim.task.number}")

    @translated()
    def give_back(self, claim: Claim, failure: TaskFailure | None, *, not_before_s: float) -> None:
        """Let go of a claim: until ``not_before_s`` from now, or, with a failure, for good.

        No error if the claim was lost.
        """
        state: TaskState = "todo" if failure is None else "failed"
        changes: Document = {
            "state": state,
            "not_before": {"$add": ["$$NOW", int(1000 * not_before_s)]},
        }
        if failure is not None:
            shown = {"code": failure.code, "message": failure.message, "hint": failure.hint}
            changes["failure"] = {"$literal": shown}
        self._tasks.update_one(_is_held(claim, ["running", state]), [{"$set": changes}])

    @translated()
    def glance(self, job: object) -> JobTasks:
        """Return counts and sums over a job's tasks. Raises: PermanentError ``bad_task``."""
        with _understood():
            return self._glance(job)

    def _glance(self, job: object) -> JobTasks:
        groups = list(
            self._tasks.aggregate([
                {"$match": {"job": {"$eq": job}, "kind": {"$in": [_HEAD, LOG]}}},
                {
                    "$group": {
                        "_id": {"kind": "$kind", "state": "$state"},
                        "count": {"$sum": 1},
                        "docs": {"$sum": "$docs"},
                        "bytes": {"$sum": "$bytes"},
                        "total_docs": {"$sum": "$total_docs"},
                        "size_bytes": {"$sum": "$size_bytes"},
                        "read_at": {"$max": "$read_at"},
                    }
                },
            ])
        )
        return JobTasks(
            total_count=_sum(groups, "count", kind=_HEAD),
            done_count=_sum(groups, "count", kind=_HEAD, state="done"),
            running_count=_sum(groups, "count", kind=_HEAD, state="running"),
            done_docs=_sum(groups, "docs", kind=LOG),
            done_bytes=_sum(groups, "bytes", kind=LOG),
            total_bytes=_sum(groups, "size_bytes", kind=_HEAD),
            total_docs=_sum(groups, "total_docs", kind=_HEAD),
            failures=self._failures(job) if _sum(groups, "count", state="failed") else (),
            latest_read_at=max(
                (
                    cluster_time(group["read_at"])
                    for group in groups
                    if group["_id"]["kind"] == LOG and group["read_at"] is not None
                ),
                default=None,
            ),
        )

    def _failures(self, job: object) -> tuple[TaskFailure, ...]:
        found = self._tasks.find({"kind": _HEAD, "job": {"$eq": job}, "state": "failed"})
        return tuple(map(_failure, found.sort("number", 1)))

    @translated()
    def reports(self, job: object) -> Sequence[TaskReport]:
        """Return every task of a job with all its records, by number.

        Raises: PermanentError ``bad_task``.
        """
        heads = self._tasks.find({"kind": _HEAD, "job": {"$eq": job}}).sort("number", 1)
        with _understood():
            found = ((head, self._task(head)) for head in heads)
            return [self._report(head, task) for head, task in found if task is not None]

    def _report(self, head: Mapping[str, Any], task: Task) -> TaskReport:
        done = list(entries(self._tasks, task.job, task.number))
        return TaskReport(
            task=task,
            state=head["state"],
            holders=tuple(dict.fromkeys(entry["holder"] for entry in done if entry["records"])),
            records=records_in(done),
        )

    @translated()
    def remove(self, job: object) -> None:
        """Remove all tasks of a job; claims on them are lost."""
        heads = {"kind": _HEAD, "job": {"$eq": job}}
        # Notes of the job have bodies too: only those of its tasks go.
        found = self._tasks.find(heads, {"body": True})
        ids = [head["body"] for head in found if "body" in head]
        self._tasks.delete_many(heads)
        passing(Point.TASK_REMOVING)
        self._tasks.delete_many({"kind": LOG, "job": {"$eq": job}})
        bodies.remove(self._tasks, ids)


def _head(task: Task, body: ObjectId) -> Document:
    return {
        "_id": {"kind": _HEAD, "job": task.job, "number": task.number},
        "kind": _HEAD,
        "job": task.job,
        "backup_id": task.backup_id,
        "storage": task.storage,
        "number": task.number,
        "read_at": timestamp(task.read_at),
        "size_bytes": Int64(task.size_bytes),
        "total_docs": Int64(sum(member.size.docs for member in task.members)),
        "body": body,
        "state": "todo",
        "attempt": 0,
        "not_before": EPOCH,
    }


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise bad_task(repr(error)) from error


def _failure(head: Mapping[str, Any]) -> TaskFailure:
    number, told = head.get("number"), head.get("failure")
    texts = told if isinstance(told, dict) else {}
    return TaskFailure(
        number=number if isinstance(number, int) else 0,
        code=str(texts.get("code", "bad_task")),
        message=str(texts.get("message", "a task failed, and does not say why")),
        hint=str(texts.get("hint", "")),
    )


def _members(task: Task) -> list[Document]:
    return [from_member(member) for member in task.members]


def _is_held(claim: Claim, states: Sequence[TaskState]) -> Document:
    return {
        "_id": {"kind": _HEAD, "job": claim.task.job, "number": claim.task.number},
        "token": granted_at(claim.token),
        "state": {"$in": list(states)},
    }


def _sum(groups: Iterable[Mapping[str, Any]], name: str, **of: str) -> int:
    return sum(
        int(group[name])
        for group in groups
        if all(group["_id"].get(key) == value for key, value in of.items())
    )


def _proves(database: Database[Document]) -> TaskBoard:
    return MongoTasks(database)
