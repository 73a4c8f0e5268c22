"""Tasks and their records as documents."""

from collections.abc import Mapping
from typing import Any

from agent.model.catalogue import Collection, Size, Traits
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk
from agent.model.names import Namespace
from agent.model.tasks import Ended, Member, Range, Record, Stored

Values = dict[str, Any]


def from_member(member: Member) -> Values:
    """Return a member as a document of plain values."""
    collection, traits = member.collection, member.collection.traits
    return {
        "database": collection.namespace.database,
        "collection": collection.namespace.collection,
        "kind": collection.kind,
        "uuid": collection.uuid,
        "options": collection.options,
        "indexes": collection.indexes,
        "traits": {
            "is_capped": traits.is_capped,
            "is_clustered": traits.is_clustered,
            "has_collation": traits.has_collation,
            "view_on": traits.view_on,
            "ttl_s": traits.ttl_s,
        },
        "range": member.range and {"lower": member.range.lower, "upper": member.range.upper},
        "size": {"docs": member.size.docs, "bytes": member.size.bytes},
    }


def to_member(found: Mapping[str, Any]) -> Member:
    """Undo ``from_member``."""
    return Member(
        collection=Collection(
            namespace=Namespace(found["database"], found["collection"]),
            kind=found["kind"],
            uuid=found["uuid"],
            options=found["options"],
            indexes=tuple(found["indexes"]),
            traits=Traits(**found["traits"]),
        ),
        range=found["range"] and Range(**found["range"]),
        size=Size(**found["size"]),
    )


def from_record(record: Record) -> Values:
    """Return a record as a document of plain values."""
    match record:
        case Stored(member=member, read_at=read_at, chunk=chunk, last_id=last_id):
            return {
                "member": member,
                "read_at": read_at,
                "last_id": last_id,
                "chunk": {
                    "key": chunk.key,
                    "docs": chunk.docs,
                    "bytes": chunk.bytes,
                    "stored_bytes": chunk.stored_bytes,
                    "sha256": chunk.sha256,
                },
            }
        case Ended():
            return {
                "member": record.member,
                "since": record.since,
                "read_at": record.read_at,
                "gone_at": record.gone_at,
            }


def to_record(found: Mapping[str, Any]) -> Record:
    """Undo ``from_record``."""
    member: int = found["member"]
    read_at: ClusterTime = found["read_at"]
    if "chunk" in found:
        chunk = Chunk(**found["chunk"])
        return Stored(member=member, read_at=read_at, chunk=chunk, last_id=found["last_id"])
    return Ended(member=member, since=found["since"], read_at=read_at, gone_at=found["gone_at"])


def key_of(record: Record) -> str:
    """Return what makes a record the same as another of its task."""
    return record.chunk.key if isinstance(record, Stored) else f"member {record.member} ended"
