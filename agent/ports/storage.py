"""Where objects are kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object in a storage, as a listing tells it.

    ``modified_at`` is when it was written, by the storage's clock; None if that was not told.
    """

    key: str
    size_bytes: int
    modified_at: datetime | None = field(default=None, compare=False)


class ObjectStore(Protocol):
    """Immutable objects under keys relative to the storage's prefix.

    Every method raises TransientError (may be repeated; a put is then in an unknown state) or
    PermanentError with a stable code: ``object_missing``, ``object_exists``,
    ``storage_denied``, ``storage_bucket_missing``, ``storage_...``. Methods may be called
    from several threads at once.
    """

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Create an object in one piece; the store verifies a checksum of what it received.

        Raises: PermanentError ``object_exists`` if there is one with another content; the
        same content again is no error, so that a put whose answer was lost may be repeated.
        """
        ...

    def get(self, key: str) -> bytes:
        """Return the whole object.

        Raises: PermanentError ``object_missing``; ``damaged_object`` for one that is larger than
        any of ours, of which nothing is read.
        """
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield every object whose key starts with ``prefix``, in the order of the keys' bytes."""
        ...

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; one that is not there is no error."""
        ...

    def probe(self) -> None:
        """Check that the storage can be reached and listed, with one cheap request."""
        ...

    def describe(self) -> str:
        """Name the storage for people: ``s3://bucket/prefix`` or a directory; never a secret."""
        ...
