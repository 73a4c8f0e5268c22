"""The archive itself: read what is new, compress it, store it, again and again.

A poll reads everything that is there by now, and stores it if there is anything worth it: so
what is acknowledged is stored an interval later at most. The oplog itself is the only buffer:
while the storage does not answer, no more is read than one segment holds.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Final

from agent.codec import framing, oplog
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Shared, Stop
from agent.jobs.archive.barriers import parted
from agent.jobs.archive.pending import Pending
from agent.jobs.archive.ports import ArchivePorts, Tenure
from agent.jobs.archive.start import Start, begin_anew, find_start
from agent.jobs.archive.upload import upload
from agent.model.cluster_time import ClusterTime, Position
from agent.model.coverage import Span, extended
from agent.model.status import ArchiveReport
from agent.ports import Batch

# A node or a storage that gave nothing for so long is left: another agent's may be better.
MOST_PATIENCE_S: Final = 20.0
# How often the listing is looked at again: for holes that can be filled, for what others removed.
_LOOK_AGAIN_S: Final = 600.0
_PAUSE_S: Final = 0.5
# What only a person can mend is not asked for twice a second.
_LONG_PAUSE_S: Final = 2.0
# How often it is looked how far the oplog reaches back.
_WINDOW_EVERY_S: Final = 30.0
# Databases whose entries never start an upload; the control database is another one.
_QUIET: Final = frozenset({"config", "local"})
_BROKEN: Final = frozenset({"oplog_rolled", "oplog_diverged"})

# Told by ``begin_anew``: this agent is to stop at once, so that another may go on.
_ELSEWHERE: Final = "oplog_elsewhere"


class Archiver:
    """Archives while it may; ``run`` is called by one thread, ``report`` by any."""

    def __init__(self, ports: ArchivePorts) -> None:
        self._ports = ports
        self._quiet = _QUIET | {ports.control_database}
        self._report: Shared[ArchiveReport | None] = Shared(None)
        self._complete_at = Shared(ports.clock.monotonic())
        self._went_on_at = ports.clock.monotonic()
        self._looked_at = 0.0
        self._trouble: str | None = None
        self._begun_at = ports.clock.monotonic()
        self._gap: Span | None = None
        self._wanted: ClusterTime | None = None

    def report(self) -> ArchiveReport | None:
        """Return how the archive stands now; None before it has begun."""
        known = self._report.get()
        if known is None:
            return None
        lag_s = self._ports.clock.monotonic() - self._complete_at.get()
        return replace(known, lag_s=max(0.0, lag_s))

    def run(self, stop: Stop, held: Callable[[], None]) -> None:
        """Archive until told to stop, or until nothing has gone on for 20 s.

        Raises: LeaseLost; Stopped; TransientError or PermanentError, the last of 20 s of failures.
        """
        clock, interval_s = self._ports.clock, self._ports.pace.interval_s
        tenure = Tenure(stop=stop, held=held)
        pending: Pending | None = None
        due_at = self._went_on_at = clock.monotonic()
        while True:
            held()
            try:
                if pending is not None and clock.monotonic() - self._begun_at > _LOOK_AGAIN_S:
                    self._store(pending, tenure)
                    pending = None
                if pending is None:
                    pending = self._begin(find_start(self._ports))
                is_sound = self._poll(pending, tenure)
                if not is_sound:
                    pending = self._begin_anew(pending, tenure)
            except TransientError as error:
                self._bear(error)
                due_at = clock.monotonic() + _PAUSE_S
            except PermanentError as error:
                if error.code == _ELSEWHERE:
                    raise
                # A segment may have been lost on its way: only what is stored tells where to go on.
                pending = None
                self._bear(error)
                due_at = clock.monotonic() + _LONG_PAUSE_S
            else:
                # Behind a gap there is no time to lose: the oplog may roll on.
                due_at = max(due_at + interval_s if is_sound else 0.0, clock.monotonic())
            if stop.wait(due_at - clock.monotonic()):
                stop.check()

    def _bear(self, error: TransientError | PermanentError) -> None:
        """Tell of a failure, and raise it when there was nothing else for too long."""
        if self._ports.clock.monotonic() - self._went_on_at > MOST_PATIENCE_S:
            raise error
        self._tell(f"{error.message}; {error.hint}" if error.hint else error.message)

    def _begin(self, start: Start) -> Pending:
        ports, covered = self._ports, start.covered
        self._gap = start.gap
        if start.gap is not None:
            covered = (*covered, Span(begin=start.position.time, last=start.position.time))
        ports.log.info("archive begins", after=str(start.position.time), gap=bool(start.gap))
        self._begun_at = ports.clock.monotonic()
        self._complete_at.set(self._begun_at - start.behind_s)
        self._report.set(
            ArchiveReport(
                replset_id=ports.identity.replset_id,
                archived_to=start.position.time,
                archived_at=ports.clock.now(),
                lag_s=0.0,
                window_s=None,
                spans=covered,
                others=start.others,
            )
        )
        return Pending(start.position, ports.pace.level, ports.clock)

    def _poll(self, pending: Pending, tenure: Tenure) -> bool:
        """Take in everything that is there by now; store it if it is worth it.

        Returns False if the oplog no longer has what follows.
        """
        began_at = self._ports.clock.monotonic()
        try:
            self._read(pending, tenure)
        except PermanentError as error:
            if error.code not in _BROKEN:
                raise
            self._ports.log.warning("the place is gone", code=error.code, reason=error.message)
            return False
        if pending.is_awake or pending.age_s >= self._ports.pace.idle_s:
            self._store(pending, tenure)
        self._complete_at.set(began_at)
        self._went_well(pending)
        return True

    def _read(self, pending: Pending, tenure: Tenure) -> None:
        """Take in everything, a segment at a time: of a backlog, or of a reading that lasts."""
        pace, clock = self._ports.pace, self._ports.clock
        stored_at = clock.monotonic()
        with closing(self._ports.tail.after(pending.read_to)) as batches:
            for batch in batches:
                tenure.held()
                tenure.stop.check()
                self._tell_gap()
                for run, barrier in parted(batch):
                    self._take(pending, run)
                    if barrier is not None:
                        self._pass_over(pending, barrier, tenure)
                is_late = pending.is_awake and clock.monotonic() - stored_at >= pace.interval_s
                if is_late or pending.raw_bytes >= pace.segment_bytes:
                    self._store(pending, tenure)
                    stored_at = clock.monotonic()

    def _take(self, pending: Pending, batch: Batch) -> None:
        if not batch.docs:
            return
        awake = pending.is_awake or not oplog.is_quiet(batch.data, self._quiet)
        pending.add(batch, oplog.position(framing.last(batch.data)), is_awake=awake)

    def _store(self, pending: Pending, tenure: Tenure) -> None:
        if pending.raw_bytes == 0:
            return
        begin, last = pending.begin, pending.read_to.time
        upload(self._ports, tenure, pending.finish(), Span(begin=begin, last=last), self._tell)
        archived_at = self._ports.clock.now()
        self._went_on_at = self._ports.clock.monotonic()
        self._report.update(
            lambda known: (
                known
                and replace(
                    known,
                    archived_to=last,
                    archived_at=archived_at,
                    spans=extended(known.spans, Span(begin=begin, last=last)),
                    error=None,
                )
            )
        )

    def _pass_over(self, pending: Pending, barrier: Position, tenure: Tenure) -> None:
        """Leave an entry out that no restore can cross: the gap says so in the listing itself."""
        self._store(pending, tenure)
        gap = Span(begin=pending.begin, last=barrier.time)
        pending.pass_over(barrier)
        behind = Span(begin=barrier.time, last=barrier.time)
        self._report.update(
            lambda known: known and replace(known, spans=(*_of_entries(known.spans), behind))
        )
        self._ports.log.warning("the archive has a barrier", at=str(barrier.time))
        self._ports.events.write(
            "warning",
            "oplog_barrier",
            f"the feature compatibility version was changed at {barrier.time}: no restore can "
            "cross this time",
            after=gap.begin,
            upto=gap.last,
        )

    def _begin_anew(self, pending: Pending, tenure: Tenure) -> Pending:
        """Store what is in hand, and go on behind the gap that nothing can fill any more."""
        self._store(pending, tenure)
        note = self._ports.source.write_note("the archive begins anew")
        here = self._ports.tail.position(note)
        known = self._report.get()
        if here is None or known is None:
            raise TransientError("node_behind", f"the node has no entry of {note} yet")
        return self._begin(begin_anew(self._ports, _of_entries(known.spans), known.others, here))

    def _tell_gap(self) -> None:
        """Tell of the gap behind which the archive goes on, once it is seen to go on there.

        While an oplog rolls quickly, its oldest entry may be gone before what follows is read.
        """
        gap, self._gap = self._gap, None
        if gap is None:
            return
        self._ports.log.error("the archive has a gap", after=str(gap.begin), upto=str(gap.last))
        self._ports.events.write(
            "error",
            "oplog_gap",
            f"the oplog after {gap.begin} and up to {gap.last} was not archived and is gone: no "
            "restore can cross this gap",
            after=gap.begin,
            upto=gap.last,
        )

    def _tell(self, error: str) -> None:
        if error != self._trouble:
            self._trouble = error
            self._ports.log.warning("the archive stands still", reason=error)
        self._report.update(lambda known: known and replace(known, error=error))

    def _went_well(self, pending: Pending) -> None:
        """Remember that nothing is wrong, and look now and then how far the oplog reaches back."""
        now = self._went_on_at = self._ports.clock.monotonic()
        self._tell_gap()
        if self._trouble is not None:
            self._trouble = None
            self._ports.log.info("the archive goes on", upto=str(pending.read_to.time))
        known = self._report.get()
        if known is None:
            return
        window_s = known.window_s
        if window_s is None or now - self._looked_at >= _WINDOW_EVERY_S:
            self._looked_at = now
            oldest = self._ports.tail.oldest().time
            window_s = float(max(0, pending.read_to.time.seconds - oldest.seconds))
            self._look_for_backup(known)
        self._report.set(replace(known, window_s=window_s, error=None))

    def _look_for_backup(self, known: ArchiveReport) -> None:
        """Begin anew soon if a new backup needs oplog from before the archive, as a first may."""
        wanted = self._ports.wanted_from()
        if wanted is None or wanted == self._wanted:
            return
        self._wanted = wanted
        if known.spans and wanted < known.spans[0].begin:
            self._begun_at = float("-inf")


def _of_entries(covered: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return the spans that hold anything: not one that only shows where the archive goes on."""
    return tuple(span for span in covered if span.begin < span.last)
