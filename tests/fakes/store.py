"""An object store in memory, with faults on demand.

It passes the contract suite of `tests/contract/test_object_store.py`, so what holds over it holds
over a real storage.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from agent.core.clock import SystemClock
from agent.core.errors import PermanentError, TransientError
from agent.ports import ObjectStore, StoredObject
from agent.storage.key import check

# Told the number of the call (from 1), its method and its key or prefix, before it does anything;
# may raise in the store's place.
Fault = Callable[[int, str, str], None]


def unreachable() -> TransientError:
    """Make the error of a storage that does not answer."""
    return TransientError("storage_unreachable", "the storage does not answer")


def denied() -> PermanentError:
    """Make the error of a storage that refuses."""
    return PermanentError("storage_denied", "the storage refuses")


def fail_at(number: int, error: Exception | None = None) -> Fault:
    """Fail the n-th call of any method, from 1, and no other."""

    def fault(call: int, _method: str, _key: str) -> None:
        if call == number:
            raise error or unreachable()

    return fault


def fail_from(number: int, error: Exception | None = None) -> Fault:
    """Fail the n-th call and every one after it."""

    def fault(call: int, _method: str, _key: str) -> None:
        if call >= number:
            raise error or unreachable()

    return fault


class MemoryStore:
    """Objects in a dictionary. `objects` may be looked into and changed by a test at will."""

    def __init__(self, fault: Fault | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.fault = fault
        # Raised after a put has taken effect: its answer was lost.
        self.lose_answer_of: Callable[[str], bool] = lambda _key: False
        self.calls: list[tuple[str, str]] = []
        # When each object was put, for what was put; a test may say otherwise.
        self.modified: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Create an object."""
        self._called("put", key)
        with self._lock:
            held = self.objects.setdefault(check(key), bytes(body))
            self.modified.setdefault(key, SystemClock().now())
        if held != body:
            raise PermanentError("object_exists", f"{key} exists with another content", key=key)
        if self.lose_answer_of(key):
            raise unreachable()

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        self._called("get", key)
        with self._lock:
            body = self.objects.get(check(key))
        if body is None:
            raise PermanentError("object_missing", f"{key} is not in the storage", key=key)
        return body

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield objects in the order of their keys' bytes."""
        self._called("list", prefix)
        with self._lock:
            found = [(key, len(body)) for key, body in self.objects.items()]
        for key, size_bytes in sorted(found, key=lambda pair: pair[0].encode()):
            if key.startswith(prefix):
                yield StoredObject(
                    key=key, size_bytes=size_bytes, modified_at=self.modified.get(key)
                )

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        for key in keys:
            self._called("delete", key)
            with self._lock:
                self.objects.pop(check(key), None)
                self.modified.pop(key, None)

    def probe(self) -> None:
        """Succeed, unless a fault is set."""
        self._called("probe", "")

    def describe(self) -> str:
        """Name the storage."""
        return "memory"

    def damage(self, key: str) -> None:
        """Change one bit in the middle of an object."""
        body = bytearray(self.objects[key])
        body[len(body) // 2] ^= 1
        self.objects[key] = bytes(body)

    def _called(self, method: str, key: str) -> None:
        with self._lock:
            self.calls.append((method, key))
            number = len(self.calls)
        if self.fault is not None:
            self.fault(number, method, key)


def _proof(store: MemoryStore) -> ObjectStore:
    return store
