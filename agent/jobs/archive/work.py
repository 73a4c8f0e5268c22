"""What the holder of the archiver's lease does: archive, and join old segments beside that."""

from collections.abc import Callable
from typing import Final

from agent.core.clock import Clock
from agent.core.errors import LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Stop, WorkerGroup
from agent.core.log import Log
from agent.jobs.archive.archiver import Archiver
from agent.jobs.archive.compaction import Compactor
from agent.jobs.archive.ports import Tenure
from agent.model.status import ArchiveReport

# Segments become old by the hour; what one pass joined, a later one clears away.
COMPACT_EVERY_S: Final = 600.0


class ArchiveWork:
    """One tenure of archiving."""

    def __init__(
        self,
        archiver: Archiver,
        compactor: Compactor,
        clock: Clock,
        log: Log,
        *,
        compact_every_s: float = COMPACT_EVERY_S,
    ) -> None:
        self._archiver = archiver
        self._compactor = compactor
        self._clock = clock
        self._log = log
        self._compact_every_s = compact_every_s

    def report(self) -> ArchiveReport | None:
        """Return how the archive stands."""
        return self._archiver.report()

    def run(self, stop: Stop, held: Callable[[], None]) -> None:
        """Archive until stopped; joining, in a thread of its own, never holds that up.

        Raises: as ``Archiver.run``.
        """
        with WorkerGroup("archive", stop) as group:
            tenure = Tenure(stop=group.stop, held=held)
            group.start(lambda: self._compact(tenure), "compaction")
            self._archiver.run(group.stop, held)

    def _compact(self, tenure: Tenure) -> None:
        while not tenure.stop.wait(self._compact_every_s):
            try:
                done = self._compactor.run(self._clock.now(), tenure)
            except (LeaseLost, Stopped):
                return  # the archiver notices by itself
            except (TransientError, PermanentError) as error:
                self._log.warning("joining segments failed", code=error.code, reason=error.message)
            else:
                self._log.info("segments joined", made=done.joined, removed=done.removed)
