"""Authorizations of roles, in the status collection, where operators look."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bson import Int64
from pymongo.errors import DuplicateKeyError
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.core.errors import TransientError
from agent.model.leases import COORDINATOR
from agent.model.outcome import Failure
from agent.model.roles import Authorization, RoleCommands, RoleState
from agent.mongo.connect import Document
from agent.mongo.control import ROLE, STATUS
from agent.mongo.documents import readable
from agent.mongo.errors import translated
from agent.mongo.fences import is_larger, why
from agent.ports import RoleBoard

# One may be completed or removed between not being allowed to begin and looking for it.
_TRIES: Final = 3


class MongoRoles:
    """One document each; nothing but a command removes it."""

    def __init__(self, database: Database[Document]) -> None:
        self._status: Collection[Document] = database[STATUS]

    @translated()
    def authorizations(self) -> Sequence[Authorization]:
        """Return all, oldest first; one that was changed by hand so that it makes no sense, not."""
        found = self._status.find({"kind": ROLE}).sort([("created_at", 1), ("_id", 1)])
        return list(readable(_to_authorization, found))

    @translated()
    def begin(self, wanted: Authorization, token: int) -> Authorization:
        """Write a new authorization; return it, or the one of its storage in progress already."""
        document = {**_of_authorization(wanted), "lease_token": Int64(token)}
        of_storage = {
            "kind": ROLE,
            "storage": wanted.storage,
            "state": RoleState.IN_PROGRESS.value,
        }
        for _ in range(_TRIES):
            try:
                self._status.update_one(
                    {"_id": document["_id"]}, _written_once(document), upsert=True
                )
            except DuplicateKeyError:
                found = self._status.find_one(of_storage)
            else:
                found = self._status.find_one({"_id": document["_id"]})
            if found is not None:
                return _to_authorization(found)
        raise TransientError("mongodb_interrupted", "others begin and remove authorizations")

    @translated()
    def authorize(self, authorization: str, role_arn: str, token: int) -> bool:
        """Move from in progress to authorized; False if that one is gone or has another role."""
        change = {
            "state": RoleState.AUTHORIZED.value,
            "role_arn": role_arn,
            "last_error": None,
            "lease_token": Int64(token),
        }
        moved = self._status.update_one(
            _in_progress(authorization, token),
            {"$set": change, "$currentDate": {"authorized_at": True, "updated_at": True}},
        )
        if moved.matched_count == 1:
            return True
        found = self._unfenced(authorization, token)
        state = found and (found.get("state"), found.get("role_arn"))
        return state == (RoleState.AUTHORIZED, role_arn)

    @translated()
    def refuse(self, authorization: str, failure: Failure, token: int) -> None:
        """Write down why it is still in progress; no error if it is not any more."""
        change = {"last_error": _of_failure(failure), "lease_token": Int64(token)}
        written = self._status.update_one(
            _in_progress(authorization, token),
            {"$set": change, "$currentDate": {"updated_at": True}},
        )
        if written.matched_count == 0:
            self._unfenced(authorization, token)

    @translated()
    def remove(self, found: Authorization, token: int) -> bool:
        """Remove one that still has the state of ``found``, or is gone; False if it moved on."""
        removed = self._status.delete_one({
            "_id": _id(found.authorization),
            "state": found.state.value,
            "lease_token": {"$lte": token},
        })
        return removed.deleted_count == 1 or self._unfenced(found.authorization, token) is None

    def _unfenced(self, authorization: str, token: int) -> Mapping[str, Any] | None:
        """Return the document that did not match. Raises: LeaseLost."""
        found = self._status.find_one({"_id": _id(authorization)})
        if found is not None and is_larger(found, token):
            raise why(self._status, found["_id"], lease=COORDINATOR)
        return found


def _id(authorization: str) -> str:
    return f"{ROLE}:{authorization}"


def _in_progress(authorization: str, token: int) -> Document:
    return {
        "_id": _id(authorization),
        "state": RoleState.IN_PROGRESS.value,
        "lease_token": {"$lte": token},
    }


def _written_once(document: Document) -> list[Document]:
    """Return an update that writes a new document, and leaves one alone that is there."""
    times = {"created_at": "$$NOW", "updated_at": "$$NOW"}
    new = {"$mergeObjects": [{"$literal": document}, times]}
    is_new = {"$eq": [{"$type": "$kind"}, "missing"]}
    return [{"$replaceWith": {"$cond": [is_new, new, "$$ROOT"]}}]


def _of_authorization(value: Authorization) -> Document:
    return {
        "_id": _id(value.authorization),
        "kind": ROLE,
        "authorization": value.authorization,
        "storage": value.storage,
        "state": value.state.value,
        "external_id": value.external_id,
        "role_name": value.role_name,
        "principals": list(value.principals),
        "trust_policy": value.trust_policy,
        "permission_policy": value.permission_policy,
        "cli": {"create": list(value.cli.create), "adapt": list(value.cli.adapt)},
        "role_arn": value.role_arn,
        "last_error": value.last_error and _of_failure(value.last_error),
        "authorized_at": None,
    }


def _of_failure(failure: Failure) -> Document:
    return {"code": failure.code, "message": failure.message, "hint": failure.hint}


def _to_authorization(found: Mapping[str, Any]) -> Authorization:
    last = found["last_error"]
    return Authorization(
        authorization=found["authorization"],
        storage=found["storage"],
        state=RoleState(found["state"]),
        external_id=found["external_id"],
        role_name=found["role_name"],
        principals=tuple(found["principals"]),
        trust_policy=found["trust_policy"],
        permission_policy=found["permission_policy"],
        cli=RoleCommands(create=tuple(found["cli"]["create"]), adapt=tuple(found["cli"]["adapt"])),
        role_arn=found["role_arn"],
        last_error=None if last is None else Failure(**last),
        created_at=found["created_at"],
        authorized_at=found["authorized_at"],
        updated_at=found["updated_at"],
    )


def _proves(database: Database[Document]) -> RoleBoard:
    return MongoRoles(database)
