"""Values that may be larger than a document: kept in parts, replaced as a whole.

A body is written under a new id before anything refers to it, so that a reader who has the
id finds all of it, and two writers never mix their parts.
"""

from collections.abc import Sequence
from typing import Any, Final

import bson
from bson import ObjectId
from pymongo.synchronous.collection import Collection

from agent.mongo.connect import PLAIN, Document
from agent.mongo.documents import from_bson, to_bson

# A document holds 16 MiB.
_PART_BYTES: Final = 8 * 1024 * 1024


def parts_of(body: ObjectId, job: object, value: Document) -> list[Document]:
    """Return the documents that keep a value of a job."""
    encoded = bson.encode(to_bson(value), codec_options=PLAIN)
    return [
        {
            "kind": "body",
            "job": job,
            "body": body,
            "part": number,
            "data": encoded[begin : begin + _PART_BYTES],
        }
        for number, begin in enumerate(range(0, len(encoded), _PART_BYTES))
    ]


def read(collection: Collection[Document], body: ObjectId) -> dict[str, Any] | None:
    """Return a value, or None if it was removed."""
    parts = collection.find({"kind": "body", "body": body}).sort("part", 1)
    encoded = b"".join(part["data"] for part in parts)
    if not encoded:
        return None
    value: dict[str, Any] = from_bson(bson.decode(encoded, codec_options=PLAIN))
    return value


def remove(collection: Collection[Document], bodies: Sequence[ObjectId]) -> None:
    """Remove values; one that is not there is no error."""
    if bodies:
        collection.delete_many({"kind": "body", "body": {"$in": list(bodies)}})
