"""Documents of the control database as plain values, for people at a terminal."""

from collections.abc import Mapping, Sequence
from typing import cast

from bson import ObjectId
from pymongo.synchronous.database import Database

from agent.mongo.connect import Document
from agent.mongo.control import COMMANDS, ROLE, SCHEDULES, STATUS
from agent.mongo.documents import from_bson
from agent.mongo.errors import translated


class MongoDocuments:
    """Reads only; ids come as texts, timestamps as cluster times."""

    def __init__(self, database: Database[Document]) -> None:
        self._commands = database[COMMANDS]
        self._status = database[STATUS]
        self._schedules = database[SCHEDULES]

    @translated()
    def command_id(self, text: str) -> object | None:
        """Return the ``_id`` of the command that a text names, if there is one.

        Ids are ObjectIds unless whoever inserted the command chose a text.
        """
        candidates: list[object] = [text]
        if ObjectId.is_valid(text):
            candidates.append(ObjectId(text))
        found = self._commands.find_one({"_id": {"$in": candidates}}, {"_id": True})
        return None if found is None else cast("object", found["_id"])

    @translated()
    def command(self, command_id: object) -> Mapping[str, object] | None:
        """Return a command's whole document, if it exists."""
        return _shown(self._commands.find_one({"_id": {"$eq": command_id}}))

    @translated()
    def roles(self) -> Sequence[Mapping[str, object]]:
        """Return the authorizations of roles, oldest first."""
        found = self._status.find({"kind": ROLE}).sort([("created_at", 1), ("_id", 1)])
        return [{name: _plain(value) for name, value in each.items()} for each in found]

    @translated()
    def schedules(self) -> Sequence[Mapping[str, object]]:
        """Return the schedules by their names, as they were written."""
        found = self._schedules.find().sort("_id", 1)
        return [{name: _plain(value) for name, value in each.items()} for each in found]

    @translated()
    def cluster(self) -> Mapping[str, object] | None:
        """Return the cluster's status document, if a coordinator has written one."""
        return _shown(self._status.find_one({"_id": "cluster"}))


def _shown(found: Document | None) -> Mapping[str, object] | None:
    return None if found is None else {name: _plain(value) for name, value in found.items()}


def _plain(value: object) -> object:
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return cast("object", from_bson(value))
