"""The events collection: capped, and never in the way of the work."""

from typing import Final

from bson import ObjectId
from pymongo import WriteConcern
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.core.errors import AgentError
from agent.model.cluster_time import ClusterTime
from agent.model.status import EventLevel
from agent.mongo.connect import Document
from agent.mongo.control import EVENTS
from agent.mongo.documents import to_bson
from agent.mongo.errors import translated
from agent.ports import EventLog

_PLAIN: Final = (str, bool, int, float, ObjectId, ClusterTime, type(None))
# BSON's largest whole numbers: a fact beyond them must not cost the whole event.
_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1


class MongoEvents:
    """What an operator would want to be told; ``agent`` names who tells it."""

    def __init__(self, database: Database[Document], agent: str = "") -> None:
        self._events: Collection[Document] = database.get_collection(
            EVENTS, write_concern=WriteConcern(w=1)
        )
        self._agent = agent

    def write(self, level: EventLevel, code: str, message: str, **facts: object) -> None:
        """Add an event; a failure to write is swallowed, since events never stop the work."""
        event = {
            "level": level,
            "code": code,
            "message": message,
            "agent": self._agent,
            "facts": {name: _shown(fact) for name, fact in facts.items()},
        }
        try:
            self._write(event)
        except AgentError:
            return

    @translated()
    def _write(self, event: Document) -> None:
        # An upsert, because only an update can take the server's time.
        self._events.update_one(
            {"_id": ObjectId()}, {"$set": event, "$currentDate": {"at": True}}, upsert=True
        )


def _shown(fact: object) -> object:
    if isinstance(fact, int) and not _LEAST <= fact <= _MOST:
        return str(fact)
    return to_bson(fact) if isinstance(fact, _PLAIN) else str(fact)


def _proves(database: Database[Document]) -> EventLog:
    return MongoEvents(database)
