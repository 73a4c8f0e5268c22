"""As whom this agent reaches its storages, asked now and then for the others to know."""

from collections.abc import Callable, Sequence
from typing import Final

from agent.core.flow import Shared, Stop
from agent.model.status import StorageAccess

# Whom keys belong to does not change while they last; an answer that failed is asked for again.
ASK_S: Final = 60.0
ASK_AGAIN_S: Final = 10.0

Access = tuple[StorageAccess, ...]


class SourceWatch:
    """Remembers what ``ask`` told last; that may wait for a server, and never fails.

    ``first`` is what is known before: the roles of the configuration.
    """

    def __init__(self, ask: Callable[[], Sequence[StorageAccess]], first: Access) -> None:
        self._ask = ask
        self._known: Shared[Access] = Shared(first)

    def access(self) -> Access:
        """Return what was told last; cheap."""
        return self._known.get()

    def run(self, stop: Stop) -> None:
        """Ask until stopped."""
        while True:
            known = tuple(self._ask())
            self._known.set(known)
            is_whole = all(each.identity is not None for each in known)
            if stop.wait(ASK_S if is_whole else ASK_AGAIN_S):
                return
