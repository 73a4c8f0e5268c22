"""What an agent's user must be allowed, and whether it is: pure.

Source: MongoDB manual, "Resource Document" and "Privilege Actions"; and what the roles that
``backstay init`` proposes were seen to need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Resource = Mapping[str, Any]
Privilege = Mapping[str, Any]

_CLUSTER: Final[Resource] = {"cluster": True}
_EVERY: Final[Resource] = {"db": "", "collection": ""}


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
    views = {"db": "", "collection": "system.views"}
    functions = {"db": "", "collection": "system.js"}
    return (
        *_needs(
            _CLUSTER,
            "the cluster",
            "appendOplogNote", "getParameter", "listDatabases", "replSetGetConfig",
            "replSetGetStatus",
        ),
        *_needs(
            _EVERY, "every collection", "find", "listCollections", "listIndexes", "collStats"
        ),
        *_needs(views, "system.views of every database", "find"),
        *_needs(functions, "system.js of every database", "find"),
        *_needs({"db": "local", "collection": "oplog.rs"}, "local.oplog.rs", "find", "collStats"),
        *_needs(
            {"db": "config", "collection": "transactions"}, "config.transactions", "find"
        ),
        *_needs({"db": "admin", "collection": "system.users"}, "admin.system.users", "find"),
        *_needs({"db": "admin", "collection": "system.roles"}, "admin.system.roles", "find"),
        *_needs(
            {"db": control, "collection": ""},
            f"the database {control}",
            "find", "insert", "update", "remove", "createCollection", "createIndex", "collMod",
        ),
    )  # fmt: skip


def for_restore() -> tuple[Need, ...]:
    """Return what a user needs to restore, beside what it needs for backups."""
    functions = {"db": "", "collection": "system.js"}
    return (
        *_needs(_CLUSTER, "the cluster", "applyOps", "useUUID", "forceUUID"),
        *_needs(
            _EVERY,
            "every collection",
            "insert", "update", "remove", "createCollection", "dropCollection", "createIndex",
            "collMod", "renameCollectionSameDB", "bypassDocumentValidation",
        ),
        *_needs(functions, "system.js of every database", "insert", "remove"),
        *_needs(
            {"db": "admin", "collection": "system.users"}, "admin.system.users", "insert", "remove"
        ),
    )  # fmt: skip


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

    An empty collection does not stand for those whose names begin with ``system.``.
    """
    if granted.get("anyResource"):
        return True
    if "cluster" in wanted or "db" not in granted:
        return bool(granted.get("cluster")) and "cluster" in wanted
    if granted["db"] not in {"", wanted["db"]}:
        return False
    name = granted.get("collection")
    if name == "":
        return not str(wanted["collection"]).startswith("system.")
    return bool(name == wanted["collection"])
