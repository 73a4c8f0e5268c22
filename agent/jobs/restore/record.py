"""What the switch will do, written down before its first step so that anyone can finish it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, TypeVar

from agent.core.errors import PermanentError
from agent.model.names import Namespace

Notes = Mapping[str, object]
T = TypeVar("T", bound="Move | Removal | ViewMove | Script")

_FORMAT = 1
# Which fields of the steps hold namespaces.
_NAMES: Final = frozenset({"place", "target", "namespace", "checked", "source"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A temporary collection and its target; ``ttl_s`` is the expiry to set afterwards."""

    place: str
    uuid: bytes
    target: str
    ttl_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What goes: it is dropped only while what is under ``checked`` still has this UUID."""

    namespace: str
    checked: str
    uuid: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewMove:
    """A view: its definition lies in ``place`` under ``source``."""

    place: str
    source: str
    source_on: str
    target: str
    on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Stored JavaScript, in ``place`` until it is put into its database."""

    place: str
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchRecord:
    """Everything that a coordinator needs to finish a switch that another one began."""

    overwrite: bool
    displaced: tuple[Removal, ...]
    moves: tuple[Move, ...]
    old_views: tuple[Removal, ...]
    views: tuple[ViewMove, ...]
    scripts: tuple[Script, ...]
    dropped: tuple[Removal, ...]
    users: str
    roles: str
    replace_users: bool
    result: Notes

    def notes(self) -> Notes:
        """Return the record as a job's notes."""
        # Not the times in it taken apart, as everything below would be.
        return {"switching": _FORMAT, **asdict(self), "result": self.result}


def record_of(notes: Notes | None) -> SwitchRecord | None:
    """Read what ``notes`` wrote; None if no switch had begun.

    Raises: PermanentError ``bad_notes``.
    """
    if notes is None or "switching" not in notes:
        return None
    if notes["switching"] != _FORMAT:
        raise _bad("another version wrote them")
    try:
        return SwitchRecord(
            overwrite=bool(notes["overwrite"]),
            displaced=_read(Removal, notes, "displaced"),
            moves=_read(Move, notes, "moves"),
            old_views=_read(Removal, notes, "old_views"),
            views=_read(ViewMove, notes, "views"),
            scripts=_read(Script, notes, "scripts"),
            dropped=_read(Removal, notes, "dropped"),
            users=str(notes["users"]),
            roles=str(notes["roles"]),
            replace_users=bool(notes["replace_users"]),
            result=_mapping(notes["result"]),
        )
    except (KeyError, TypeError) as error:
        raise _bad(repr(error)) from error


def ended_notes(record: SwitchRecord) -> Notes:
    """Return the notes of a job whose switch is complete: no step of it may be made again."""
    return {"switched": _FORMAT, "result": record.result}


def result_of(notes: Notes | None) -> Notes | None:
    """Return the result that ``ended_notes`` wrote; None if the switch is not complete.

    Raises: PermanentError ``bad_notes``.
    """
    if notes is None or "switched" not in notes:
        return None
    try:
        return _mapping(notes["result"])
    except (KeyError, TypeError) as error:
        raise _bad(repr(error)) from error


def namespace(text: str) -> Namespace | None:
    """Return a namespace of a record; None for the empty text."""
    return Namespace.parse(text) if text else None


def _read(kind: type[T], notes: Notes, name: str) -> tuple[T, ...]:
    """Return the steps of one kind. Raises: TypeError, KeyError."""
    found = notes[name]
    if not isinstance(found, list | tuple):
        raise TypeError(name)
    return tuple(_step(kind, each) for each in found)


def _step(kind: type[T], values: dict[str, Any]) -> T:
    made = kind(**values)
    for each in fields(made):
        value = getattr(made, each.name)
        if not isinstance(value, each.type):  # type: ignore[arg-type]
            raise TypeError(each.name)
        if each.name in _NAMES and not all(value.partition(".")):
            raise TypeError(f"{each.name} is no namespace")
    return made


def _mapping(value: object) -> Notes:
    if not isinstance(value, Mapping):
        raise TypeError(value)
    return value


def _bad(reason: str) -> PermanentError:
    return PermanentError(
        "bad_notes",
        f"the notes of a restore that was switching cannot be read: {reason}",
        hint="restore again with overwrite: true",
    )
