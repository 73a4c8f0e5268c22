"""Threads, the queues between them, and how they end.

A thread belongs to a ``WorkerGroup``; a wait goes through a ``Stop``, so that every wait can
be ended; values pass through a bounded ``Pipe``. The first error in a group stops the group.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

from agent.core.clock import monotonic
from agent.core.errors import Stopped

T = TypeVar("T")

# How long a blocked queue operation goes without looking at its stop.
_GLANCE_S = 0.1


class Stop:
    """A request to end, which reaches every child made from it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._children: list[Stop] = []
        self._reason = "stopped"

    def child(self) -> "Stop":
        """Return a stop that is set with this one, and can be set alone."""
        made = Stop()
        with self._lock:
            self._children.append(made)
        if self.is_set:
            made.set(self._reason)
        return made

    def drop(self, child: "Stop") -> None:
        """Forget a child whose work has ended."""
        with self._lock:
            if child in self._children:
                self._children.remove(child)

    def set(self, reason: str = "stopped") -> None:
        """Ask for the end; the first reason is kept."""
        with self._lock:
            if not self._event.is_set():
                self._reason = reason
                self._event.set()
            children = tuple(self._children)
        for child in children:
            child.set(reason)

    @property
    def is_set(self) -> bool:
        """Whether the end was asked for."""
        return self._event.is_set()

    @property
    def reason(self) -> str:
        """Why the end was asked for."""
        return self._reason

    def wait(self, timeout_s: float) -> bool:
        """Wait up to ``timeout_s`` seconds; return whether the end was asked for."""
        return self._event.wait(max(0.0, timeout_s))

    def check(self) -> None:
        """Raise ``Stopped`` if the end was asked for."""
        if self.is_set:
            raise Stopped(self._reason)


class _End:
    """Marks the end of a pipe."""


class Pipe(Generic[T]):
    """A bounded queue of values from producers to consumers.

    ``close`` is called once, when all producers are done; every consumer then sees the end.
    """

    def __init__(self, size_count: int, stop: Stop) -> None:
        self._queue: queue.Queue[T | _End] = queue.Queue(maxsize=size_count)
        self._stop = stop

    def put(self, value: T) -> None:
        """Hand a value over, waiting for room. Raises: Stopped."""
        self._put(value)

    def close(self) -> None:
        """Say that no value follows. Raises: Stopped."""
        self._put(_End())

    def _put(self, value: T | _End) -> None:
        while True:
            self._stop.check()
            try:
                self._queue.put(value, timeout=_GLANCE_S)
            except queue.Full:
                continue
            return

    def __iter__(self) -> Iterator[T]:
        """Yield values until the pipe is closed. Raises: Stopped."""
        while True:
            self._stop.check()
            try:
                value = self._queue.get(timeout=_GLANCE_S)
            except queue.Empty:
                continue
            if isinstance(value, _End):
                self._queue.put(value)
                return
            yield value


class WorkerGroup:
    """Named threads that live and die together.

    Used as a context: leaving it waits for all; the first error stops the others and is
    raised. An error in the body of the context stops the workers too.
    """

    def __init__(self, name: str, parent: Stop) -> None:
        self._name = name
        self._parent = parent
        self.stop = parent.child()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None], name: str) -> None:
        """Run ``work`` in a thread of its own."""
        thread = threading.Thread(
            target=self._guard, args=(work,), name=f"{self._name}-{name}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the guard hands every error to the owner
            with self._lock:
                if self._error is None or isinstance(self._error, Stopped):
                    self._error = error
            self.stop.set(self.stop.reason if self.stop.is_set else "another worker failed")

    @property
    def failed(self) -> bool:
        """Whether a worker ended with an error."""
        with self._lock:
            return self._error is not None

    @property
    def error(self) -> BaseException | None:
        """The first error of a worker, if there was one."""
        with self._lock:
            return self._error

    @property
    def alive_count(self) -> int:
        """Workers that have not ended."""
        return sum(thread.is_alive() for thread in self._threads)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for all workers; return whether all have ended. Raises: the first error."""
        until = None if timeout_s is None else monotonic() + timeout_s
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            return False
        self._parent.drop(self.stop)
        with self._lock:
            if self._error is not None:
                raise self._error
        return True

    def outcome(self) -> BaseException | None:
        """Wait for all workers and return the first error; None if there was none."""
        for thread in self._threads:
            thread.join()
        self._parent.drop(self.stop)
        return self.error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.join()
            return
        self.stop.set("the work was given up")
        for thread in self._threads:
            thread.join()
        self._parent.drop(self.stop)
        # A body that was only told to stop hides the worker's error that stopped it.
        if isinstance(error, Stopped) and self._error is not None:
            raise self._error from error


class Shared(Generic[T]):
    """One value that one thread replaces and others read."""

    def __init__(self, value: T) -> None:
        self._lock = threading.Lock()
        self._value = value

    def get(self) -> T:
        """Return the value."""
        with self._lock:
            return self._value

    def set(self, value: T) -> None:
        """Replace the value."""
        with self._lock:
            self._value = value

    def update(self, change: Callable[[T], T]) -> T:
        """Replace the value by ``change(value)`` in one step and return it."""
        with self._lock:
            self._value = change(self._value)
            return self._value
