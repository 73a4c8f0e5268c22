"""The commands collection in memory."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bson import ObjectId

from agent.core.clock import Clock
from agent.core.errors import LeaseLost, PermanentError
from agent.model.commands import CommandRecord, Ended, parse
from agent.model.leases import COORDINATOR
from agent.model.outcome import Outcome
from agent.model.progress import Progress
from agent.model.schedules import run_of
from agent.model.states import END_STATES, State, may_move
from tests.fakes.values import key, stored


@dataclass(slots=True)
class Command:
    """A command's document; ``shown`` holds what agents wrote beside the state."""

    command_id: object
    options: dict[str, Any]
    created_at: datetime
    state: State | None = None
    token: int = 0
    shown: dict[str, Any] = field(default_factory=dict)


class MemoryCommands:
    """Commands in the order of their insertion."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.commands: dict[bytes, Command] = {}

    def open_commands(self) -> Sequence[CommandRecord]:
        """Return every command not in an end state, oldest first."""
        with self._lock:
            found = [each for each in self.commands.values() if each.state not in END_STATES]
            return [_record(each) for each in found]

    def get(self, command_id: object) -> CommandRecord | None:
        """Return one command, if it exists."""
        with self._lock:
            found = self.commands.get(key(command_id))
            return None if found is None else _record(found)

    def last_ended(self, command: str) -> Ended | None:
        """Return which command of a name was ``done`` or ``failed`` last, if any was."""
        with self._lock:
            found = [
                Ended(
                    command_id=each.command_id,
                    state=each.state,
                    finished_at=each.shown["finished_at"],
                    failure=each.shown.get("error"),
                )
                for each in self.commands.values()
                if each.options["command"] == command
                if each.state is State.DONE or each.state is State.FAILED
            ]
            return max(found, key=lambda one: one.finished_at, default=None)

    def move(self, record: CommandRecord, new: State, token: int, outcome: Outcome) -> bool:
        """Move a command from the state that ``record`` shows to ``new``."""
        if not may_move(record.state, new):
            raise PermanentError("illegal_move", f"a command cannot go to {new}")
        with self._lock:
            found = self.commands.get(key(record.command_id))
            if found is None:
                return False
            if found.token > token:
                raise LeaseLost(COORDINATOR)
            if found.state != record.state:
                return found.token == token and found.state == new
            found.state, found.token = new, token
            found.shown |= self._written(new, outcome)
            return True

    def _written(self, new: State, outcome: Outcome) -> dict[str, Any]:
        written: dict[str, Any] = {"coordinator": outcome.coordinator}
        if new is State.RUNNING:
            written["started_at"] = self._clock.now()
        if new in END_STATES:
            written["finished_at"] = self._clock.now()
        if outcome.result is not None:
            written["result"] = stored(outcome.result)
        if outcome.failure is not None:
            written["error"] = outcome.failure
        return written

    def report(
        self, command_id: object, token: int, progress: Progress, eta_s: float | None
    ) -> None:
        """Write the progress of a running command."""
        with self._lock:
            found = self.commands.get(key(command_id))
            if found is None:
                return
            if found.token > token:
                raise LeaseLost(COORDINATOR)
            if found.state is State.RUNNING:
                found.token = token
                found.shown |= {"progress": progress, "eta_s": eta_s}

    def insert(self, options: Mapping[str, object]) -> object:
        """Insert a command as an operator would, and return its ``_id``, which options may name."""
        document = stored(options)
        command_id = document.pop("_id", None) or ObjectId()
        parse(document)
        with self._lock:
            if key(command_id) in self.commands:
                raise PermanentError("duplicate_key", f"there is a command {command_id}")
            self.commands[key(command_id)] = Command(
                command_id=command_id, options=document, created_at=self._clock.now()
            )
        return command_id

    def ended_runs(self, before: datetime, limit: int) -> Sequence[object]:
        """Return the ``_id`` of runs of schedules that ended before a time, at most so many."""
        with self._lock:
            found = [
                (each.shown["finished_at"], each.command_id)
                for each in self.commands.values()
                if each.state in END_STATES and run_of(each.command_id) is not None
                if each.shown["finished_at"] < before
            ]
        return [command_id for _, command_id in sorted(found, key=lambda each: each[0])[:limit]]

    def ended_others(self, before: datetime, limit: int) -> Sequence[object]:
        """Return the ``_id`` of commands that are no runs and ended before a time, oldest first."""
        with self._lock:
            found = [
                (each.shown["finished_at"], each.command_id, str(each.options["command"]))
                for each in self.commands.values()
                if each.state in END_STATES and run_of(each.command_id) is None
                if each.shown["finished_at"] < before
            ]
        found = sorted(found, key=lambda each: each[0])[:limit]
        last = {name: self.last_ended(name) for _, _, name in found}
        kept = [key(each.command_id) for each in last.values() if each is not None]
        return [command_id for _, command_id, _ in found if key(command_id) not in kept]

    def remove(self, command_ids: Sequence[object]) -> None:
        """Remove commands that have ended; those that have not stay."""
        with self._lock:
            for each in map(key, command_ids):
                if each in self.commands and self.commands[each].state in END_STATES:
                    del self.commands[each]


def _record(found: Command) -> CommandRecord:
    return CommandRecord(
        command_id=found.command_id,
        options=found.options,
        state=found.state,
        created_at=found.created_at,
        token=found.token,
    )
