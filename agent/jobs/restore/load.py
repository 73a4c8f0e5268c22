"""Loading: chunks into temporary collections, in parallel, byte for byte."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.codec.parts import document_parts
from agent.core.crash import Point, passing
from agent.core.errors import PermanentError
from agent.core.flow import Shared, Stop
from agent.core.retry import retry
from agent.jobs.restore.crew import Crew
from agent.jobs.restore.objects import fetch
from agent.jobs.restore.ports import PATIENCE, RestorePorts
from agent.jobs.workspace import Piece, Workspace
from agent.model.cluster_time import ClusterTime
from agent.model.manifest import Chunk, Copy
from agent.model.progress import Progress

# What one worker holds of a chunk at a time, beside the compressed object itself.
_PART_BYTES: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """Chunks that one worker loads one after the other: of a capped collection, all."""

    piece: Piece
    chunks: tuple[Chunk, ...]
    in_order: bool

    @property
    def bytes(self) -> int:
        return sum(chunk.bytes for chunk in self.chunks)


class Loading:
    """Creates and fills the temporary collections of one restore."""

    def __init__(
        self, crew: Crew, stop: Stop, ports: RestorePorts, progress: Shared[Progress]
    ) -> None:
        self._crew = crew
        self._stop = stop
        self._ports = ports
        self._progress = progress

    def run(self, copies: Sequence[Copy], workspace: Workspace, catalogue_at: ClusterTime) -> None:
        """Load all copies; returns when a majority has everything.

        Raises: PermanentError naming the object or document at fault; Stopped; LeaseLost.
        """
        pairs = [
            (workspace.add(copy.collection, min(copy.read_at, default=catalogue_at)), copy)
            for copy in copies
        ]
        self._crew.each("create", [piece for piece, _ in pairs], self._create)
        items = [item for piece, copy in pairs for item in _items(piece, copy)]
        items.sort(key=lambda item: item.bytes, reverse=True)
        self._crew.each("load", items, self._load)

    def _create(self, piece: Piece) -> None:
        retry(
            lambda: self._ports.target.create(piece.place, piece.collection),
            policy=PATIENCE,
            stop=self._stop,
        )
        passing(Point.RESTORE_CREATED)

    def _load(self, item: _Item) -> None:
        tries = 0
        shown_bytes = 0

        def show(part_bytes: int) -> None:
            nonlocal shown_bytes
            shown_bytes += part_bytes
            self._progress.update(lambda old: replace(old, done_bytes=old.done_bytes + part_bytes))

        def load() -> None:
            nonlocal tries
            tries += 1
            show(-shown_bytes)
            if tries > 1 and item.in_order:
                # Documents that were loaded cannot be told from those to come: begin again.
                self._ports.target.create(item.piece.place, item.piece.collection)
            for chunk in item.chunks:
                self._load_chunk(item, chunk, show, again=tries > 1)

        retry(load, policy=PATIENCE, stop=self._stop)
        docs = sum(chunk.docs for chunk in item.chunks)
        self._progress.update(lambda old: replace(old, done_docs=old.done_docs + docs))

    def _load_chunk(
        self, item: _Item, chunk: Chunk, show: Callable[[int], None], *, again: bool
    ) -> None:
        body = fetch(self._ports.store, chunk)
        try:
            for part in document_parts(body, chunk.bytes, _PART_BYTES):
                self._stop.check()
                self._crew.held()
                self._ports.target.load(item.piece.place, part, in_order=item.in_order, again=again)
                passing(Point.RESTORE_LOADED)
                show(len(part))
        except PermanentError as error:
            raise PermanentError(
                error.code,
                f"{item.piece.collection.namespace}, {chunk.key}: {error.message}",
                hint=error.hint,
                key=chunk.key,
            ) from error


def _items(piece: Piece, copy: Copy) -> Iterator[_Item]:
    if copy.collection.traits.is_capped:
        if copy.chunks:
            yield _Item(piece=piece, chunks=copy.chunks, in_order=True)
        return
    for chunk in copy.chunks:
        yield _Item(piece=piece, chunks=(chunk,), in_order=False)
