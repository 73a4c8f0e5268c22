"""Rights that end unless they are renewed in time, and the one thread that renews them."""

from collections.abc import Callable

from agent.core.clock import Clock
from agent.core.errors import LeaseLost, TransientError
from agent.core.flow import Shared, Stop


class Held:
    """A right that its holder gives up by its own clock, before anyone else may take it."""

    def __init__(self, name: str, clock: Clock, ends_at: float) -> None:
        self._name = name
        self._clock = clock
        self._ends_at: Shared[float | None] = Shared(ends_at)

    @property
    def is_held(self) -> bool:
        """Whether the right still stands."""
        ends_at = self._ends_at.get()
        return ends_at is not None and self._clock.monotonic() < ends_at

    def check(self) -> None:
        """Raise LeaseLost unless the right still stands."""
        if not self.is_held:
            raise LeaseLost(self._name)

    def lose(self) -> None:
        """Give the right up for good."""
        self._ends_at.set(None)

    def prolong(self, ends_at: float) -> None:
        """Move the end; a right that was lost stays lost."""
        self._ends_at.update(lambda old: None if old is None else ends_at)


class Keeper:
    """Renews every right that it was given, from one thread of its own."""

    def __init__(self, clock: Clock, *, every_s: float, lasts_s: float) -> None:
        self._clock = clock
        self._every_s = every_s
        self._lasts_s = lasts_s
        self._kept: Shared[dict[Held, Callable[[], None]]] = Shared({})

    def keep(self, name: str, asked_at: float, renew: Callable[[], None]) -> Held:
        """Hold a right that was asked for at the monotonic time ``asked_at``, and renew it."""
        held = Held(name, self._clock, asked_at + self._lasts_s)
        self._kept.update(lambda kept: {**kept, held: renew})
        return held

    def drop(self, held: Held) -> None:
        """Stop renewing a right and give it up."""
        held.lose()
        self._kept.update(lambda kept: {one: renew for one, renew in kept.items() if one != held})

    def run(self, stop: Stop) -> None:
        """Renew until stopped. A failed renewal is tried again; the end of the right decides."""
        while not stop.wait(self._every_s):
            for held, renew in self._kept.get().items():
                self._renew(held, renew)

    def _renew(self, held: Held, renew: Callable[[], None]) -> None:
        if not held.is_held:
            self.drop(held)
            return
        asked_at = self._clock.monotonic()
        try:
            renew()
        except LeaseLost:
            self.drop(held)
        except TransientError:
            return
        else:
            held.prolong(asked_at + self._lasts_s)
