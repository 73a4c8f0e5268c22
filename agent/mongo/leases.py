"""Leases by the server's clock, with tokens from the cluster's."""

from typing import Final

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.core.errors import LeaseLost
from agent.model.leases import Grant
from agent.mongo.connect import Document
from agent.mongo.control import LEASES
from agent.mongo.documents import EPOCH, granted_at, token_of
from agent.mongo.errors import translated
from agent.ports import LeaseStore

_GRANT = {"token": {"$type": "timestamp"}, "renewed_at": True}
# No lease lasts so long, and no two servers' clocks differ by so much.
_LONGEST_MS: Final = 600_000
_IS_NUMBER = {"$in": [{"$type": "$duration_ms"}, ["int", "long", "double"]]}
_IS_DURATION = {"$and": [{"$gte": ["$duration_ms", 0]}, {"$lte": ["$duration_ms", _LONGEST_MS]}]}
_IS_LATE = {"$lte": ["$renewed_at", {"$subtract": ["$$NOW", "$duration_ms"]}]}
_IS_AHEAD = {"$gt": ["$renewed_at", {"$add": ["$$NOW", _LONGEST_MS]}]}
# Over is also what people made of it, so that nobody would ever lead again.
_IS_OVER: Final[Document] = {
    "$cond": [
        {"$and": [{"$eq": [{"$type": "$renewed_at"}, "date"]}, _IS_NUMBER, _IS_DURATION]},
        {"$or": [_IS_LATE, _IS_AHEAD]},
        True,
    ]
}


class MongoLeases:
    """One document for each lease; it stays when the lease is given back."""

    def __init__(self, database: Database[Document]) -> None:
        self._leases: Collection[Document] = database[LEASES]

    @translated()
    def acquire(self, name: str, holder: str, duration_s: float) -> Grant | None:
        """Take a lease that nobody holds, whose time is over, or that ``holder`` left behind."""
        grant = self._take(name, holder, duration_s)
        if grant is None and self._leases.find_one({"_id": name}) is None:
            self._make(name)
            grant = self._take(name, holder, duration_s)
        return grant

    def _take(self, name: str, holder: str, duration_s: float) -> Grant | None:
        taken = self._leases.find_one_and_update(
            {"_id": name, "$or": [{"holder": holder}, {"holder": None}, {"$expr": _IS_OVER}]},
            {"$set": {"holder": holder, "duration_ms": _ms(duration_s)}, "$currentDate": _GRANT},
            return_document=ReturnDocument.AFTER,
        )
        if taken is None:
            return None
        return Grant(name=name, holder=holder, token=token_of(taken["token"]))

    def _make(self, name: str) -> None:
        try:
            self._leases.insert_one({
                "_id": name,
                "holder": None,
                "renewed_at": EPOCH,
                "duration_ms": 0,
            })
        except DuplicateKeyError:
            return  # another agent was quicker

    @translated()
    def renew(self, grant: Grant, duration_s: float) -> None:
        """Prolong a lease from now. Raises: LeaseLost if it is no longer this grant's."""
        renewed = self._leases.update_one(
            _is_of(grant),
            {
                "$set": {"duration_ms": _ms(duration_s)},
                "$currentDate": {"renewed_at": True},
            },
        )
        if renewed.matched_count == 0:
            raise LeaseLost(grant.name)

    @translated()
    def release(self, grant: Grant) -> None:
        """Give a lease back at once, if it is still this grant's."""
        self._leases.update_one(_is_of(grant), {"$set": {"holder": None}})

    @translated()
    def holder(self, name: str) -> str | None:
        """Return who holds a lease now, if anyone."""
        held = self._leases.find_one({
            "_id": name,
            "holder": {"$ne": None},
            "$expr": {"$not": _IS_OVER},
        })
        return None if held is None else str(held["holder"])


def _is_of(grant: Grant) -> Document:
    return {"_id": grant.name, "holder": grant.holder, "token": granted_at(grant.token)}


def _ms(duration_s: float) -> int:
    return int(1000 * duration_s)


def _proves(database: Database[Document]) -> LeaseStore:
    return MongoLeases(database)
