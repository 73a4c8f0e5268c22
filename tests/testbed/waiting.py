"""Waiting for facts, with a bound."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

# Whether a condition is being asked, again and again.
_asking: ContextVar[bool] = ContextVar("asking", default=False)


def is_asking() -> bool:
    """Whether the caller is the condition of an `eventually`, which runs many times."""
    return _asking.get()


def eventually(
    condition: Callable[[], T | None],
    timeout_s: float = 20.0,
    interval_s: float = 0.05,
    message: str = "",
) -> T:
    """Call the condition until it returns something true, and return that.

    An AssertionError of the condition counts as "not yet", and is the cause of the final failure.

    Raises: AssertionError when the condition is still false after `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        failure: AssertionError | None = None
        value: T | None = None
        try:
            with _turn():
                value = condition()
        except AssertionError as error:
            failure = error
        if value:
            return value
        if time.monotonic() >= deadline:
            what = message or getattr(condition, "__name__", "the condition")
            seen = failure or f"last value {value!r}"
            raise AssertionError(f"not within {timeout_s:g} s: {what} ({seen})") from failure
        time.sleep(interval_s)


@contextmanager
def _turn() -> Iterator[None]:
    before = _asking.set(True)
    try:
        yield
    finally:
        _asking.reset(before)
