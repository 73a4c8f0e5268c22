"""All tests of one agent: each part in a thread of its own, within a bound."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agent.core.clock import Clock
from agent.core.errors import AgentError, Stopped
from agent.core.flow import Shared, Stop, WorkerGroup
from agent.core.log import Log
from agent.model.check import Finding, failed

# Less than the coordinator waits for the answer.
LONGEST_S: Final = 25.0
_GLANCE_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Tests that follow each other; ``storage`` is the label of the storage they are about."""

    name: str
    run: Callable[[], Iterable[Finding]]
    storage: str | None = None


class Examination:
    """Runs the parts of one agent, again at each call of ``findings``.

    A fault of ours in a test is a failed finding, and a test that never ends another: neither
    may end an agent, or keep it from telling the rest.
    """

    def __init__(
        self, parts: Sequence[Part], clock: Clock, log: Log, *, longest_s: float = LONGEST_S
    ) -> None:
        self._parts = tuple(parts)
        self._clock = clock
        self._log = log
        self._longest_s = longest_s

    def findings(self, stop: Stop) -> tuple[Finding, ...]:
        """Return what all tests found, part by part. Raises: Stopped."""
        running = [_Running(part, stop) for part in self._parts]
        until = self._clock.monotonic() + self._longest_s
        while any(each.is_alive for each in running) and self._clock.monotonic() < until:
            if stop.wait(_GLANCE_S):
                stop.check()
        return tuple(
            finding for each in running for finding in each.outcome(self._longest_s, self._log)
        )


def tell_failed(findings: Iterable[Finding], log: Log) -> None:
    """Log the findings that a person must act on."""
    for each in findings:
        if each.outcome == "failed":
            log.error("found at the start", test=each.test, reason=each.message, hint=each.hint)


class _Running:
    """One part at work."""

    def __init__(self, part: Part, stop: Stop) -> None:
        self._part = part
        self._found: Shared[tuple[Finding, ...]] = Shared(())
        self._group = WorkerGroup("check", stop)
        self._group.start(self._work, part.name)

    @property
    def is_alive(self) -> bool:
        return self._group.alive_count > 0

    def _work(self) -> None:
        try:
            for finding in self._part.run():
                self._found.update(lambda found, new=finding: (*found, new))  # type: ignore[misc]
                self._group.stop.check()
        except Stopped:
            raise
        except AgentError as error:
            new = failed(self._part.name, error, storage=self._part.storage)
            self._found.update(lambda found: (*found, new))

    def outcome(self, longest_s: float, log: Log) -> Iterator[Finding]:
        """Yield what was found, and why that is not all, if it is not."""
        yield from self._found.get()
        if self.is_alive:
            self._group.stop.set("the test takes too long")
            yield self._broken(f"the tests did not end within {longest_s:.0f} s", "")
            return
        error = self._group.outcome()
        if error is None:
            return
        if isinstance(error, Stopped):
            yield self._broken("the tests were broken off, as the agent ends", "ask again")
            return
        log.error("test died", test=self._part.name, error=repr(error), exc_info=error)
        yield self._broken(
            f"the test died of {type(error).__name__}",
            "this is a fault in the agent; its log has the details",
        )

    def _broken(self, message: str, hint: str) -> Finding:
        return Finding(
            test=self._part.name,
            outcome="failed",
            message=message,
            storage=self._part.storage,
            hint=hint,
        )
