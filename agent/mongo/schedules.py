"""The schedules collection: documents of operators, in which agents keep their marks."""

from collections.abc import Mapping, Sequence

from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.model.schedules import MARK_FIELDS, Mark
from agent.model.timetable import ScheduleRecord, mark_fields, record_of
from agent.mongo.connect import Document
from agent.mongo.control import SCHEDULES
from agent.mongo.documents import from_bson
from agent.mongo.errors import translated
from agent.ports import ScheduleBoard


class MongoSchedules:
    """Each document is read by itself: people write them."""

    def __init__(self, database: Database[Document]) -> None:
        self._schedules: Collection[Document] = database[SCHEDULES]

    @translated()
    def records(self) -> Sequence[ScheduleRecord]:
        """Return every schedule by its name, also those that cannot be understood."""
        found = self._schedules.find().sort("_id", 1)
        return [record_of(from_bson(each)) for each in found]

    @translated()
    def mark(self, record: ScheduleRecord, mark: Mark) -> bool:
        """Replace a mark if it is as ``record`` has it; False if it is not, or no schedule is.

        Repeating a change that was made is True.
        """
        wanted = mark_fields(mark)
        written = self._schedules.update_one(
            {
                "_id": {"$eq": record.schedule_id},
                "$or": [_marked(record.stored), _marked(wanted)],
            },
            {"$set": dict(wanted)},
        )
        return written.matched_count == 1


def _marked(stored: Mapping[str, object]) -> Document:
    return {
        name: {"$eq": stored[name]} if name in stored else {"$exists": False}
        for name in MARK_FIELDS
    }


def _proves(database: Database[Document]) -> ScheduleBoard:
    return MongoSchedules(database)
