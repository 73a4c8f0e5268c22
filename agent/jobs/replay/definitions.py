"""Definitions of collections and indexes, replayed into the workspace and its places."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, assert_never

from agent.codec import index_specs
from agent.core.errors import PermanentError
from agent.jobs.workspace import Piece, Workspace
from agent.model.catalogue import Collection
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace, is_backed_up
from agent.model.replay import (
    AddIndexes,
    Create,
    Definition,
    Drop,
    DropDatabase,
    DropIndexes,
    Empty,
    Modify,
    Rename,
    ReplayLimits,
    is_passing,
    just_before,
    restore_before,
    unknown_entry,
)
from agent.ports import ReplayTarget

_TEMPORARY: Final = frozenset({b"temp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Barrier:
    """How a definition reaches the target: after all changes before it, and again if it must."""

    fence: Callable[[], None]
    attempt: Callable[[Callable[[], object]], object]


class Definitions:
    """What definitions have done to a workspace so far; owned by the replay's thread.

    Entries on a collection from the manifest count after ``catalogue_at``; entries on one that
    the replay itself created always do.
    """

    def __init__(
        self, workspace: Workspace, target: ReplayTarget, limits: ReplayLimits, barrier: Barrier
    ) -> None:
        self._workspace = workspace
        self._target = target
        self._limits = limits
        self._barrier = barrier
        self._born: set[bytes] = set()
        self._temporary: set[bytes] = set()
        # Created under a name that is not wanted.
        self._passed_over: set[bytes] = set()
        # Wanted by a rename, and nowhere to be had: when, and under which name.
        self._unknown: dict[bytes, tuple[ClusterTime, Namespace]] = {}

    def apply(self, time: ClusterTime, definition: Definition) -> bool:
        """Replay one definition; return whether it concerned the restore at all."""
        match definition:
            case Create():
                return self._create(time, definition)
            case Drop():
                return self._drop(time, definition.uuid)
            case DropDatabase():
                return self._drop_database(time, definition.database)
            case Rename():
                return self._rename(time, definition)
        piece = self._concerned(time, definition.uuid)
        if piece is None:
            return False
        match definition:
            case Modify():
                self._modify(piece, definition)
            case AddIndexes():
                self._index(piece, index_specs.added(piece.collection.indexes, definition.specs))
            case DropIndexes():
                self._index(piece, index_specs.dropped(piece.collection.indexes, definition))
            case Empty():
                self._at_target(lambda: self._target.empty(piece.place))
            case _:
                assert_never(definition)
        return True

    def finish(self) -> None:
        """Remove what no restore wants: temporary collections, and those renamed away.

        What a rename brought into the database of another target is moved there.

        Raises: PermanentError ``replay_misses_collection``.
        """
        for time, name in self._unknown.values():
            raise PermanentError(
                "replay_misses_collection",
                f"{name} is a collection that got this name at {time}, and the backup has it not",
                hint=f"{restore_before(time)}, or more collections, or a later backup",
                at=str(time),
                missing=frozenset(self._unknown),
                born=frozenset(self._passed_over & self._unknown.keys()),
            )
        for piece in tuple(self._workspace):
            collection = piece.collection
            if collection.uuid in self._temporary or not self._wants(collection.namespace):
                self._remove(piece)
                continue
            place = self._workspace.proper_place(piece)
            if place != piece.place:
                self._at_target(partial(self._target.move, piece.place, place))
                self._workspace.put(replace(piece, place=place))

    def _wants(self, namespace: Namespace) -> bool:
        # A selection of everything still means users' data: no server's own collections, and
        # no temporary ones of an earlier restore.
        return is_backed_up(namespace, "") and self._limits.selects(namespace)

    def _concerned(self, time: ClusterTime, uuid: bytes) -> Piece | None:
        if uuid in self._born or time > self._limits.catalogue_at:
            return self._workspace.find(uuid)
        return None

    def _create(self, time: ClusterTime, create: Create) -> bool:
        passing = is_passing(
            create.namespace, is_temporary=create.is_temporary, closed=self._limits.closed
        )
        # One that has its true name is in the manifest, or was dropped before that was made.
        is_listed = time <= self._limits.catalogue_at and not passing
        if is_listed or self._workspace.find(create.uuid) is not None:
            return False
        is_followed = passing or create.uuid in self._limits.followed
        if not is_followed and not self._wants(create.namespace):
            self._passed_over.add(create.uuid)
            return False
        collection = Collection(
            namespace=create.namespace,
            kind="collection",
            uuid=create.uuid,
            # A temporary collection would vanish with the primary.
            options=index_specs.without(create.options, _TEMPORARY),
            indexes=() if create.id_index is None else (create.id_index,),
            traits=create.traits,
        )
        piece = self._workspace.add(collection, just_before(time))
        self._born.add(create.uuid)
        if create.is_temporary:
            self._temporary.add(create.uuid)
        self._barrier.attempt(lambda: self._target.create(piece.place, collection))
        return True

    def _drop(self, time: ClusterTime, uuid: bytes) -> bool:
        self._unknown.pop(uuid, None)
        piece = self._concerned(time, uuid)
        if piece is None:
            return False
        self._remove(piece)
        return True

    def _drop_database(self, time: ClusterTime, database: str) -> bool:
        for uuid, (_, name) in tuple(self._unknown.items()):
            if name.database == database:
                del self._unknown[uuid]
        pieces = [
            piece
            for piece in self._workspace
            if piece.collection.namespace.database == database
            and self._concerned(time, piece.collection.uuid) is not None
        ]
        for piece in pieces:
            self._remove(piece)
        return bool(pieces)

    def _rename(self, time: ClusterTime, rename: Rename) -> bool:
        replaced = rename.drop_target is not None and self._drop(time, rename.drop_target)
        piece = self._concerned(time, rename.uuid)
        if piece is None:
            self._unknown.pop(rename.uuid, None)
            is_listed = time <= self._limits.catalogue_at
            if not is_listed and self._wants(rename.target):
                self._unknown[rename.uuid] = (time, rename.target)
            return replaced
        home = piece.collection.namespace.database
        if rename.target.database != home:
            # The server copies into another database, and writes that down instead.
            what = f"a rename of {piece.collection.namespace} to {rename.target}"
            raise unknown_entry(time, what)
        self._workspace.move(piece, rename.target)
        if not rename.stays_temporary:
            self._temporary.discard(rename.uuid)
        return True

    def _modify(self, piece: Piece, modify: Modify) -> None:
        options = modify.options
        if options is not None:
            self._at_target(lambda: self._target.modify(piece.place, options))
        if modify.changes_ttl:
            piece = replace(piece, ttl_s=modify.ttl_s)
            self._workspace.put(piece)
        if modify.index is not None:
            self._index(piece, index_specs.modified(piece.collection.indexes, modify.index))

    def _index(self, piece: Piece, indexes: tuple[bytes, ...]) -> None:
        collection = replace(piece.collection, indexes=indexes)
        self._workspace.put(replace(piece, collection=collection))

    def _remove(self, piece: Piece) -> None:
        self._at_target(lambda: self._target.drop(piece.place))
        self._workspace.remove(piece.collection.uuid)

    def _at_target(self, step: Callable[[], object]) -> None:
        self._barrier.fence()
        self._barrier.attempt(step)
