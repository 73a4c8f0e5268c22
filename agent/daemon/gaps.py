"""A gap in the archive is followed by a full backup: no restore can cross the gap."""

from agent.core.errors import PermanentError
from agent.core.log import Log
from agent.model.coverage import Span
from agent.ports import CommandBoard, EventLog, StatusBoard


class GapBackups:
    """Starts a full backup behind a gap: at most one an hour, whoever coordinates."""

    def __init__(
        self, commands: CommandBoard, events: EventLog, status: StatusBoard, log: Log
    ) -> None:
        self._commands = commands
        self._events = events
        self._status = status
        self._log = log

    def mend(self, gap: Span) -> None:
        """Insert a backup command unless one is open, or this hour's was inserted before.

        One that failed is thereby tried again in the next hour.
        """
        command_id = f"after-gap-{gap.last}-{self._status.server_now():%Y%m%dT%H}"
        if self._is_under_way() or self._commands.get(command_id) is not None:
            return
        try:
            self._commands.insert({
                "_id": command_id,
                "command": "backup",
                "note": "made by itself after a gap in the archive of the oplog",
            })
        except PermanentError as error:
            if error.code != "duplicate_key":
                raise
            return
        self._log.warning("backup after a gap", id=command_id, after=str(gap.begin))
        self._events.write(
            "warning",
            "backup_after_gap",
            f"a full backup starts, because the oplog up to {gap.last} was not archived",
            id=command_id,
            after=gap.begin,
            upto=gap.last,
        )

    def _is_under_way(self) -> bool:
        return any(
            record.options.get("command") == "backup" and not record.options.get("namespaces")
            for record in self._commands.open_commands()
        )
