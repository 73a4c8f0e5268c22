"""Removes objects from a storage that may refuse some of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.ports import ObjectStore

# After so many refusals the storage has been asked often enough.
MOST_REFUSED: Final = 100
# How a storage refuses an object, and not everything.
_REFUSALS: Final = frozenset({"storage_denied", "storage_refused"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An object that a storage did not remove, and why."""

    key: str
    error: PermanentError


class Remover:
    """Remembers what was refused; owned by one thread. ``held`` is called before each request."""

    def __init__(self, store: ObjectStore, held: Callable[[], None]) -> None:
        self._store = store
        self._held = held
        self._refused: dict[str, Refused] = {}

    @property
    def refused(self) -> Sequence[Refused]:
        """What was not removed, in the order in which it was tried."""
        return tuple(self._refused.values())

    @property
    def is_hopeless(self) -> bool:
        """Whether there is no use in going on."""
        return len(self._refused) >= MOST_REFUSED

    def is_refused(self, key: str) -> bool:
        """Whether an object was tried in vain."""
        return key in self._refused

    def remove(self, keys: Sequence[str]) -> Sequence[str]:
        """Remove objects by one request; return those that are gone.

        If something of it is refused, which is not always told, each is tried by itself.

        Raises: TransientError; LeaseLost; PermanentError of the storage as a whole.
        """
        if not keys:
            return ()
        error = self._try(keys)
        if error is None:
            return keys
        if len(keys) == 1:
            self._refused[keys[0]] = Refused(key=keys[0], error=error)
            return ()
        return [key for key in keys if not self.is_hopeless and self.remove([key])]

    def _try(self, keys: Sequence[str]) -> PermanentError | None:
        self._held()
        try:
            self._store.delete(keys)
            passing(Point.PRUNE_OBJECTS_GONE)
        except PermanentError as error:
            if error.code not in _REFUSALS:
                raise
            return error
        return None
