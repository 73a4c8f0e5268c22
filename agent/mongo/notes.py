"""What a job must remember, in the tasks collection."""

from collections.abc import Mapping, Sequence

from bson import Int64, ObjectId
from bson.errors import BSONError
from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.core.crash import Point, passing
from agent.core.errors import PermanentError, TransientError
from agent.model.leases import COORDINATOR
from agent.model.outcome import cut
from agent.mongo import bodies
from agent.mongo.connect import Document
from agent.mongo.control import TASKS
from agent.mongo.errors import translated
from agent.mongo.fences import why
from agent.ports import JobNotes


class MongoNotes:
    """One document for each job, which names the body that holds the notes."""

    def __init__(self, database: Database[Document]) -> None:
        self._tasks: Collection[Document] = database[TASKS]

    @translated()
    def load(self, job: object) -> Mapping[str, object] | None:
        """Return the notes of a job, if there are any.

        Raises: PermanentError ``bad_notes``.
        """
        head = self._tasks.find_one(_is(job))
        if head is None:
            return None
        try:
            notes = bodies.read(self._tasks, head["body"])
        except (LookupError, TypeError, ValueError, BSONError) as error:
            raise _bad(job, repr(error)) from error
        if notes is None:
            # Notes that are replaced have a new body before the old one goes.
            if self._tasks.find_one(_is(job)) == head:
                raise _bad(job, "what they name is not there")
            raise TransientError("notes_replaced", "the notes were replaced while they were read")
        return notes

    @translated()
    def save(self, job: object, token: int, notes: Mapping[str, object]) -> None:
        """Replace the notes. Raises: LeaseLost if a larger token has written."""
        body = ObjectId()
        self._tasks.insert_many(bodies.parts_of(body, job, dict(notes)))
        passing(Point.NOTES_WRITTEN)
        try:
            old = self._tasks.find_one_and_replace(
                {**_is(job), "token": {"$lte": token}},
                {"kind": "notes", "job": job, "token": Int64(token), "body": body},
                upsert=True,
                return_document=ReturnDocument.BEFORE,
            )
        except DuplicateKeyError as error:  # there are notes, with a larger token
            bodies.remove(self._tasks, [body])
            place = _is(job)["_id"]
            raise why(self._tasks, place, lease=COORDINATOR, field="token") from error
        if old is not None:
            passing(Point.NOTES_REPLACED)
            bodies.remove(self._tasks, [old["body"]])

    @translated()
    def forget(self, job: object) -> None:
        """Remove the notes, and what agents that died left half-written of notes and tasks.

        No error if there are none. The tasks of the job are removed before.
        """
        self._tasks.delete_many({"kind": "body", "job": {"$eq": job}})
        passing(Point.NOTES_EMPTIED)
        # Last, because by it the next coordinator finds that something may be left.
        self._tasks.delete_one(_is(job))

    @translated()
    def jobs(self) -> Sequence[object]:
        """Return the jobs that have notes."""
        found = self._tasks.find({"kind": "notes"}, {"job": True})
        return [head["job"] for head in found if "job" in head]


def _bad(job: object, reason: str) -> PermanentError:
    return PermanentError(
        "bad_notes",
        f"the notes of the job {cut(repr(job))} in {TASKS} cannot be read: {cut(reason)}",
        hint="insert the command again; a restore with overwrite: true",
    )


def _is(job: object) -> Document:
    return {"_id": {"notes": job}}


def _proves(database: Database[Document]) -> JobNotes:
    return MongoNotes(database)
