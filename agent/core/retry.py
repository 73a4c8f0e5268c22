"""The one retry policy: exponential back-off with jitter, bounded, and ended by stop."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import tenacity

from agent.core.errors import TransientError
from agent.core.flow import Stop

T = TypeVar("T")
OnRetry = Callable[[TransientError, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long and how often a transient failure is tried again.

    ``limit_s`` bounds the time from the first try; waits grow from ``first_wait_s`` to
    ``longest_wait_s``.
    """

    limit_s: float = 120.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 5.0


def retry(
    call: Callable[[], T],
    *,
    policy: RetryPolicy,
    stop: Stop,
    on_retry: OnRetry | None = None,
) -> T:
    """Call until it succeeds, the policy ends, or ``stop`` is set.

    ``on_retry`` gets the error and the number of the try that failed, from 1.

    Raises: the last ``TransientError``; ``Stopped`` while waiting; any other error at once.
    """

    def told(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if on_retry is not None and isinstance(error, TransientError):
            on_retry(error, state.attempt_number)

    def pause(wait_s: float) -> None:
        if stop.wait(wait_s):
            stop.check()

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_after_delay(policy.limit_s),
        wait=tenacity.wait_random_exponential(
            multiplier=policy.first_wait_s, max=policy.longest_wait_s
        ),
        sleep=pause,
        before_sleep=told,
        reraise=True,
    )(call)


class _Persistent(Generic[T]):
    """Stands before a port and calls each method until it succeeds or the policy ends."""

    def __init__(self, port: T, policy: RetryPolicy, stop: Stop, on_retry: OnRetry | None) -> None:
        self._port = port
        self._policy = policy
        self._stop = stop
        self._on_retry = on_retry

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._port, name)

        def call(*args: object, **options: object) -> object:
            return retry(
                lambda: method(*args, **options),
                policy=self._policy,
                stop=self._stop,
                on_retry=self._on_retry,
            )

        return call


def persistent(port: T, *, policy: RetryPolicy, stop: Stop, on_retry: OnRetry | None = None) -> T:
    """Return a port whose every method waits out transient failures, as ``retry`` does.

    For ports whose methods may all be repeated when an answer was lost, and return values,
    not iterators.
    """
    return cast("T", _Persistent(port, policy, stop, on_retry))
