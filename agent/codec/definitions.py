"""Commands in the oplog that define collections and indexes: raw BSON -> frozen values."""

from collections.abc import Callable
from typing import Any, Final

from bson.raw_bson import RawBSONDocument

from agent.codec.documents import EMPTY
from agent.codec.index_specs import without
from agent.model.catalogue import Traits
from agent.model.names import Namespace
from agent.model.replay import (
    AddIndexes,
    Create,
    Definition,
    Drop,
    DropDatabase,
    DropIndexes,
    Empty,
    Modify,
    Nothing,
    Rename,
    Strange,
)

# Steps of index builds before their end, and what newer servers write about their storage.
_EMPTY_COMMANDS: Final = frozenset({
    "startIndexBuild",
    "abortIndexBuild",
    "setMultikeyMetadata",
    "dropIdent",
    # A check of consistency, which every node makes for itself.
    "dbCheck",
})
# Not options: the name, the index on _id, and record ids that other servers need not agree on.
_NOT_OPTIONS: Final = frozenset({b"create", b"idIndex", b"autoIndexId", b"recordIdsReplicated"})
_UUID_BYTES: Final = 16
_NO_OPTIONS_OF_COLL_MOD: Final = frozenset({b"collMod", b"index", b"expireAfterSeconds"})


def definition(
    name: str, database: str, uuid: bytes | None, command: RawBSONDocument
) -> Definition | Strange | Nothing:
    """Return what a command's entry says; ``uuid`` is the collection's, as the entry has it."""
    if name in _EMPTY_COMMANDS:
        return Nothing()
    if name == "dropDatabase":
        return DropDatabase(database=database)
    reader = _READERS.get(name)
    if reader is None:
        return Strange(f"the command {name}")
    if uuid is None:
        return Strange(f"the command {name} without UUID")
    return reader(database, uuid, command)


def uuid_of(value: object) -> bytes:
    """Return a UUID as bytes. Raises: TypeError, and takes no memory for what is a number."""
    if not isinstance(value, bytes) or len(value) != _UUID_BYTES:
        raise TypeError("a UUID has 16 bytes")
    return bytes(value)


def traits_of(options: RawBSONDocument) -> Traits:
    """Return what the rules need of a collection's options."""
    return Traits(
        is_capped=bool(options.get("capped", False)),
        is_clustered=bool(options.get("clusteredIndex", False)),
        has_collation="collation" in options,
        view_on=str(options.get("viewOn", "")),
        ttl_s=_seconds(options.get("expireAfterSeconds")),
    )


def _seconds(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) else None


def _create(database: str, uuid: bytes, command: RawBSONDocument) -> Create | Strange:
    if "viewOn" in command:
        # Servers write down a new view as a document of system.views.
        return Strange("the creation of a view")
    id_index = command.get("idIndex")
    return Create(
        uuid=uuid,
        namespace=Namespace(database, command["create"]),
        options=without(command.raw, _NOT_OPTIONS),
        id_index=None if id_index is None else bytes(id_index.raw),
        traits=traits_of(command),
        is_temporary=bool(command.get("temp", False)),
    )


def _drop(_database: str, uuid: bytes, _command: RawBSONDocument) -> Drop:
    return Drop(uuid=uuid)


def _rename(database: str, uuid: bytes, command: RawBSONDocument) -> Rename | Strange:
    dropped = command.get("dropTarget") or None
    source = Namespace.parse(command["renameCollection"])
    target = Namespace.parse(command["to"])
    if dropped is True:
        return Strange("a rename that does not say which collection it replaces")
    if source.database != target.database:
        # The server copies into the other database and writes that down instead.
        return Strange(f"a rename from database {database} to {target.database}")
    return Rename(
        uuid=uuid,
        target=target,
        drop_target=None if dropped is None else uuid_of(dropped),
        stays_temporary=bool(command.get("stayTemp", False)),
    )


def _modify(_database: str, uuid: bytes, command: RawBSONDocument) -> Modify:
    options = without(command.raw, _NO_OPTIONS_OF_COLL_MOD)
    index = command.get("index")
    return Modify(
        uuid=uuid,
        options=None if options == EMPTY else options,
        index=None if index is None else bytes(index.raw),
        changes_ttl="expireAfterSeconds" in command,
        ttl_s=_seconds(command.get("expireAfterSeconds")),
    )


def _create_indexes(_database: str, uuid: bytes, command: RawBSONDocument) -> AddIndexes:
    return AddIndexes(uuid=uuid, specs=(without(command.raw, {b"createIndexes"}),))


def _commit_index_build(_database: str, uuid: bytes, command: RawBSONDocument) -> AddIndexes:
    return AddIndexes(uuid=uuid, specs=tuple(bytes(each.raw) for each in command["indexes"]))


def _drop_indexes(_database: str, uuid: bytes, command: RawBSONDocument) -> DropIndexes | Strange:
    which = command.get("index", command.get("key"))
    match which:
        case "*":
            return DropIndexes(uuid=uuid, every=True)
        case str():
            return DropIndexes(uuid=uuid, names=(which,))
        case list():
            return DropIndexes(uuid=uuid, names=tuple(map(str, which)))
        case RawBSONDocument():
            return DropIndexes(uuid=uuid, keys=(bytes(which.raw),))
    return Strange("the command dropIndexes without an index")


def _empty(_database: str, uuid: bytes, _command: RawBSONDocument) -> Empty:
    return Empty(uuid=uuid)


_Reader = Callable[[str, bytes, RawBSONDocument], Definition | Strange]
_READERS: Final[dict[str, _Reader]] = {
    "create": _create,
    "drop": _drop,
    "renameCollection": _rename,
    "collMod": _modify,
    "createIndexes": _create_indexes,
    "commitIndexBuild": _commit_index_build,
    "dropIndexes": _drop_indexes,
    "deleteIndexes": _drop_indexes,
    "deleteIndex": _drop_indexes,
    "emptycapped": _empty,
}
