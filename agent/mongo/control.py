"""The control database: its collections, created at start by whichever agent comes first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pymongo import IndexModel
from pymongo.errors import OperationFailure
from pymongo.synchronous.database import Database

from agent.core.errors import PermanentError
from agent.model.schema import commands_validator
from agent.mongo.connect import Document
from agent.mongo.errors import NAMESPACE_EXISTS, translated

COMMANDS: Final = "commands"
STATUS: Final = "status"
BACKUPS: Final = "backups"
EVENTS: Final = "events"
TASKS: Final = "tasks"
LEASES: Final = "leases"

# Some tens of thousands of events.
_EVENTS_BYTES: Final = 16 * 1024 * 1024
_MAJORITY: Final = {"writeConcern": {"w": "majority", "wtimeout": 10_000}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    indexes: Sequence[IndexModel] = ()


def _wanted() -> tuple[_Wanted, ...]:
    validation = {
        "validator": commands_validator(),
        "validationAction": "error",
        # A command from before a change of the validator can still end.
        "validationLevel": "moderate",
    }
    return (
        _Wanted(
            name=COMMANDS, options=validation, indexes=(IndexModel([("state", 1)], name="state"),)
        ),
        _Wanted(name=STATUS),
        _Wanted(
            name=BACKUPS,
            indexes=(IndexModel([("consistent_at", 1)], name="consistent_at"),),
        ),
        _Wanted(name=EVENTS, options={"capped": True, "size": _EVENTS_BYTES}),
        _Wanted(
            name=TASKS,
            indexes=(
                IndexModel([("state", 1), ("size_bytes", -1)], name="claiming"),
                IndexModel([("job", 1), ("number", 1), ("position", -1)], name="records"),
                IndexModel(
                    [("job", 1), ("number", 1), ("keys", 1)],
                    name="recorded_once",
                    unique=True,
                    partialFilterExpression={"keys": {"$exists": True}},
                ),
                IndexModel([("body", 1), ("part", 1)], name="bodies"),
            ),
        ),
        _Wanted(name=LEASES),
    )


def prepare(database: Database[Document]) -> None:
    """Create what is missing, and bring a changed validator up to date.

    Idempotent; several agents may do it at once.

    Raises: PermanentError ``control_unfit`` if a name is taken by something else.
    """
    with translated():
        present = {each["name"]: each for each in database.list_collections()}
        for wanted in _wanted():
            found = present.get(wanted.name) or _create(database, wanted)
            _adjust(database, wanted, found)
            if wanted.indexes:
                _index(database, wanted)


def _create(database: Database[Document], wanted: _Wanted) -> Mapping[str, Any]:
    try:
        database.command({"create": wanted.name, **wanted.options, **_MAJORITY})
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:  # else another agent was quicker
            raise
    (found,) = database.list_collections(filter={"name": wanted.name})
    return found


def _adjust(database: Database[Document], wanted: _Wanted, found: Mapping[str, Any]) -> None:
    options = found.get("options", {})
    if found.get("type") != "collection" or bool(options.get("capped")) != bool(
        wanted.options.get("capped")
    ):
        raise PermanentError(
            "control_unfit",
            f"{database.name}.{wanted.name} is there, but is not what the agents would create",
            hint="drop it, or name another control.database",
        )
    if "validator" not in wanted.options:
        return
    # listCollections leaves out validationLevel and validationAction that are the defaults.
    if any(options.get(key) != value for key, value in wanted.options.items()):
        database.command({"collMod": wanted.name, **wanted.options, **_MAJORITY})


def _index(database: Database[Document], wanted: _Wanted) -> None:
    collection = database[wanted.name]
    present = {str(index["name"]) for index in collection.list_indexes()}
    missing = [each for each in wanted.indexes if each.document["name"] not in present]
    if missing:
        collection.create_indexes(missing)
