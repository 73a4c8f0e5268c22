"""The duty of the coordinator to insert the command of each run that is due, once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.core.keeper import Held
from agent.core.log import Log
from agent.daemon.forgetting import Forgetting
from agent.model.outcome import Failure
from agent.model.schedules import (
    SCHEDULED,
    Clash,
    Run,
    Schedule,
    clashes,
    due,
    handled,
    settled,
)
from agent.model.timetable import ScheduleRecord, Timetable
from agent.ports import CommandBoard, ScheduleBoard, StatusBoard


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePorts:
    """What the duty needs; ``storages`` are the labels that are configured, the main one first."""

    schedules: ScheduleBoard
    commands: CommandBoard
    status: StatusBoard
    storages: Sequence[str]
    log: Log


class ScheduleDuty:
    """Looks at the schedules; whoever looks next goes on where this one died.

    ``timetable`` is how they were at the last look.
    """

    def __init__(self, ports: SchedulePorts) -> None:
        self._ports = ports
        self._looked_at: datetime | None = None
        self._forgetting = Forgetting(ports.commands, ports.log)
        self._clashes: tuple[Clash, ...] = ()
        self._clashes_of: tuple[tuple[Schedule, ...], datetime] | None = None
        self.timetable = Timetable(storages=tuple(ports.storages))

    def look(self, held: Held) -> None:
        """Insert what is due. Raises: TransientError, LeaseLost: look again."""
        now = self._ports.status.server_now()
        records = tuple(self._bring_on(each, now, held) for each in self._ports.schedules.records())
        self.timetable = replace(self.timetable, records=records)
        self.timetable = replace(self.timetable, clashes=self._found_clashes(now))
        self._looked_at = now
        marks = {each.schedule_id: each.mark for each in self.timetable.records}
        self._forgetting.look(now, marks, held)

    def _bring_on(self, record: ScheduleRecord, now: datetime, held: Held) -> ScheduleRecord:
        """Take the steps for one schedule; what is wrong with it must not stop the others."""
        try:
            return self._steps(record, now, held)
        except PermanentError as error:
            failure = Failure(
                code="bad_schedule",
                message=f"the schedule {record.schedule_id!r} cannot be run: {error.message}",
                hint=error.hint or "correct the document in the collection schedules",
            )
            return replace(record, fault=failure)

    def _steps(self, record: ScheduleRecord, now: datetime, held: Held) -> ScheduleRecord:
        """Settle, find what is due, insert its command, note that: in this order."""
        schedule = record.schedule
        if schedule is None:
            return record
        mark = settled(schedule, record.mark, now, self._looked_at)
        if mark != record.mark:
            held.check()
            if not self._ports.schedules.mark(record, mark):
                return record  # another agent was here, or the schedule is gone: the next look
            record = record.marked(mark)
        due_at = due(schedule, mark, now)
        if due_at is None:
            return record
        held.check()
        passing(Point.SCHEDULE_DUE)
        self._insert(record, Run(schedule_id=schedule.schedule_id, due_at=due_at), now)
        passing(Point.SCHEDULE_INSERTED)
        after = handled(mark, due_at)
        is_marked = self._ports.schedules.mark(record, after)
        passing(Point.SCHEDULE_MARKED)
        return record.marked(after) if is_marked else record

    def _insert(self, record: ScheduleRecord, run: Run, now: datetime) -> None:
        try:
            self._ports.commands.insert({"_id": run.command_id, **_options(record)})
        except PermanentError as error:
            if error.code != "duplicate_key":  # else it is there, and that is as good
                raise
            return
        late_s = (now - run.due_at).total_seconds()
        self._ports.log.info("run inserted", id=run.command_id, late_s=round(late_s, 3))

    def _found_clashes(self, now: datetime) -> tuple[Clash, ...]:
        """Return which schedules clash; worked out anew when one changes, and once an hour."""
        schedules = self.timetable.schedules
        asked = (schedules, now.replace(minute=0, second=0, microsecond=0))
        if asked != self._clashes_of:
            self._clashes_of = asked
            self._clashes = clashes(schedules, now, self.timetable.main)
        return self._clashes


def _options(record: ScheduleRecord) -> Mapping[str, object]:
    """Return the command as it was written, with a note of who made it, where it takes one."""
    model = SCHEDULED.get(str(record.options.get("command")))
    if model is None or "note" not in model.model_fields:
        return record.options
    return {"note": f"made by the schedule {record.schedule_id}", **record.options}
