"""The way to the agent's own node, which outlives what its connections remember."""

from collections.abc import Callable

from agent.core.flow import Shared
from agent.mongo.connect import Client


class NodeLink:
    """A client of one node, made anew when its connections are of no use.

    A connection keeps what the node was when it was opened: one to a node that was starting, or
    rolled back, never takes a session, and the pool hands out the same one again and again
    (pymongo's pool: `supports_sessions` is set once, by the first `hello`). Whoever meets one calls
    ``renew``; calls under way on the old client fail as ``mongodb_interrupted``.
    """

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._client = Shared(make())

    @classmethod
    def over(cls, client: Client) -> "NodeLink":
        """Return a way over a client that somebody else made, which is all there is."""
        return cls(lambda: client)

    @property
    def client(self) -> Client:
        """The client as it is now: to be used at once, and not to be kept."""
        return self._client.get()

    def renew(self, unfit: Client) -> None:
        """Put a new client into the place of an unfit one. Idempotent."""
        current = self._client.update(lambda known: self._make() if known is unfit else known)
        if current is not unfit:
            unfit.close()

    def close(self) -> None:
        """End all connections."""
        self.client.close()
