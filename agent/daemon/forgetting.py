"""Commands that ended long ago are removed, so that the control database does not grow for ever."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from agent.core.keeper import Held
from agent.core.log import Log
from agent.model.schedules import Mark, may_forget, run_of
from agent.ports import CommandBoard

# Runs come by themselves, day and night; a person may look for what was asked a quarter ago.
KEPT: Final = timedelta(days=30)
KEPT_OTHERS: Final = timedelta(days=90)
_EVERY: Final = timedelta(hours=1)
# Of each kind, at one look: a year of commands that nobody removed goes in bites.
_MOST_COUNT: Final = 1000


class Forgetting:
    """Looks once an hour; whoever looks next goes on where this one died."""

    def __init__(self, commands: CommandBoard, log: Log) -> None:
        self._commands = commands
        self._log = log
        self._looked_at: datetime | None = None

    def look(self, now: datetime, marks: Mapping[object, Mark | None], held: Held) -> None:
        """Remove what is due to go; ``marks`` are those of the schedules.

        Not the runs whose ``_id`` keeps them from being run again, nor the last command of each
        name, by which it is known how the last backup ended. Raises: TransientError, LeaseLost.
        """
        if self._looked_at is not None and now - self._looked_at < _EVERY:
            return
        runs = [
            each
            for each in self._commands.ended_runs(now - KEPT, _MOST_COUNT)
            if (run := run_of(each)) is not None and may_forget(each, marks.get(run.schedule_id))
        ]
        self._remove(runs, "old runs forgotten", held)
        others = self._commands.ended_others(now - KEPT_OTHERS, _MOST_COUNT)
        self._remove(others, "old commands forgotten", held)
        self._looked_at = now

    def _remove(self, going: Sequence[object], event: str, held: Held) -> None:
        if going:
            held.check()
            self._commands.remove(going)
            self._log.info(event, count=len(going))
