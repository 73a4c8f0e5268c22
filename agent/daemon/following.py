"""What follows a job: its command is inserted before the end of the job is written."""

from dataclasses import replace

from agent.core.errors import PermanentError
from agent.core.log import Log
from agent.model.commands import CommandRecord
from agent.model.following import prune_after
from agent.model.states import State
from agent.ports import CommandBoard, ScheduleBoard


class Following:
    """Inserts a prune behind each backup that a schedule made; ``main`` is the main storage.

    It waits until the backup has ended. Whoever goes on after a death in between inserts it
    again, which changes nothing: there is one of its ``_id``.
    """

    def __init__(
        self, schedules: ScheduleBoard, commands: CommandBoard, main: str, log: Log
    ) -> None:
        self._schedules = schedules
        self._commands = commands
        self._main = main
        self._log = log

    def insert_after(self, record: CommandRecord) -> None:
        """Insert what follows a command that is about to be done. Raises: TransientError."""
        done = replace(record, state=State.DONE)
        readable = [each.schedule for each in self._schedules.records() if each.schedule]
        options = prune_after(done, readable, self._main)
        if options is None:
            return
        try:
            self._commands.insert(options)
        except PermanentError as error:
            # A backup that is whole does not fail for it: the next one brings another prune.
            if error.code != "duplicate_key":
                self._log.warning("no prune follows", code=error.code, reason=error.message)
