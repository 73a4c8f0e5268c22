"""Trying again: the one place where a storage's passing failures are waited out."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from agent.core.errors import TransientError
from agent.core.flow import Stop
from agent.core.retry import RetryPolicy, retry
from agent.ports import ObjectStore, StoredObject

T = TypeVar("T")
OnRetry = Callable[[TransientError, int], None]

# Objects of a listing that are fetched under one policy: as many as S3 puts into one answer.
_PAGE_COUNT: Final = 1000


class RetryingStore:
    """Another store, each call of which is repeated while it fails for the moment.

    ``on_retry`` is told the error and the number of the try that failed, from the thread that
    called. Raises, beside what the other store raises: Stopped.
    """

    def __init__(
        self, inner: ObjectStore, policy: RetryPolicy, stop: Stop, on_retry: OnRetry | None = None
    ) -> None:
        self._inner = inner
        self._policy = policy
        self._stop = stop
        self._on_retry = on_retry

    def put(self, key: str, body: bytes | bytearray) -> None:
        """Create an object; safe to repeat, because the same content again is no error."""
        self._retry(lambda: self._inner.put(key, body))

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        return self._retry(lambda: self._inner.get(key))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield objects; after a failure the listing goes on behind the last one yielded."""
        source: Iterator[StoredObject] | None = None
        last: bytes | None = None

        def page() -> tuple[StoredObject, ...]:
            nonlocal source
            if source is None:
                source = self._after(prefix, last)
            try:
                return tuple(itertools.islice(source, _PAGE_COUNT))
            except TransientError:
                source = None
                raise

        while found := self._retry(page):
            last = found[-1].key.encode()
            yield from found

    def _after(self, prefix: str, last: bytes | None) -> Iterator[StoredObject]:
        objects = self._inner.list(prefix)
        if last is None:
            return objects
        return itertools.dropwhile(lambda stored: stored.key.encode() <= last, objects)

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects."""
        self._retry(lambda: self._inner.delete(keys))

    def probe(self) -> None:
        """Check that the storage can be reached and listed."""
        self._retry(self._inner.probe)

    def describe(self) -> str:
        """Name the storage."""
        return self._inner.describe()

    def _retry(self, call: Callable[[], T]) -> T:
        def one_try() -> T:
            self._stop.check()
            return call()

        return retry(one_try, policy=self._policy, stop=self._stop, on_retry=self._on_retry)


def _proof(store: RetryingStore) -> ObjectStore:
    return store
