"""Counting what goes into a storage and what comes out of it."""

from collections.abc import Iterator, Sequence

from agent.ports import Instruments, ObjectStore, StoredObject


class CountingStore:
    """Another store, each of whose objects is counted when it has arrived."""

    def __init__(self, inner: ObjectStore, label: str, instruments: Instruments) -> None:
        self._inner = inner
        self._label = label
        self._instruments = instruments

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Create an object."""
        # What is uploaded may be given back by then: a buffer that is used again.
        size_bytes = len(body)
        self._inner.put(key, body)
        self._instruments.count_bytes(self._label, "written", size_bytes)

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        body = self._inner.get(key)
        self._instruments.count_bytes(self._label, "read", len(body))
        return body

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield objects."""
        return self._inner.list(prefix)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        self._inner.delete(keys)

    def probe(self) -> None:
        """Check that the storage can be reached and listed."""
        self._inner.probe()

    def describe(self) -> str:
        """Name the storage."""
        return self._inner.describe()


def _proof(store: CountingStore) -> ObjectStore:
    return store
