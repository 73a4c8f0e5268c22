"""The control database: its collections, created at start by whichever agent comes first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pymongo import IndexModel
from pymongo.errors import OperationFailure
from pymongo.synchronous.database import Database

from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.model.roles import RoleState
from agent.model.schema import commands_validator, schedules_validator
from agent.mongo.connect import Document
from agent.mongo.errors import NAMESPACE_EXISTS, translated

COMMANDS: Final = "commands"
SCHEDULES: Final = "schedules"
STATUS: Final = "status"
BACKUPS: Final = "backups"
EVENTS: Final = "events"
TASKS: Final = "tasks"
LEASES: Final = "leases"

# The kind of a document of ``status`` that holds the authorization of a role.
ROLE: Final = "role"

# Some tens of thousands of events.
_EVENTS_BYTES: Final = 16 * 1024 * 1024
_MAJORITY: Final = {"writeConcern": {"w": "majority", "wtimeout": 10_000}}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    name: str
    options: Mapping[str, object] = field(default_factory=dict)
    indexes: Sequence[IndexModel] = ()


def _wanted() -> tuple[_Wanted, ...]:
    return (
        _Wanted(
            name=COMMANDS,
            options=_validated_by(commands_validator()),
            indexes=(
                IndexModel([("state", 1)], name="state"),
                # How the newest backup ended is asked every second, among years of them.
                IndexModel([("command", 1), ("finished_at", -1)], name="ended"),
            ),
        ),
        _Wanted(name=SCHEDULES, options=_validated_by(schedules_validator())),
        _Wanted(
            name=STATUS,
            indexes=(
                # Two coordinators, or two commands, cannot begin twice for one storage.
                IndexModel(
                    [("storage", 1)],
                    name="one_role_in_progress",
                    unique=True,
                    partialFilterExpression={"kind": ROLE, "state": RoleState.IN_PROGRESS.value},
                ),
            ),
        ),
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
                IndexModel(
                    [("agent", 1)],
                    name="questions",
                    partialFilterExpression={"kind": "question"},
                ),
            ),
        ),
        _Wanted(name=LEASES),
    )


def _validated_by(validator: Mapping[str, object]) -> Mapping[str, object]:
    return {
        "validator": validator,
        "validationAction": "error",
        # A command from before a change of the validator can still end, and a schedule be run.
        "validationLevel": "moderate",
    }


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


def outdated(database: Database[Document]) -> list[str]:
    """Say what ``prepare`` would create or change in a control database; writes nothing.

    Nothing, where there is no control database yet.
    """
    with translated():
        present = {each["name"]: each for each in database.list_collections()}
        if not present:
            return []
        return [fault for wanted in _wanted() for fault in _faults(database, wanted, present)]


def _faults(
    database: Database[Document], wanted: _Wanted, present: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    found = present.get(wanted.name)
    if found is None:
        yield f"{wanted.name} is missing"
        return
    if not _is_alike(wanted, found):
        yield f"{wanted.name} is not what the agents would create"
    elif _is_changed(wanted, found):
        yield f"the validator of {wanted.name} is not of this version"
    missing = _missing_indexes(database, wanted) if wanted.indexes else []
    yield from (f"{wanted.name} lacks the index {each.document['name']}" for each in missing)


def _create(database: Database[Document], wanted: _Wanted) -> Mapping[str, Any]:
    try:
        database.command({"create": wanted.name, **wanted.options, **_MAJORITY})
    except OperationFailure as error:
        if error.code != NAMESPACE_EXISTS:  # else another agent was quicker
            raise
    passing(Point.CONTROL_CREATED)
    (found,) = database.list_collections(filter={"name": wanted.name})
    return found


def _adjust(database: Database[Document], wanted: _Wanted, found: Mapping[str, Any]) -> None:
    if not _is_alike(wanted, found):
        raise PermanentError(
            "control_unfit",
            f"{database.name}.{wanted.name} is there, but is not what the agents would create",
            hint="drop it, or name another control.database",
        )
    if _is_changed(wanted, found):
        database.command({"collMod": wanted.name, **wanted.options, **_MAJORITY})


def _is_alike(wanted: _Wanted, found: Mapping[str, Any]) -> bool:
    is_capped = bool(found.get("options", {}).get("capped"))
    return found.get("type") == "collection" and is_capped == bool(wanted.options.get("capped"))


def _is_changed(wanted: _Wanted, found: Mapping[str, Any]) -> bool:
    """Whether the validator is another one."""
    # listCollections leaves out what is the default.
    options = {"validationAction": "error", **found.get("options", {})}
    return "validator" in wanted.options and any(
        options.get(key) != value for key, value in wanted.options.items()
    )


def _index(database: Database[Document], wanted: _Wanted) -> None:
    missing = _missing_indexes(database, wanted)
    if missing:
        database[wanted.name].create_indexes(missing)


def _missing_indexes(database: Database[Document], wanted: _Wanted) -> list[IndexModel]:
    present = {str(index["name"]) for index in database[wanted.name].list_indexes()}
    return [each for each in wanted.indexes if each.document["name"] not in present]
