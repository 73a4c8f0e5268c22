"""The same work on many values, by a few threads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from agent.core.errors import AgentError
from agent.core.flow import Pipe, Stop, WorkerGroup

T = TypeVar("T")

_GLANCE_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Crew:
    """How many threads, what ends them, and what must hold before each value."""

    workers: int
    stop: Stop
    held: Callable[[], None]

    def each(
        self,
        name: str,
        values: Sequence[T],
        work: Callable[[T], None],
        *,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Do some work on every value; the first error ends all and is raised.

        ``on_end`` is called once when the end was asked for or an error came while threads
        still work: it makes them return from calls that may take hours.
        """
        with WorkerGroup(name, self.stop) as group:
            pipe: Pipe[T] = Pipe(max(1, len(values) + 1), group.stop)
            for value in values:
                pipe.put(value)
            pipe.close()

            def drain() -> None:
                for value in pipe:
                    self.held()
                    work(value)

            for number in range(min(self.workers, len(values))):
                group.start(drain, str(number))
            if on_end is not None:
                self._watch(group, on_end)

    def _watch(self, group: WorkerGroup, on_end: Callable[[], None]) -> None:
        while group.alive_count:
            asked = group.stop.wait(_GLANCE_S)
            try:
                self.held()
            except AgentError:
                on_end()
                raise
            if asked:
                on_end()
                return
