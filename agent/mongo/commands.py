"""The commands collection: moves by compare-and-set on the old state, fenced by tokens."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import Int64, ObjectId, encode
from pymongo import DESCENDING
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.core.errors import PermanentError
from agent.model.commands import AGENT_FIELDS, CommandRecord, Ended
from agent.model.leases import COORDINATOR
from agent.model.outcome import Failure, Outcome
from agent.model.progress import Progress
from agent.model.schedules import run_of
from agent.model.states import END_STATES, State, may_move
from agent.mongo.connect import Document
from agent.mongo.control import COMMANDS
from agent.mongo.documents import LARGEST_TOKEN, from_bson, readable, to_bson
from agent.mongo.errors import translated
from agent.mongo.fences import why
from agent.ports import CommandBoard

_ENDED: Document = {"state": {"$in": [str(state) for state in END_STATES]}}
# Also documents without a state, which were just inserted, and with one that is none.
_OPEN: Document = {"state": {"$nin": [str(state) for state in END_STATES]}}
# What `run_of` reads, for the server to look for.
_RUN = r"@\d{8}T\d{6}Z$"
_STATES = tuple(str(state) for state in State)
_AGE = datetime.max.replace(tzinfo=UTC)


class MongoCommands:
    """Requests with their state, progress and result."""

    def __init__(self, database: Database[Document]) -> None:
        self._commands: Collection[Document] = database[COMMANDS]

    @translated()
    def open_commands(self) -> Sequence[CommandRecord]:
        """Return every command not in an end state, oldest first."""
        found = self._commands.find(_OPEN)
        # One whose age cannot be told goes last, as if it had come now.
        return sorted(map(_record, found), key=lambda record: record.created_at or _AGE)

    @translated()
    def get(self, command_id: object) -> CommandRecord | None:
        """Return one command, if it exists."""
        found = self._commands.find_one(_is(command_id))
        return None if found is None else _record(found)

    @translated()
    def last_ended(self, command: str) -> Ended | None:
        """Return which command of a name was ``done`` or ``failed`` last, if any was."""
        found = self._commands.find(
            {"command": command, "state": {"$in": [State.DONE.value, State.FAILED.value]}},
            {"state": True, "finished_at": True, "error": True},
        ).sort("finished_at", DESCENDING)
        return next(readable(_ended, found.limit(1)), None)

    @translated()
    def move(self, record: CommandRecord, new: State, token: int, outcome: Outcome) -> bool:
        """Move a command from the state that ``record`` shows to ``new``; False if it moved on.

        Raises: LeaseLost; PermanentError ``illegal_move``.
        """
        if not may_move(record.state, new):
            raise PermanentError(
                "illegal_move",
                f"a command cannot go from {record.state or 'inserted'} to {new}",
                command_id=record.command_id,
            )
        moved = self._commands.update_one(
            {**_is(record.command_id), **_as_seen(record, token)},
            _move_of(record, new, token, outcome),
        )
        return moved.matched_count == 1 or self._was_moved(record.command_id, new, token)

    def _was_moved(self, command_id: object, new: State, token: int) -> bool:
        """Whether the move was made before, by a call whose answer was lost."""
        found = self._commands.find_one(_is(command_id))
        if found is None:
            return False
        seen = _token(found)
        if seen > token:
            raise why(self._commands, command_id, lease=COORDINATOR)
        return seen == token and found.get("state") == new

    @translated()
    def report(
        self, command_id: object, token: int, progress: Progress, eta_s: float | None
    ) -> None:
        """Write the progress of a running command; one that has ended keeps what it has.

        Raises: LeaseLost.
        """
        shown = {
            "phase": progress.phase,
            "done_bytes": Int64(progress.done_bytes),
            "total_bytes": Int64(progress.total_bytes),
            "done_docs": Int64(progress.done_docs),
            "total_docs": Int64(progress.total_docs),
            "percent": progress.percent,
            "eta_s": eta_s,
        }
        changes = {f"progress.{name}": value for name, value in shown.items()}
        written = self._commands.update_one(
            {**_is(command_id), "state": State.RUNNING.value, **_unfenced(token)},
            {
                "$set": {**changes, "lease_token": Int64(token)},
                "$currentDate": {"progress.updated_at": True},
            },
        )
        if written.matched_count == 0:
            found = self._commands.find_one(_is(command_id), {"lease_token": True})
            if found is not None and _token(found) > token:
                raise why(self._commands, command_id, lease=COORDINATOR)

    @translated()
    def insert(self, options: Mapping[str, object]) -> object:
        """Insert a command as an operator would, and return its ``_id``, which options may name."""
        return self._commands.insert_one(to_bson(options)).inserted_id

    @translated()
    def ended_runs(self, before: datetime, limit: int) -> Sequence[object]:
        """Return the ``_id`` of runs of schedules that ended before a time, at most so many."""
        query = {"_id": {"$regex": _RUN}, **_ENDED, "finished_at": {"$lt": before}}
        found = self._commands.find(query, {"_id": True}).sort("finished_at", 1).limit(limit)
        return [each["_id"] for each in found if run_of(each["_id"]) is not None]

    @translated()
    def ended_others(self, before: datetime, limit: int) -> Sequence[object]:
        """Return the ``_id`` of commands that are no runs and ended before a time, oldest first.

        At most so many; the last of each name that was ``done`` or ``failed`` is not among them.
        """
        query = {"_id": {"$not": {"$regex": _RUN}}, **_ENDED, "finished_at": {"$lt": before}}
        chosen = self._commands.find(query, {"command": True}).sort("finished_at", 1).limit(limit)
        found = list(chosen)
        names = {str(each.get("command")) for each in found}
        last = [ended.command_id for name in names if (ended := self.last_ended(name)) is not None]
        return [each["_id"] for each in found if each["_id"] not in last]

    @translated()
    def remove(self, command_ids: Sequence[object]) -> None:
        """Remove commands that have ended; those that have not stay."""
        self._commands.delete_many({"_id": {"$in": list(command_ids)}, **_ENDED})


def _is(command_id: object) -> Document:
    return {"_id": {"$eq": command_id}}


def _unfenced(token: int) -> Document:
    return {"$or": [{"lease_token": {"$lte": token}}, {"lease_token": {"$exists": False}}]}


def _as_seen(record: CommandRecord, token: int) -> Document:
    """Return what finds a command as a record has it, under no larger token."""
    seen: Document = {"state": record.state, **_unfenced(token)}
    if "lease_token" in record.odd:
        del seen["$or"]
    return seen | {name: {"$eq": value} for name, value in record.odd.items()}


def _token(found: Mapping[str, Any]) -> int:
    token = found.get("lease_token")
    return token if isinstance(token, int) else 0


def _odd(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of fields of agents that hold what no agent writes."""
    state = found.get("state")
    if state is not None and state not in _STATES:
        yield "state"
    if "progress" in found and not isinstance(found["progress"], dict):
        yield "progress"
    token = found.get("lease_token")
    if token is not None and not (type(token) in {int, Int64} and 0 <= token <= LARGEST_TOKEN):
        yield "lease_token"


def _move_of(record: CommandRecord, new: State, token: int, outcome: Outcome) -> Document:
    values: Document = {
        "state": new.value,
        "lease_token": Int64(token),
        "coordinator": outcome.coordinator,
    }
    times: dict[str, bool] = {}
    if record.created_at is not None:
        values["created_at"] = record.created_at
    elif record.state is None:
        times["created_at"] = True
    if new is State.RUNNING:
        times["started_at"] = True
    if new in END_STATES:
        times["finished_at"] = True
    if outcome.result is not None:
        values["result"] = to_bson(outcome.result)
    if outcome.failure is not None:
        failure = outcome.failure
        values["error"] = {
            "code": failure.code,
            "message": failure.message,
            "hint": failure.hint,
        }
    return {"$set": values} | ({"$currentDate": times} if times else {})


def _ended(found: Mapping[str, Any]) -> Ended:
    error = found.get("error")
    return Ended(
        command_id=found["_id"],
        state=State(found["state"]),
        finished_at=found["finished_at"],
        failure=Failure(code=error["code"], message=error["message"], hint=error["hint"])
        if error
        else None,
    )


def _record(found: Mapping[str, Any]) -> CommandRecord:
    command_id = found["_id"]
    created_at = found.get("created_at")
    if not isinstance(created_at, datetime) and isinstance(command_id, ObjectId):
        created_at = command_id.generation_time
    odd = {name: found[name] for name in _odd(found)}
    state = None if "state" in odd else found.get("state")
    return CommandRecord(
        command_id=command_id,
        options={
            key: from_bson(value)
            for key, value in found.items()
            if key != "_id" and key not in AGENT_FIELDS
        },
        state=None if state is None else State(state),
        created_at=created_at if isinstance(created_at, datetime) else None,
        token=_token(found),
        odd=odd,
        size_bytes=len(encode(found)) if found.get("state") is None else 0,
    )


def _proves(database: Database[Document]) -> CommandBoard:
    return MongoCommands(database)
