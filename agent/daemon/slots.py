"""The jobs that run at the same time: one that writes data, and some beside it."""

from typing import Final

from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.core.keeper import Held
from agent.daemon.active import ActiveJob, JobPorts
from agent.daemon.decisions import Places, Start
from agent.daemon.unended import is_of_document, no_room
from agent.model.commands import CommandRecord
from agent.model.outcome import Failure
from agent.model.states import END_STATES
from agent.model.status import Running

# Jobs that write no data are short and wait for others most of the time; each has a thread.
MOST_BESIDE: Final = 4


class Slots:
    """Holds every job that runs; used by the coordinator's thread alone."""

    def __init__(self, ports: JobPorts) -> None:
        self._ports = ports
        self._active: list[ActiveJob] = []
        # By their texts: an _id may be a document.
        self._tries: dict[str, int] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no job runs."""
        return not self._active

    @property
    def places(self) -> Places:
        """Say what runs, and what else may."""
        writing = sum(each.request.writes_data for each in self._active)
        return Places(
            taken=tuple(each.record.command_id for each in self._active),
            data=1 - writing,
            beside=MOST_BESIDE - (len(self._active) - writing),
        )

    def start(self, turn: Start, *, token: int, held: Held, stop: Stop) -> None:
        """Begin a job in a thread of its own, under the coordinator's lease."""
        job = repr(turn.record.command_id)
        self._tries[job] = self._tries.get(job, 0) + 1
        active = ActiveJob(
            turn.record, turn.request, self._ports, token=token, tries=self._tries[job]
        )
        self._active.append(active)
        active.start(held, stop)

    def find(self, command_id: object) -> ActiveJob | None:
        """Return the job of a command, if it runs."""
        return next((each for each in self._active if each.record.command_id == command_id), None)

    def settle(self) -> list[tuple[CommandRecord, PermanentError, Failure]]:
        """Let go of the jobs that have ended; return those whose end their documents do not take.

        With each its error, and the failure that is still to be written. Raises: LeaseLost,
        TransientError: call again.
        """
        left = []
        for active in tuple(self._active):
            if active.is_alive:
                continue
            try:
                active.settle()
            except PermanentError as error:
                if not is_of_document(error):
                    raise
                left.append((active.record, error, no_room(None, error)))
            self._active.remove(active)
            if active.record.state in END_STATES:
                self._tries.pop(repr(active.record.command_id), None)
        return left

    def end(self, reason: str) -> None:
        """Ask all jobs to stop, and let go of them."""
        for active in self._active:
            active.end(reason)
        self._active.clear()

    def report(self) -> Running | None:
        """Write down how far each job is; return the one that writes data, else the oldest."""
        shown: Running | None = None
        for active in sorted(self._active, key=lambda each: not each.request.writes_data):
            progress, eta_s = active.report()
            shown = shown or Running(
                command_id=active.record.command_id,
                command=active.request.command,
                phase=progress.phase,
                percent=progress.percent,
                eta_s=eta_s,
            )
        return shown
