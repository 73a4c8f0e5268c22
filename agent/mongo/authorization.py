"""Users and roles: brought in by the server's own merge, which keeps its caches right."""

from collections.abc import Iterable
from typing import Any, Final

from bson.raw_bson import RawBSONDocument

from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.model.names import ROLES, USERS, Namespace
from agent.mongo.connect import Client
from agent.mongo.insert import MAJORITY, raw_database
from agent.mongo.target import entry_of

_DATABASE: Final = "admin"


def merge(
    client: Client, users: Namespace | None, roles: Namespace | None, *, replace: bool
) -> None:
    """Bring in users and roles from temporary collections of ``admin``.

    The server's command ``_mergeAuthzCollections`` (that of mongorestore) updates, adds, and
    with ``drop`` removes. So what must stay as it is, is first taken out of the temporary
    collections, or put into them as it is now. Repeatable, and alters the temporary
    collections.
    """
    for place in (users, roles):
        if place is not None and entry_of(client, place) is None:
            # The merge would take it as empty, and remove every user.
            raise PermanentError("collection_gone", f"the temporary collection {place} is gone")
    own_users, own_roles = _own(client)
    if users is not None:
        kept = own_users if replace else _ids(client, USERS)
        _keep(client, users, Namespace(_DATABASE, USERS), kept, replace=replace)
    if roles is not None:
        kept = own_roles if replace else _ids(client, ROLES)
        _keep(client, roles, Namespace(_DATABASE, ROLES), kept, replace=replace)
    command: dict[str, Any] = {"_mergeAuthzCollections": 1, "db": "", "drop": replace}
    if users is not None:
        command["tempUsersCollection"] = str(users)
    if roles is not None:
        command["tempRolesCollection"] = str(roles)
    if users is not None or roles is not None:
        passing(Point.SWITCH_BEFORE_MERGE)
        client[_DATABASE].command({**command, "writeConcern": MAJORITY})


def _own(client: Client) -> tuple[set[str], set[str]]:
    """Return the ids of the agent's own user and of all roles that it has by any way."""
    answer = client[_DATABASE].command({"connectionStatus": 1})["authInfo"]
    users = {f"{each['db']}.{each['user']}" for each in answer["authenticatedUsers"]}
    roles = {f"{each['db']}.{each['role']}" for each in answer["authenticatedUserRoles"]}
    return users, roles


def _ids(client: Client, collection: str) -> set[str]:
    return {str(each["_id"]) for each in client[_DATABASE][collection].find({}, {"_id": 1})}


def _keep(
    client: Client, place: Namespace, present: Namespace, ids: Iterable[str], *, replace: bool
) -> None:
    kept = sorted(ids)
    stored = raw_database(client, present.database)[present.collection]
    temporary = client[place.database][place.collection]
    now: list[RawBSONDocument] = list(stored.find({"_id": {"$in": kept}})) if replace else []
    temporary.delete_many({"$or": [{"_id": {"$in": kept}}, {"$expr": _named_otherwise(present)}]})
    passing(Point.SWITCH_USERS_KEPT)
    if now:
        temporary.insert_many(now)


def _named_otherwise(present: Namespace) -> dict[str, Any]:
    """Return what is true of a document whose ``_id`` is not that of its user or role.

    The merge goes by the names inside: such a one could take the place of any other.
    """
    name = "$user" if present.collection == USERS else "$role"
    texts = {"$and": [{"$eq": [{"$type": each}, "string"]} for each in ("$db", name)]}
    proper = {"$concat": ["$db", ".", name]}
    return {"$ne": ["$_id", {"$cond": [texts, proper, None]}]}
