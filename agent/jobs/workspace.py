"""What a restore is building: temporary collections, found by the UUIDs they stand for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from agent.core.errors import PermanentError
from agent.model.catalogue import Collection
from agent.model.cluster_time import ClusterTime
from agent.model.names import Namespace, temporary


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One collection under construction.

    ``collection`` is what it will be: its name in the source at the time that replay has
    reached, and its indexes as the index catalogue has them then; the documents and options
    are already in ``place``. ``replay_from``: entries up to and with it are in the documents.
    ``ttl_s`` is the expiry that the collection itself (not an index) had in the source.
    """

    collection: Collection
    place: Namespace
    replay_from: ClusterTime
    ttl_s: int | None


class Workspace:
    """The pieces of one restore; owned by one thread.

    ``target`` tells where a name of the source goes: a temporary collection lies in the
    database of its target, so that the switch is a rename within it.
    """

    def __init__(
        self, token: int, target: Callable[[Namespace], Namespace] = lambda name: name
    ) -> None:
        self._token = token
        self._target = target
        self._made_count = 0
        self._pieces: dict[bytes, Piece] = {}

    def add(self, collection: Collection, replay_from: ClusterTime) -> Piece:
        """Plan a temporary collection for a source collection; nothing is created by this."""
        place = self._place(collection.namespace)
        piece = Piece(
            collection=collection,
            place=place,
            replay_from=replay_from,
            ttl_s=collection.traits.ttl_s,
        )
        self._pieces[collection.uuid] = piece
        return piece

    def find(self, uuid: bytes) -> Piece | None:
        """Return the piece that stands for a source UUID, if it is wanted and still exists."""
        return self._pieces.get(uuid)

    def put(self, piece: Piece) -> None:
        """Replace a piece by a changed one of the same UUID."""
        if piece.collection.uuid not in self._pieces:
            raise PermanentError(
                "unknown_piece", f"nothing stands for {piece.collection.namespace}"
            )
        self._pieces[piece.collection.uuid] = piece

    def move(self, piece: Piece, namespace: Namespace) -> Piece:
        """Give a piece another final name; its documents stay in their place."""
        moved = replace(piece, collection=replace(piece.collection, namespace=namespace))
        self._pieces[piece.collection.uuid] = moved
        return moved

    def proper_place(self, piece: Piece) -> Namespace:
        """Return the place of a piece, or a new one if its final name is in another database."""
        name = piece.collection.namespace
        is_there = self._target(name).database == piece.place.database
        return piece.place if is_there else self._place(name)

    def _place(self, name: Namespace) -> Namespace:
        database = self._target(name).database
        number = self._made_count
        self._made_count += 1
        return temporary(database, self._token, number, buckets=name.is_buckets)

    def remove(self, uuid: bytes) -> None:
        """Forget a piece whose source was dropped."""
        self._pieces.pop(uuid, None)

    def __iter__(self) -> Iterator[Piece]:
        """Yield the pieces by final name."""
        return iter(sorted(self._pieces.values(), key=lambda piece: piece.collection.namespace))

    def __len__(self) -> int:
        return len(self._pieces)
