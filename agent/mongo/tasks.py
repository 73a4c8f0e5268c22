"""The tasks collection: claims by compare-and-set and the server's clock.

A task is a small head document (state, holder, token), a body with its members, and a log of
what was done.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bson import Int64, ObjectId
from pymongo import ReturnDocument
from pymongo.errors import BulkWriteError
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.core.errors import LeaseLost
from agent.model.leases import LEASE_S
from agent.model.tasks import Claim, JobTasks, Record, Task, TaskFailure, TaskReport, TaskState
from agent.mongo import bodies
from agent.mongo.connect import Document
from agent.mongo.control import TASKS
from agent.mongo.documents import EPOCH, cluster_time, granted_at, timestamp, token_of
from agent.mongo.errors import DUPLICATE_KEY, translated
from agent.mongo.task_documents import from_member, to_member
from agent.mongo.task_log import LOG, TaskLog, entries, records_in
from agent.ports import TaskBoard

_HEAD: Final = "task"
_GRANT: Final = {"token": {"$type": "timestamp"}, "renewed_at": True}
_BY_SIZE: Final = [("size_bytes", -1), ("number", 1)]
_WAITS: Final[Document] = {
    "state": "todo",
    "$expr": {"$lte": ["$not_before", "$$NOW"]},
}


class MongoTasks:
    """Tasks of running jobs; ``claim_s`` is how long a claim lasts without renewal."""

    def __init__(self, database: Database[Document], *, claim_s: float = LEASE_S) -> None:
        self._tasks: Collection[Document] = database[TASKS]
        ends_at = {"$add": ["$renewed_at", int(1000 * claim_s)]}
        self._lapsed: Document = {"state": "running", "$expr": {"$lte": [ends_at, "$$NOW"]}}

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
        head = self._tasks.find_one_and_update(
            {"$or": [_WAITS, self._lapsed]},
            {
                "$set": {"state": "running", "holder": holder},
                "$inc": {"attempt": 1},
                "$currentDate": _GRANT,
            },
            sort=_BY_SIZE,
            return_document=ReturnDocument.AFTER,
        )
        task = None if head is None else self._task(head)
        if head is None or task is None:
            return None
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
        """Return counts and sums over a job's tasks."""
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
        return tuple(
            TaskFailure(number=head["number"], **head["failure"])
            for head in found.sort("number", 1)
        )

    @translated()
    def reports(self, job: object) -> Sequence[TaskReport]:
        """Return every task of a job with all its records, by number."""
        heads = self._tasks.find({"kind": _HEAD, "job": {"$eq": job}}).sort("number", 1)
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
        ids = [head["body"] for head in self._tasks.find(heads, {"body": True})]
        self._tasks.delete_many(heads)
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
