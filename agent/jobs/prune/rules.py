"""The retention of a storage, as the schedules say it."""

from agent.core.errors import PermanentError
from agent.model.retention import Policy, policies
from agent.ports import ScheduleBoard


def ruling(schedules: ScheduleBoard, label: str, main: str) -> tuple[Policy, ...]:
    """Return what the schedules say of a storage.

    Raises: PermanentError ``retention_unclear`` while any of them cannot be read: it may have
    promised to keep something.
    """
    records = schedules.records()
    faults = [each.fault.message for each in records if each.fault is not None]
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise PermanentError(
            "retention_unclear",
            f"a schedule cannot be read, and may have promised to keep a backup: {faults[0]}{more}",
            hint="correct the document in the collection schedules, or delete it; then prune again",
        )
    found = [each.schedule for each in records if each.schedule is not None]
    return policies(found, label, main)
