"""Notices go to the webhook from a thread of its own: nobody ever waits for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from agent.core.clock import Clock
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Shared, Stop, WorkerGroup
from agent.core.log import Log
from agent.model.commands import CommandRecord
from agent.model.notices import (
    Notice,
    NoticeEvent,
    body_of,
    id_of,
    known_after,
    of_command,
    of_problems,
)
from agent.model.outcome import Failure
from agent.model.states import State
from agent.model.status import Problem
from agent.ports.outside import Postbox

# Some minutes of a cluster in which everything goes wrong; the oldest make room.
MOST_WAITING: Final = 200
# A notice is given up after this, or when it was refused so often, if another one waits.
GIVE_UP_S: Final = 3600.0
MOST_REFUSALS: Final = 3
# One failure may pass by itself; so many in a row are a problem.
MOST_FAILURES: Final = 3
LONGEST_PAUSE_S: Final = 60.0
_GLANCE_S: Final = 0.5
_END_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticePorts:
    """Where notices go, which of them, and who sends them."""

    postbox: Postbox
    events: frozenset[NoticeEvent]
    replset: str
    agent: str
    clock: Clock
    log: Log


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    notice: Notice
    time: datetime
    since: float
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trouble:
    since: datetime
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """What waits, oldest first; how many were lost; what is wrong since the last delivery.

    ``told``: the problems that the receiver takes to stand.
    """

    waiting: tuple[_Waiting, ...] = ()
    told: tuple[Problem, ...] = ()
    lost_count: int = 0
    trouble: _Trouble | None = None


class Notices:
    """Tells of problems and of the ends of commands; without ports, nobody.

    What the receiver was told of problems goes into the status, so that the next coordinator
    tells it the difference. The ends of commands that wait are lost with the process.
    """

    def __init__(self, ports: NoticePorts | None = None) -> None:
        self._ports = ports
        self._standing: tuple[Problem, ...] = ()
        self._box: Shared[_Box] = Shared(_Box())

    def take_over(self, told: Sequence[Problem]) -> None:
        """Begin to coordinate: what the receiver knows, it was told by the coordinator before."""
        self._standing = tuple(told)
        # What an earlier tenure of this agent has left waiting follows from the next look.
        self._box.update(
            lambda box: replace(
                box,
                told=tuple(told),
                waiting=tuple(each for each in box.waiting if each.notice.problem is None),
            )
        )

    def told(self) -> tuple[Problem, ...]:
        """Return the problems that the receiver takes to stand; none without a receiver."""
        return () if self._ports is None else self._box.get().told

    def problems(self, now: Sequence[Problem]) -> None:
        """Tell which problems have begun and which have ended since the last call."""
        for notice in of_problems(self._standing, now):
            self._put(notice)
        self._standing = tuple(now)

    def command_ended(
        self,
        record: CommandRecord,
        state: State,
        *,
        result: Mapping[str, object] | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Tell that a command has come to its end."""
        name = str(record.options.get("command"))
        self._put(of_command(record.command_id, name, state, result=result, failure=failure))

    def troubles(self) -> list[Problem]:
        """Return a problem if notices do not arrive; it ends with the next that does."""
        box = self._box.get()
        if self._ports is None or box.trouble is None or box.trouble.count < MOST_FAILURES:
            return []
        return [
            Problem(
                code="notify_failing",
                level="warning",
                message=f"notices do not reach {self._ports.postbox.host}",
                hint=f"{box.trouble.reason}; {len(box.waiting)} wait, {box.lost_count} were lost",
                since=box.trouble.since,
            )
        ]

    def run(self, stop: Stop) -> None:
        """Deliver until stopped, one after the other in their order.

        The end of the agent does not wait for a receiver that is silent.
        """
        group = WorkerGroup("notices", stop)
        group.start(lambda: self._deliver_all(group.stop), "webhook")
        while not group.stop.wait(_GLANCE_S):
            continue
        group.join(_END_S)

    def _deliver_all(self, stop: Stop) -> None:
        pause_s = 0.0
        while not stop.wait(pause_s):
            pause_s = self.deliver()

    def deliver(self) -> float:
        """Try to deliver the oldest that waits, and return the seconds until the next try."""
        waiting = self._box.get().waiting
        if self._ports is None or not waiting:
            return _GLANCE_S
        return self._try(self._ports, waiting[0])

    def _put(self, notice: Notice) -> None:
        ports = self._ports
        if ports is None:
            return
        if notice.event not in ports.events:
            self._box.update(lambda box: replace(box, told=known_after(box.told, notice)))
            return
        added = _Waiting(notice=notice, time=ports.clock.now(), since=ports.clock.monotonic())

        def with_it(box: _Box) -> _Box:
            if len(box.waiting) >= MOST_WAITING:
                box = _given_up(box, box.waiting[0])
            return replace(box, waiting=(*box.waiting, added))

        self._box.update(with_it)

    def _try(self, ports: NoticePorts, head: _Waiting) -> float:
        notice = head.notice
        key = id_of(notice, ports.replset)
        body = body_of(notice, replset=ports.replset, agent=ports.agent, time=head.time)
        try:
            ports.postbox.post(key, body)
        except (TransientError, PermanentError) as error:
            return self._failed(ports, head, error)
        before = self._box.get().trouble
        self._box.update(
            lambda box: replace(
                _without(box, head), told=known_after(box.told, notice), trouble=None
            )
        )
        if before is not None:
            ports.log.info("notices arrive again", host=ports.postbox.host)
        return 0.0

    def _failed(
        self, ports: NoticePorts, head: _Waiting, error: TransientError | PermanentError
    ) -> float:
        is_old = ports.clock.monotonic() - head.since > GIVE_UP_S
        is_refused = isinstance(error, PermanentError) and head.tries + 1 >= MOST_REFUSALS

        def after(box: _Box) -> _Box:
            count = 1 + (0 if box.trouble is None else box.trouble.count)
            since = ports.clock.now() if box.trouble is None else box.trouble.since
            box = replace(box, trouble=_Trouble(since=since, count=count, reason=error.message))
            # The last one is kept: it finds out when the receiver is there again.
            if (is_old or is_refused) and len(box.waiting) > 1:
                return _given_up(box, head)
            tried = replace(head, tries=head.tries + 1)
            return replace(
                box, waiting=tuple(tried if each is head else each for each in box.waiting)
            )

        box = self._box.update(after)
        count = 1 if box.trouble is None else box.trouble.count
        if count in {1, MOST_FAILURES}:
            ports.log.warning(
                "notice not delivered",
                notice=head.notice.event,
                host=ports.postbox.host,
                code=error.code,
                reason=error.message,
                tries=count,
            )
        return pause_s(count)


def pause_s(count: int) -> float:
    """Return the pause after so many failures in a row, from 1: 1 s, twice as long each time."""
    return min(LONGEST_PAUSE_S, 2.0 ** min(count - 1, 10))


def _without(box: _Box, gone: _Waiting) -> _Box:
    return replace(box, waiting=tuple(each for each in box.waiting if each is not gone))


def _given_up(box: _Box, lost: _Waiting) -> _Box:
    """Lose a notice: an end that could not be told is not told by the next coordinator either."""
    is_end = lost.notice.event == "problem_ended"
    told = known_after(box.told, lost.notice) if is_end else box.told
    return replace(_without(box, lost), told=told, lost_count=box.lost_count + 1)
