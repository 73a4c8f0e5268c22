"""Why a write under a fencing token found nothing to change."""

from collections.abc import Mapping
from typing import Any, Final

from bson import Int64, Timestamp
from pymongo.synchronous.collection import Collection
from pymongo.synchronous.database import Database

from agent.core.errors import AgentError, LeaseLost, TransientError
from agent.model.outcome import cut
from agent.mongo.connect import Document
from agent.mongo.documents import LARGEST_TOKEN, token_of

TOKEN: Final = "lease_token"  # noqa: S105 - a number that everybody may read


def is_larger(found: Mapping[str, Any], token: int, *, field: str = TOKEN) -> bool:
    """Whether a document's token is larger than another one, or none at all."""
    seen = found.get(field, 0)
    return type(seen) not in {int, Int64} or seen > token


def why(
    collection: Collection[Document], id_: object, *, lease: str, field: str = TOKEN
) -> AgentError:
    """Return what it means that a document takes no write under the token of a lease.

    LeaseLost: another agent acts under a larger one. TransientError ``token_mended``: somebody
    wrote what no agent can have, and nobody could write there ever again; it is 0 from now on.
    Tokens are times of the cluster's clock, which is ahead of each that it gave.
    """
    found = collection.find_one({"_id": {"$eq": id_}}, {field: True})
    if found is None:
        return LeaseLost(lease)
    seen: Any = found.get(field)
    if type(seen) in {int, Int64} and 0 <= seen <= _largest(collection.database):
        return LeaseLost(lease)
    same: Document = {field: {"$eq": seen} if field in found else {"$exists": False}}
    collection.update_one({"_id": {"$eq": id_}, **same}, {"$set": {field: Int64(0)}})
    name = cut(repr(id_))
    return TransientError(
        "token_mended",
        f"{collection.full_name}: {field} of the document {name} was {cut(repr(seen))}, which no "
        "agent can have; it is 0 now",
        hint="leave to the agents what they write",
    )


def _largest(database: Database[Document]) -> int:
    """Return the token that would be given now."""
    time = database.command("ping").get("$clusterTime", {}).get("clusterTime")
    return token_of(time) if isinstance(time, Timestamp) else LARGEST_TOKEN
