"""Indexes: all of a collection in one command; those that delete documents, last."""

from agent.core.crash import Point, passing
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.core.retry import RetryPolicy, retry
from agent.jobs.restore import rules
from agent.jobs.restore.crew import Crew
from agent.jobs.restore.ports import PATIENCE
from agent.jobs.workspace import Piece, Workspace
from agent.ports import RestoreTarget

_LAST_WORDS = RetryPolicy(limit_s=20.0)


class Indexing:
    """Builds the indexes of one restore's temporary collections."""

    def __init__(self, crew: Crew, stop: Stop, target: RestoreTarget, workspace: Workspace) -> None:
        self._crew = crew
        self._stop = stop
        self._target = target
        self._pieces = tuple(workspace)

    def build_plain(self, *, hold_ttl: bool) -> None:
        """Build what deletes nothing; with ``hold_ttl`` that is every index, made plain.

        Raises: PermanentError ``duplicate_key`` and others, naming the collection; Stopped.
        """
        self._build({piece: self._chosen(piece, ttl=False) for piece in self._pieces})
        if hold_ttl:
            self._build({piece: self._chosen(piece, ttl=True, held=True) for piece in self._pieces})

    def build_ttl(self) -> None:
        """Build what deletes old documents: after the check, just before the switch."""
        self._build({piece: self._chosen(piece, ttl=True) for piece in self._pieces})

    def _chosen(self, piece: Piece, *, ttl: bool, held: bool = False) -> tuple[bytes, ...]:
        chosen = (each for each in piece.collection.indexes if rules.is_ttl(each) == ttl)
        return rules.specifications(piece.collection, chosen, hold_ttl=held)

    def _build(self, wanted: dict[Piece, tuple[bytes, ...]]) -> None:
        jobs = [(piece, indexes) for piece, indexes in wanted.items() if indexes]
        self._crew.each("index", jobs, self._build_one, on_end=self._abandon)
        # Asked to end at the last build, the crew has dropped what was built, without an error.
        self._stop.check()

    def _build_one(self, job: tuple[Piece, tuple[bytes, ...]]) -> None:
        piece, indexes = job
        try:
            retry(
                lambda: self._target.build_indexes(piece.place, indexes),
                policy=PATIENCE,
                stop=self._stop,
            )
            passing(Point.RESTORE_INDEXED)
        except PermanentError as error:
            # A build also ends with an error when its collection is dropped on purpose.
            self._stop.check()
            raise PermanentError(
                error.code, f"{piece.collection.namespace}: {error.message}", hint=error.hint
            ) from error

    def _abandon(self) -> None:
        """Drop what is being indexed: the only way to end a build that may take hours."""
        for piece in self._pieces:
            try:
                retry(
                    lambda place=piece.place: self._target.drop(place),  # type: ignore[misc]
                    policy=_LAST_WORDS,
                    stop=Stop(),
                )
            except TransientError:
                return
