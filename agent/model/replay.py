"""What oplog entries say, and the pure rules of replaying them.

A namespace in here is the source's. UUIDs are 16 bytes; every document is its BSON bytes.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from agent.core.errors import PermanentError
from agent.model.catalogue import Traits
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace

ChangeKind = Literal["i", "u", "d"]

# Cross-database renames and convertToCapped fill a collection of such a name, then rename it.
_SERVER_MADE: Final = re.compile(r"^tmp[A-Za-z0-9]{5}\.(renameCollection$|convertToCapped\.)")
_SERVER_DATABASES: Final = frozenset({"admin", "config", "local"})


class Change(NamedTuple):
    """One inserted, updated or deleted document.

    ``body`` is the inserted document, or the update (a diff or a whole document); ``selector``
    begins with the ``_id`` of an updated or deleted document. ``upserts`` is the entry's own
    word on a document that is not there. A tuple, because a replay makes a million of them.
    """

    kind: ChangeKind
    uuid: bytes
    namespace: str
    body: bytes
    selector: bytes
    upserts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """A collection is created; ``options`` as a listing would show them."""

    uuid: bytes
    namespace: Namespace
    options: bytes
    id_index: bytes | None
    traits: Traits
    is_temporary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A collection is dropped."""

    uuid: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DropDatabase:
    """A database is dropped; its collections were dropped before, one by one."""

    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """A collection gets another name; the one of UUID ``drop_target`` ends by this."""

    uuid: bytes
    target: Namespace
    drop_target: bytes | None
    stays_temporary: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Modify:
    """``collMod``: ``options`` without what concerns an index or expiry; None if nothing is left.

    ``index`` is the document that says which index changes and how. ``ttl_s`` means something
    only if ``changes_ttl``; None then ends the expiry.
    """

    uuid: bytes
    options: bytes | None
    index: bytes | None
    changes_ttl: bool
    ttl_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddIndexes:
    """Indexes are there from now on, as a listing would show them."""

    uuid: bytes
    specs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DropIndexes:
    """Indexes are dropped: by name, by key, or all but the one on ``_id``."""

    uuid: bytes
    names: tuple[str, ...] = ()
    keys: tuple[bytes, ...] = ()
    every: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty:
    """A capped collection is emptied."""

    uuid: bytes


@dataclass(frozen=True, slots=True)
class Strange:
    """Something that nobody taught us to replay."""

    what: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing to replay: no-ops, and steps of an index build before its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Several operations in one entry: each is a document like an entry's.

    ``upserts``: an update of a document that is not there makes one. ``session`` is None if they
    take effect with this entry. Otherwise they are (a part of) the
    transaction ``number`` of a session: ``continues`` an earlier part, ``is_partial`` if
    another part follows, ``count`` operations in all parts if it says so.
    """

    operations: tuple[bytes, ...]
    upserts: bool = False
    session: bytes | None = None
    number: int = 0
    continues: bool = False
    is_partial: bool = False
    is_prepared: bool = False
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """A prepared transaction ends: visible from ``commit_at``, or aborted if None."""

    session: bytes
    number: int
    commit_at: ClusterTime | None


Definition = Create | Drop | DropDatabase | Rename | Modify | AddIndexes | DropIndexes | Empty
Operation = Change | Definition | Strange | Nothing
Content = Operation | Bundle | Settle


class Entry(NamedTuple):
    """One oplog entry."""

    time: ClusterTime
    content: Content


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayLimits:
    """What a replay is to reach.

    Nothing after ``until`` is applied. A missing document is tolerated up to and with
    ``tolerate_missing_until``, and a failure after it. Definitions up to and with
    ``catalogue_at`` are in the manifest's options and indexes. ``selects`` says of a source
    namespace (of time series: the bucket collection's) whether the restore wants it: never of
    the control database's, as to server databases and temporaries it need not care. It must
    say so of all that the workspace holds at the start, but for ``followed``: the UUIDs of
    collections that are followed under whatever name, because they get a wanted one. Nothing is
    followed that only passes through ``closed`` databases.
    """

    until: ClusterTime
    tolerate_missing_until: ClusterTime
    catalogue_at: ClusterTime
    selects: Callable[[Namespace], bool]
    followed: frozenset[bytes] = frozenset()
    closed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """What a replay did.

    ``applied_count``: changes and definitions that took effect; ``skipped_count``: those that
    were in the copies already, or are not wanted; ``missing_count``: updates of documents
    that were not there, tolerated. ``reached``: the last entry that was looked at.
    """

    applied_count: int
    skipped_count: int
    missing_count: int
    reached: ClusterTime


def is_passing(
    namespace: Namespace, *, is_temporary: bool, closed: frozenset[str] = frozenset()
) -> bool:
    """Whether a new collection may get its true name only by a later rename.

    ``$out`` makes temporary ones; so do the server's renames across databases and our own
    restores. They are followed whatever the selection says of the name they have now, but for
    those in databases of a server and in ``closed`` ones.
    """
    if namespace.database in _SERVER_DATABASES | closed:
        return False
    return (
        is_temporary
        or namespace.is_temporary
        or _SERVER_MADE.match(namespace.collection) is not None
    )


def just_before(time: ClusterTime) -> ClusterTime:
    """Return the last time before another one.

    A transaction creates a collection and fills it at one and the same time.
    """
    if time.increment > 0:
        return ClusterTime(time.seconds, time.increment - 1)
    return ClusterTime(time.seconds - 1, 2**32 - 1)


def unknown_entry(time: ClusterTime, what: str) -> PermanentError:
    """Return the error for an entry that must not be guessed at."""
    return PermanentError(
        "replay_unknown_entry",
        f"the oplog has {what} at {time}, which cannot be replayed",
        hint=f"{restore_before(time)}, or from a backup made after it",
        at=str(time),
    )


def restore_before(time: ClusterTime) -> str:
    """Return a hint that names the last time before one that cannot be replayed."""
    last = just_before(time)
    return f"restore to Timestamp({last.seconds}, {last.increment}) or a time before it"


def placed(error: PermanentError, time: ClusterTime) -> PermanentError:
    """Return an error with the time of the entry that it is about, and the last one before it."""
    if "at" in error.facts:
        return error
    return PermanentError(
        error.code,
        f"{error.message} (the oplog at {time})",
        hint=restore_before(time) if not error.hint else f"{error.hint}; {restore_before(time)}",
        **{**error.facts, "at": str(time)},
    )
