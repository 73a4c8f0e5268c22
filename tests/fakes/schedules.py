"""The schedules collection in memory."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from agent.model.schedules import MARK_FIELDS, Mark
from agent.model.timetable import ScheduleRecord, mark_fields, record_of
from tests.fakes.values import key, stored


class MemorySchedules:
    """Documents as an operator wrote them, with the marks of the agents in them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.documents: dict[bytes, dict[str, Any]] = {}

    def insert(self, document: Mapping[str, object]) -> None:
        """Insert a document, or replace it whole, as an operator may."""
        with self._lock:
            self.documents[key(document["_id"])] = stored(document)

    def edit(self, schedule_id: object, **changes: object) -> None:
        """Set fields of a document, as an operator may."""
        with self._lock:
            self.documents[key(schedule_id)] |= stored(changes)

    def records(self) -> Sequence[ScheduleRecord]:
        """Return every schedule by its name, also those that cannot be understood."""
        with self._lock:
            found = sorted(self.documents.values(), key=lambda each: str(each["_id"]))
            return [record_of(dict(each)) for each in found]

    def mark(self, record: ScheduleRecord, mark: Mark) -> bool:
        """Replace a mark if it is as ``record`` has it; False if it is not, or no schedule is."""
        wanted = mark_fields(mark)
        with self._lock:
            found = self.documents.get(key(record.schedule_id))
            if found is None or _marked(found) not in (record.stored, wanted):
                return False
            found |= stored(wanted)
            return True


def _marked(document: Mapping[str, object]) -> Mapping[str, object]:
    return {name: document[name] for name in MARK_FIELDS if name in document}
