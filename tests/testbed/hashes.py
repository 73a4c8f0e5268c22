"""What a replica set holds, as plain values that two replica sets can be compared by.

Document content is compared by the server's own `dbHash`, which sees every byte and field order.
Options and indexes are compared verbatim, as Canonical Extended JSON: 1, 1.0 and NumberLong(1)
differ there, and the order of a key pattern counts.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bson import json_util
from bson.timestamp import Timestamp
from pymongo.database import Database

from tests.testbed.clients import Client, Document

Values = Mapping[str, str]

# Of these a backup takes nothing, or only parts that have tests of their own.
NOT_COMPARED = frozenset({"admin", "config", "local", "backstay"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Everything that a restore must bring back, by namespace `<database>.<collection>`."""

    hashes: Mapping[str, str]
    """MD5 over all documents in `_id` order (capped: natural order)."""
    collections: Mapping[str, Values]
    """Type, id index and each option."""
    indexes: Mapping[str, Mapping[str, Values]]
    """Each option of each index, by the index's name."""


def contents(
    client: Client,
    *,
    at: Timestamp | None = None,
    databases: Collection[str] | None = None,
) -> Contents:
    """Read what a replica set, or one node by a direct client, holds.

    Hashes are of the cluster time `at`, which the server must still remember; options and indexes
    are always of now. By default all databases but NOT_COMPARED.
    """
    names = sorted(_databases(client) if databases is None else databases)
    hashes: dict[str, str] = {}
    collections: dict[str, Values] = {}
    indexes: dict[str, Mapping[str, Values]] = {}
    for name in names:
        database = client[name]
        for collection, value in database_hashes(database, at=at).items():
            hashes[f"{name}.{collection}"] = value
        for collection, options in collection_options(database).items():
            collections[f"{name}.{collection}"] = options
            if options["type"] != '"view"':
                indexes[f"{name}.{collection}"] = collection_indexes(database, collection)
    return Contents(hashes=hashes, collections=collections, indexes=indexes)


def database_hashes(database: Database[Document], *, at: Timestamp | None = None) -> dict[str, str]:
    """Return the server's hash of each collection; views have none, their definitions do.

    `at` needs a server started with enableTestCommands. Temporary collections are left out.
    """
    command: Document = {"dbHash": 1}
    if at is not None:
        command["$_internalReadAtClusterTime"] = at
    return dict(database.command(command)["collections"])


def collection_options(database: Database[Document]) -> dict[str, Values]:
    """Return type, id index and options of each collection and view, without UUIDs."""
    found: dict[str, Values] = {}
    for listed in database.list_collections():
        options = listed["options"]
        if options.get("temp"):
            continue
        values = {f"options.{key}": _verbatim(value) for key, value in options.items()}
        values["type"] = _verbatim(listed["type"])
        if "idIndex" in listed:
            values["idIndex"] = _verbatim(listed["idIndex"])
        found[listed["name"]] = values
    return found


def collection_indexes(database: Database[Document], collection: str) -> dict[str, Values]:
    """Return every option of each index by its name."""
    # By a command, because the driver refuses some names of collections that the server takes.
    listed = database.command("listIndexes", collection)["cursor"]
    assert listed["id"] == 0, "all indexes are in the first batch"
    return {
        index["name"]: {key: _verbatim(value) for key, value in index.items()}
        for index in listed["firstBatch"]
    }


def differences(expected: Contents, actual: Contents) -> list[str]:
    """Return a line for each thing that differs; empty when the contents are equal."""
    return [
        *_differences("hash", expected.hashes, actual.hashes),
        *_differences("options", expected.collections, actual.collections),
        *_differences("indexes", expected.indexes, actual.indexes),
    ]


def _differences(
    kind: str, expected: Mapping[str, object], actual: Mapping[str, object]
) -> list[str]:
    return [
        f"{kind} of {name}: expected {expected.get(name)}, is {actual.get(name)}"
        for name in sorted(expected.keys() | actual.keys())
        if expected.get(name) != actual.get(name)
    ]


def _databases(client: Client) -> list[str]:
    return [name for name in client.list_database_names() if name not in NOT_COMPARED]


def _verbatim(value: object) -> str:
    return json_util.dumps(value, json_options=json_util.CANONICAL_JSON_OPTIONS)
