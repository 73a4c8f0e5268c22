"""The schedules as a prune reads them: all of them, as they are."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.mongo.connect import Document
from agent.mongo.documents import from_bson
from agent.mongo.errors import translated
from agent.ports import RetentionRules

_SCHEDULES: Final = "schedules"


class MongoRetentionRules:
    """Reads ``schedules``."""

    def __init__(self, database: Database[Document]) -> None:
        self._schedules: Collection[Document] = database[_SCHEDULES]

    @translated()
    def documents(self) -> Sequence[Mapping[str, Any]]:
        """Return every document as it is, whatever is in it; none if there is no collection."""
        return [from_bson(each) for each in self._schedules.find().sort("_id", 1)]


def _proves(database: Database[Document]) -> RetentionRules:
    return MongoRetentionRules(database)
