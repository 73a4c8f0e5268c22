"""What a restore changes in the replica set."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent.model.catalogue import Collection
from agent.model.names import Namespace


class RestoreTarget(Protocol):
    """The replica set as what a restore loads into: temporary collections only.

    Writes are majority-acknowledged when a method returns. Every method raises TransientError
    for what passes by itself (a write is then in an unknown state, and may be repeated as its
    comment says), and PermanentError for what does not. Methods may be called from several
    threads at once.
    """

    def free_bytes(self) -> int | None:
        """Return the room on the primary's disk; None if the server does not tell it."""
        ...

    def temporaries(self) -> tuple[Namespace, ...]:
        """List the temporary collections of all restores, by name."""
        ...

    def create(self, place: Namespace, collection: Collection) -> bytes:
        """Create a temporary collection, empty, with a collection's options, and return its UUID.

        Options are taken verbatim, except an expiry of the collection itself. What is there
        under that name is dropped first, so that a call may be repeated.
        """
        ...

    def load(self, place: Namespace, data: bytes, *, in_order: bool, again: bool) -> None:
        """Insert whole documents byte for byte, without validation.

        ``in_order`` keeps the order of insertion, for capped collections; such a load cannot
        be repeated: create the collection anew. Otherwise, after a TransientError, repeat it
        with ``again``: a document that is there counts as loaded if its bytes are equal.

        Raises: PermanentError ``document_without_id``, ``document_too_deep``,
        ``document_refused`` or ``document_differs``, naming the document by its ``_id`` or
        its position.
        """
        ...

    def build_indexes(self, place: Namespace, indexes: Sequence[bytes]) -> None:
        """Build indexes in one command, and wait for the end; existing equal ones are no error.

        Dropping the collection meanwhile ends it with an error.

        Raises: PermanentError ``duplicate_key`` and others, naming the index.
        """
        ...

    def count(self, place: Namespace) -> int:
        """Count the documents of a collection by reading all of them."""
        ...

    def uuid(self, namespace: Namespace) -> bytes | None:
        """Return a collection's UUID; empty for a view; None if there is neither."""
        ...

    def drop(self, namespace: Namespace) -> None:
        """Drop a collection, view or time series with its buckets; no error if there is none."""
        ...


class ReplayTarget(Protocol):
    """The replica set as what a replay writes to: temporary collections, on the primary.

    Writes are majority-acknowledged when a method returns. Every method raises TransientError
    for what passes by itself; the call may then be repeated as it was. Methods may be called
    from several threads at once.
    """

    def deletes_from_capped(self) -> bool:
        """Whether documents of a capped collection can be deleted; 5.0 refuses."""
        ...

    def put(self, place: Namespace, documents: Sequence[bytes]) -> None:
        """Insert whole documents, in any order; one that is there already is replaced.

        Cheaper for the server than ``apply``; no document may need care, nor be in a capped
        collection or one with a collation. May be repeated.

        Raises: PermanentError ``replay_refused`` with the ``position`` of the refused one.
        """
        ...

    def apply(self, operations: Sequence[bytes], *, atomic: bool) -> tuple[int, ...]:
        """Apply changes in order; return the positions of updates whose document is missing.

        Those change nothing, and the others take effect. ``atomic`` allows the faster way
        that must not be taken for every document and collection. A call may be repeated
        after a TransientError: only updates of documents that a later operation deletes can
        then be missing newly.

        Raises: PermanentError ``replay_refused`` if the server refuses anything else.
        """
        ...

    def create(self, place: Namespace, collection: Collection) -> bytes:
        """Create a temporary collection, as RestoreTarget does."""
        ...

    def modify(self, place: Namespace, options: bytes) -> None:
        """Change options of a collection as ``collMod`` in an oplog entry says."""
        ...

    def empty(self, place: Namespace) -> None:
        """Remove all documents of a capped collection."""
        ...

    def move(self, place: Namespace, target: Namespace) -> None:
        """Rename a temporary collection into another database, with all documents as they are.

        May be repeated: one that is there already is no error. Never for buckets.
        """
        ...

    def drop(self, namespace: Namespace) -> None:
        """Drop a collection; no error if there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRule:
    """A view as the definitions of its database have it; ``on`` is a name without database."""

    name: Namespace
    on: str


class SwitchTarget(Protocol):
    """The steps that put temporary collections in the places of their targets.

    Errors as with RestoreTarget. Each step may be repeated after a TransientError.
    """

    def rename(self, place: Namespace, target: Namespace, replaced: bytes | None) -> None:
        """Give a temporary collection its target's name, at once for all readers.

        ``replaced`` is the UUID of the collection that it takes the place of; None: there
        must be none. Works for buckets too. Waits for open transactions on the target, and
        writers of it wait meanwhile, so never longer than 2 seconds.

        Raises: TransientError ``target_busy`` after that time; PermanentError
        ``target_exists``.
        """
        ...

    def complete_time_series(self, target: Namespace) -> None:
        """Make the view over renamed buckets, under the name that users know, if it is missing."""
        ...

    def set_expiry(self, target: Namespace, expire_after_s: int) -> None:
        """Let a clustered collection or a time series delete old documents again."""
        ...

    def views(self, place: Namespace) -> tuple[ViewRule, ...]:
        """List the views, not the time series, whose definitions a temporary collection holds."""
        ...

    def put_view(self, place: Namespace, rule: ViewRule, target: Namespace, on: str) -> None:
        """Create a view as its definition in ``place`` says, under another name and base.

        A view of that name is replaced.
        """
        ...

    def put_javascript(self, place: Namespace, database: str) -> None:
        """Make a database's stored JavaScript be exactly the documents of ``place``."""
        ...

    def merge_users(
        self, users: Namespace | None, roles: Namespace | None, *, replace: bool
    ) -> None:
        """Bring in users and roles from temporary collections.

        With ``replace`` they become exactly those, otherwise existing ones stay as they are.
        The user that the agent itself is logged in as, and its roles, stay in both cases.
        """
        ...

    def blockers(self) -> tuple[str, ...]:
        """Name the open transactions that a rename may be waiting for, for people to read."""
        ...
