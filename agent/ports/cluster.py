"""What is read from the replica set: through its primary, and from the agent's own node."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.model.catalogue import Collection, Identity, Size
from agent.model.cluster_time import ClusterTime, Position
from agent.model.names import Namespace
from agent.model.nodes import NodeFacts
from agent.model.tasks import Range


class ClusterSource(Protocol):
    """The replica set seen through its primary.

    Raises TransientError while there is no primary, PermanentError with the missing privilege.
    """

    def identity(self) -> Identity:
        """Return which replica set this is, and what it runs."""
        ...

    def write_note(self, reason: str) -> ClusterTime:
        """Write an oplog note, majority-committed, and return its cluster time.

        Everything acknowledged before the call lies before that time.
        """
        ...

    def collections(self) -> tuple[Collection, ...]:
        """List every collection and view of users' data, with options and finished indexes.

        Leaves out temporary collections and what ``names.is_backed_up`` leaves out. Sorted
        by namespace.
        """
        ...

    def locate(self, database: str, uuid: bytes) -> Namespace | None:
        """Return the present name of a collection, or None if it is not there any more."""
        ...

    def size(self, collection: Collection) -> Size:
        """Return the server's estimate of a collection's size; zero if it is gone."""
        ...

    def split(self, collection: Collection, parts: int) -> tuple[bytes, ...]:
        """Return up to ``parts - 1`` ascending bounds ``{_id: value}`` of about equal ranges."""
        ...

    def oldest_prepared(self) -> ClusterTime | None:
        """Return the start of the oldest prepared transaction that is open, if there is any."""
        ...

    def lacks(self, databases: Sequence[str], *, has_users: bool) -> str:
        """Name the privileges that a restore into these databases needs and the user has not.

        Empty if it has them, if nobody needs any, and if it cannot be told. ``has_users``: users
        and roles are restored, too.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a reader should read: ``at`` is a snapshot time; None reads natural order, majority.

    A read in natural order sees everything written up to ``since``, also on a node that is
    behind: the replay starts there.
    ``after`` is the BSON document ``{_id: value}`` of the last document that is not wanted
    any more, on a resume; it must lie within the range. ``doc_bytes`` is the average size of
    a document, as far as it is known; it sizes the first batch.
    """

    collection: Collection
    at: ClusterTime | None
    range: Range | None = None
    after: bytes | None = None
    since: ClusterTime | None = None
    doc_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Whole BSON documents, one after the other, as the server sent them."""

    data: bytes | memoryview
    docs: int


class NodeReader(Protocol):
    """This agent's own node."""

    def facts(self) -> NodeFacts:
        """Return the node's state and how far it is behind; ``updated_at`` is this host's time."""
        ...

    def read(self, request: Read) -> Generator[Batch, None, None]:
        """Yield documents in ``_id`` order, or in natural order if ``at`` is None.

        Batches have about 1 MiB. Reads by UUID in one session of its own; closing the
        generator ends the cursor.

        Raises: PermanentError ``snapshot_too_old`` (take a newer time and go on after the last
        document), ``collection_gone`` (dropped or renamed: locate it), ``cursor_gone`` (open it
        again after the last document); TransientError ``node_behind`` if the node does not
        reach ``at`` in time (another node may), and others.
        """
        ...


class OplogReader(Protocol):
    """The oplog of this agent's own node, majority-committed entries only."""

    def read(self, begin: ClusterTime, last: ClusterTime) -> Iterator[Batch]:
        """Yield the entries after ``begin``, up to and with ``last``, as raw BSON.

        Waits until the node's majority has reached ``last``.

        Raises: PermanentError ``oplog_rolled`` if entries after ``begin`` are no longer there.
        """
        ...


class OplogTail(Protocol):
    """The newest part of the oplog of this agent's own node, majority-committed entries only."""

    def after(self, position: Position) -> Generator[Batch, None, None]:
        """Yield the entries after a place, up to now, as raw BSON.

        Proves first that the place is still in this oplog: nothing is left out. Closing the
        generator ends the cursor.

        Raises: PermanentError ``oplog_rolled`` if the entries after it are no longer there,
        ``oplog_diverged`` if this oplog has another history than the place's; TransientError
        ``node_behind`` if the node has not come so far, and others, also between batches.
        """
        ...

    def position(self, time: ClusterTime) -> Position | None:
        """Return the place of the entry of a time; None if there is none.

        Waits until the node's majority has reached that time. Raises: TransientError
        ``node_behind``.
        """
        ...

    def has_barrier(self, time: ClusterTime) -> bool:
        """Whether the entry of a time is one that no restore can cross; False if there is none.

        Raises: TransientError ``node_behind``.
        """
        ...

    def oldest(self) -> Position:
        """Return the place of the oldest entry that this oplog holds."""
        ...
