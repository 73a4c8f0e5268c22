"""The wrapper that tries again."""

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from agent.core.errors import PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.core.retry import RetryPolicy
from agent.ports import ObjectStore, StoredObject
from agent.storage.retrying import RetryingStore
from tests.fakes.store import MemoryStore, denied, fail_at, fail_from, unreachable

QUICK = RetryPolicy(limit_s=30, first_wait_s=0.001, longest_wait_s=0.002)

CALLS: dict[str, Callable[[ObjectStore], object]] = {
    "put": lambda store: store.put("rs/new", b"x"),
    "get": lambda store: store.get("rs/0000"),
    "list": lambda store: list(store.list("rs/")),
    "delete": lambda store: store.delete(["rs/0000"]),
    "probe": lambda store: store.probe(),
}


def filled(count: int = 3) -> MemoryStore:
    """Return a store with some objects."""
    store = MemoryStore()
    for number in range(count):
        store.put(f"rs/{number:04d}", b"x")
    store.calls.clear()
    return store


@pytest.mark.parametrize("name", CALLS)
def test_a_passing_failure_is_not_seen(name: str) -> None:
    """Each call fails twice and then does its work; each failure is told with its number."""
    inner = filled()
    told: list[tuple[str, int]] = []

    def fault(call: int, _method: str, _key: str) -> None:
        if call <= 2:
            raise unreachable()

    inner.fault = fault
    store = RetryingStore(
        inner, QUICK, Stop(), lambda error, number: told.append((error.code, number))
    )
    expected = CALLS[name](filled())
    assert CALLS[name](store) == expected
    assert told == [("storage_unreachable", 1), ("storage_unreachable", 2)]


@pytest.mark.parametrize("name", CALLS)
def test_a_failure_for_good_is_not_tried_again(name: str) -> None:
    """It is raised at once, as it is."""
    inner = filled()
    inner.fault = fail_at(1, denied())
    with pytest.raises(PermanentError, match="refuses"):
        CALLS[name](RetryingStore(inner, QUICK, Stop()))
    assert len(inner.calls) == 1


@pytest.mark.parametrize("name", CALLS)
def test_the_last_failure_is_raised_when_the_time_is_over(name: str) -> None:
    """Nothing is tried for ever."""
    inner = filled()
    inner.fault = fail_from(1)
    policy = RetryPolicy(limit_s=0.05, first_wait_s=0.001, longest_wait_s=0.002)
    with pytest.raises(TransientError, match="does not answer"):
        CALLS[name](RetryingStore(inner, policy, Stop()))
    assert len(inner.calls) > 1


@pytest.mark.parametrize("name", CALLS)
def test_a_set_stop_lets_nothing_begin(name: str) -> None:
    """After the stop no request leaves."""
    inner, stop = filled(), Stop()
    stop.set("shutting down")
    with pytest.raises(Stopped, match="shutting down"):
        CALLS[name](RetryingStore(inner, QUICK, stop))
    assert inner.calls == []


def test_a_stop_ends_the_wait() -> None:
    """A wait of a minute ends when it is asked to."""
    inner, stop = filled(), Stop()
    inner.fault = fail_from(1)
    waiting = threading.Event()
    policy = RetryPolicy(limit_s=600, first_wait_s=60, longest_wait_s=60)
    store = RetryingStore(inner, policy, stop, lambda _error, _number: waiting.set())
    ended: list[str] = []

    def work() -> None:
        try:
            store.probe()
        except Stopped as error:
            ended.append(error.message)

    thread = threading.Thread(target=work)
    thread.start()
    assert waiting.wait(5)
    stop.set("shutting down")
    thread.join(5)
    assert ended == ["shutting down"]


def test_a_put_whose_answer_was_lost_is_repeated_safely() -> None:
    """The object is there once, and the caller sees no error."""
    inner = MemoryStore()
    lost = iter([True])
    inner.lose_answer_of = lambda _key: next(lost, False)
    RetryingStore(inner, QUICK, Stop()).put("rs/one", b"content")
    assert inner.objects == {"rs/one": b"content"}
    assert len(inner.calls) == 2


class _BreakingLists:
    """A store whose listings break off after so many objects, the first times."""

    def __init__(self, inner: MemoryStore, after: Sequence[int]) -> None:
        self._inner = inner
        self._after = list(after)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        left = self._after.pop(0) if self._after else None
        for number, stored in enumerate(self._inner.list(prefix)):
            if number == left:
                raise unreachable()
            yield stored

    def put(self, key: str, body: bytes | bytearray) -> None:
        self._inner.put(key, body)

    def get(self, key: str) -> bytes:
        return self._inner.get(key)

    def delete(self, keys: Sequence[str]) -> None:
        self._inner.delete(keys)

    def probe(self) -> None:
        self._inner.probe()

    def describe(self) -> str:
        return self._inner.describe()


@pytest.mark.parametrize("after", [[0], [1], [999, 1000, 1001], [1500, 100, 2000], [2500, 2499]])
def test_a_listing_that_breaks_off_has_every_object_once(after: Sequence[int]) -> None:
    """It goes on behind the last object that was handed over, wherever it broke."""
    inner = filled(2500)
    store = RetryingStore(_BreakingLists(inner, after), QUICK, Stop())
    assert [stored.key for stored in store.list("rs/")] == sorted(inner.objects)
