"""What an agent's user must be allowed, and whether it is: pure.

Source: MongoDB manual, "Resource Document" and "Privilege Actions"; and what the roles that
``backstay init`` proposes were seen to need.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Resource = Mapping[str, Any]
Privilege = Mapping[str, Any]

_CLUSTER: Final[Resource] = {"cluster": True}
_APART: Final = frozenset({"local", "config"})
_ANY: Final[Resource] = {"anyResource": True}
_EVERY: Final[Resource] = {"db": "", "collection": ""}
_BUCKETS: Final[Resource] = {"db": "", "system_buckets": ""}
_JAVASCRIPT: Final[Resource] = {"db": "", "collection": "system.js"}
_LOADING: Final = (
    "insert", "remove", "createCollection", "dropCollection", "createIndex", "collMod",
    "renameCollectionSameDB", "bypassDocumentValidation",
)  # fmt: skip
# What the server asks for before it merges users and roles.
_MERGING: Final = (
    "createUser", "createRole", "dropUser", "dropRole", "grantRole", "revokeRole",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One action on one resource; ``on`` names the resource for people."""

    action: str
    resource: Resource
    on: str

    def __str__(self) -> str:
        return f"{self.action} on {self.on}"


def for_backup(control: str) -> tuple[Need, ...]:
    """Return what a user needs to make backups and to archive the oplog."""
    return (
        *_needs(
            _CLUSTER,
            "the cluster",
            "appendOplogNote", "getParameter", "listDatabases", "replSetGetConfig",
            "replSetGetStatus",
        ),
        *_needs(_ANY, "every resource", "listCollections", "listIndexes", "collStats"),
        *_needs(_EVERY, "every collection", "find"),
        *_needs(_BUCKETS, "the buckets of every time series", "find"),
        *_needs(_every("system.views"), "system.views of every database", "find"),
        *_needs(_JAVASCRIPT, "system.js of every database", "find"),
        *_needs({"db": "local", "collection": "oplog.rs"}, "local.oplog.rs", "find"),
        *_needs({"db": "config", "collection": "transactions"}, "config.transactions", "find"),
        *_needs({"db": "admin", "collection": "system.users"}, "admin.system.users", "find"),
        *_needs({"db": "admin", "collection": "system.roles"}, "admin.system.roles", "find"),
        *_needs(
            {"db": control, "collection": ""},
            f"the database {control}",
            "insert", "update", "remove", "createCollection", "convertToCapped", "createIndex",
            "collMod",
        ),
    )  # fmt: skip


def for_restore() -> tuple[Need, ...]:
    """Return what a user needs to restore, beside what it needs for backups."""
    return (
        *_needs(_CLUSTER, "the cluster", "applyOps", "useUUID", "forceUUID"),
        *_needs(_EVERY, "every collection", *_LOADING, "update", "convertToCapped"),
        *_needs(_BUCKETS, "the buckets of every time series", *_LOADING, "update"),
        *_needs(_JAVASCRIPT, "system.js of every database", "insert", "update", "remove"),
        *_needs(_EVERY, "every database", *_MERGING),
    )


def for_restore_into(databases: Sequence[str], *, has_users: bool) -> tuple[Need, ...]:
    """Return what no restore into these databases goes without, whatever is restored.

    Somebody who may write to one database alone can restore into that one; ``readWrite`` and
    ``dbAdmin`` there are enough for that. What only some data needs shows when it is loaded.
    """
    into = (
        need
        for each in databases
        for need in _needs({"db": each, "collection": ""}, f"the database {each}", *_LOADING)
    )
    return (*into, *(_needs(_EVERY, "every database", *_MERGING) if has_users else ()))


def together(needs: Iterable[Need]) -> str:
    """Name needs by their resources: ``insert, remove on every collection``."""
    actions: dict[str, list[str]] = {}
    for need in needs:
        actions.setdefault(need.on, []).append(need.action)
    return "; ".join(f"{', '.join(names)} on {on}" for on, names in actions.items())


def _every(collection: str) -> Resource:
    return {"db": "", "collection": collection}


def _needs(resource: Resource, on: str, *actions: str) -> tuple[Need, ...]:
    return tuple(Need(action=action, resource=resource, on=on) for action in actions)


def is_granted(need: Need, privileges: Sequence[Privilege]) -> bool:
    """Whether one of the privileges allows an action."""
    return any(
        need.action in each.get("actions", ()) and _covers(each.get("resource", {}), need.resource)
        for each in privileges
    ) or any(
        "anyAction" in each.get("actions", ()) and each.get("resource", {}).get("anyResource")
        for each in privileges
    )


def _covers(granted: Resource, wanted: Resource) -> bool:
    """Whether a resource includes another; an empty name stands for all of them.

    An empty collection does not stand for those whose names begin with ``system.``, nor do all
    databases include ``local`` and ``config`` (seen on 6.0).
    """
    if granted.get("anyResource"):
        return True
    for kind in ("cluster", "anyResource"):
        if kind in wanted or kind in granted:
            return bool(granted.get(kind)) and kind in wanted
    # The server leaves out a database that is empty beside the buckets.
    database = granted.get("db", "")
    if database != wanted["db"] and (database or wanted["db"] in _APART):
        return False
    kind = "system_buckets" if "system_buckets" in wanted else "collection"
    name = granted.get(kind)
    if name == "" and kind == "collection":
        return not str(wanted["collection"]).startswith("system.")
    return name in {"", wanted[kind]}
