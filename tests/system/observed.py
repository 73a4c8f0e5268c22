"""All that a restore must bring back, and how two replica sets differ in it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bson import json_util
from bson.timestamp import Timestamp

from tests.testbed.clients import Client, Document
from tests.testbed.hashes import Contents, contents, differences

_Value = TypeVar("_Value")

TEMPORARY = "bstmp."
"""The prefix of the collections that a restore loads into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Hashes, options and indexes, and what those do not tell."""

    contents: Contents
    capped: dict[str, list[object]]
    """`_id`s of each capped collection in natural order, which the hashes do not prove."""
    users: dict[str, str]
    """With credentials."""
    roles: dict[str, str]
    """With privileges and restrictions."""


def observe(
    client: Client, *, at: Timestamp | None = None, databases: Collection[str] | None = None
) -> Observed:
    """Read everything; hashes of the cluster time `at`, all else of now."""
    seen = contents(client, at=at, databases=databases)
    return Observed(
        contents=seen,
        capped=_natural_orders(client, seen),
        users=_users(client),
        roles=_roles(client),
    )


def of_users(seen: Contents) -> Contents:
    """Leave out the temporary collections of a restore that runs."""

    def kept(values: Mapping[str, _Value]) -> dict[str, _Value]:
        return {name: value for name, value in values.items() if TEMPORARY not in name}

    return Contents(
        hashes=kept(seen.hashes), collections=kept(seen.collections), indexes=kept(seen.indexes)
    )


def different(expected: Observed, actual: Observed) -> list[str]:
    """Return a line for each thing that differs."""
    found = differences(expected.contents, actual.contents)
    for what in ("capped", "users", "roles"):
        before, after = getattr(expected, what), getattr(actual, what)
        found += [
            f"{what} {name}: expected {before.get(name)}, is {after.get(name)}"
            for name in sorted(before.keys() | after.keys())
            if before.get(name) != after.get(name)
        ]
    return found


def _natural_orders(client: Client, seen: Contents) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for namespace, options in seen.collections.items():
        if "options.capped" in options:
            database, _, name = namespace.partition(".")
            cursor = client[database][name].find(projection=["_id"]).sort("$natural", 1)
            found[namespace] = [document["_id"] for document in cursor]
    return found


def _users(client: Client) -> dict[str, str]:
    listed = client.admin.command("usersInfo", {"forAllDBs": True})["users"]
    details: dict[str, Any] = {"showCredentials": True, "showAuthenticationRestrictions": True}
    found: dict[str, str] = {}
    for user in listed:
        # Restrictions are only told of one user at a time.
        one = {"user": user["user"], "db": user["db"]}
        (shown,) = client.admin.command("usersInfo", one, **details)["users"]
        found[user["_id"]] = _text(shown)
    return found


def _roles(client: Client) -> dict[str, str]:
    found: dict[str, str] = {}
    for database in client.list_database_names():
        roles = client[database].command(
            "rolesInfo", 1, showPrivileges=True, showAuthenticationRestrictions=True
        )["roles"]
        found |= {f"{database}.{role['role']}": _text(role) for role in roles}
    return found


def _text(shown: Document) -> str:
    # What is inherited is listed in no fixed order.
    lists = {name: value for name, value in shown.items() if name.startswith("inherited")}
    in_order = {name: sorted(map(json_util.dumps, value)) for name, value in lists.items()}
    return json_util.dumps({**shown, **in_order}, json_options=json_util.CANONICAL_JSON_OPTIONS)
