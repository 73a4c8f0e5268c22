"""What the coordinator asks every agent, in the tasks collection."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from bson import Int64
from pymongo.errors import DuplicateKeyError
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.core.crash import Point, passing
from agent.model.check import Finding
from agent.model.leases import COORDINATOR
from agent.mongo.connect import Document
from agent.mongo.control import TASKS
from agent.mongo.documents import readable
from agent.mongo.errors import translated
from agent.mongo.fences import why
from agent.ports import QuestionBoard

_KIND: Final = "question"


class MongoQuestions:
    """One document for each job and agent; it holds the answer, once there is one."""

    def __init__(self, database: Database[Document]) -> None:
        self._tasks: Collection[Document] = database[TASKS]

    @translated()
    def ask(self, job: object, agents: Sequence[str], token: int) -> None:
        """Ask agents for their findings. Raises: LeaseLost if a larger token has asked."""
        for agent in agents:
            try:
                self._tasks.update_one(
                    {**_is(job, agent), "token": {"$lte": Int64(token)}},
                    {
                        "$set": {"token": Int64(token)},
                        "$setOnInsert": {
                            "kind": _KIND,
                            "job": job,
                            "agent": agent,
                            "findings": None,
                        },
                    },
                    upsert=True,
                )
            except DuplicateKeyError as error:  # it is there, with a larger token
                place = _is(job, agent)["_id"]
                raise why(self._tasks, place, lease=COORDINATOR, field="token") from error
            passing(Point.CHECK_ASKING)

    @translated()
    def waiting(self, agent: str) -> Sequence[object]:
        """Return the jobs that wait for this agent's answer."""
        found = self._tasks.find({"kind": _KIND, "agent": agent, "findings": None}, {"job": True})
        return [each["job"] for each in found if "job" in each]

    @translated()
    def answer(self, job: object, agent: str, findings: Sequence[Finding]) -> None:
        """Answer for an agent, unless it has answered or the job is over."""
        self._tasks.update_one(
            {**_is(job, agent), "findings": None},
            {"$set": {"findings": [asdict(each) for each in findings]}},
        )

    @translated()
    def answers(self, job: object) -> Mapping[str, Sequence[Finding] | None]:
        """Return every agent that was asked, with its findings once it has answered."""
        found = self._tasks.find({"kind": _KIND, "job": {"$eq": job}})
        return dict(readable(_answer, found))

    @translated()
    def remove(self, job: object) -> None:
        """Remove the questions of a job, and the answers."""
        self._tasks.delete_many({"kind": _KIND, "job": {"$eq": job}})

    @translated()
    def jobs(self) -> Sequence[object]:
        """Return the jobs that have questions."""
        found: list[object] = []
        for each in self._tasks.find({"kind": _KIND}, {"job": True}):
            if "job" in each and each["job"] not in found:
                found.append(each["job"])
        return found


def _is(job: object, agent: str) -> Document:
    return {"_id": {"kind": _KIND, "job": job, "agent": agent}}


def _answer(found: Mapping[str, Any]) -> tuple[str, Sequence[Finding] | None]:
    findings = found["findings"]
    if findings is None:
        return found["agent"], None
    return found["agent"], tuple(Finding(**each) for each in findings)


def _proves(database: Database[Document]) -> QuestionBoard:
    return MongoQuestions(database)
