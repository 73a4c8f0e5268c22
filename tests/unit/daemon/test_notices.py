"""Notices wait, are tried again, make room, and are a problem while they do not arrive."""

import json
from dataclasses import dataclass, field

import pytest

from agent.core.errors import PermanentError, TransientError
from agent.core.log import get
from agent.daemon.notices import (
    GIVE_UP_S,
    LONGEST_PAUSE_S,
    MOST_FAILURES,
    MOST_REFUSALS,
    MOST_WAITING,
    NoticePorts,
    Notices,
    pause_s,
)
from agent.model.commands import CommandRecord
from agent.model.notices import NoticeEvent
from agent.model.states import State
from agent.model.status import Problem
from agent.ports.outside import Postbox
from tests.fakes.clock import VirtualClock

AWAY = TransientError("webhook_unreachable", "hooks.example.net does not answer: timed out")
REFUSED = PermanentError("webhook_refused", "hooks.example.net answers with status 400")


@dataclass
class Receiver:
    """A receiver that is away, or does not want some commands; as `outside.webhook` behaves."""

    is_away: bool = False
    unwanted: set[str] = field(default_factory=set)
    got: list[str] = field(default_factory=list)
    host: str = "hooks.example.net"

    def post(self, _notice_id: str, body: bytes) -> None:
        """Take a notice of a command, or do not."""
        document = json.loads(body)
        what = document["command"]["id"] if "command" in document else document["problem"]["code"]
        if self.is_away:
            raise AWAY
        if what in self.unwanted:
            raise REFUSED
        self.got.append(what)


def _proves() -> Postbox:
    return Receiver()


class Desk:
    """Notices and their receiver."""

    def __init__(self, *events: NoticeEvent) -> None:
        self.clock = VirtualClock()
        self.receiver = Receiver()
        self.notices = Notices(
            NoticePorts(
                postbox=self.receiver,
                events=frozenset(events or ("command_done", "problem_begun", "problem_ended")),
                replset="rs0",
                agent="a:1",
                clock=self.clock,
                log=get(),
            )
        )

    def end(self, *commands: str, state: State = State.DONE) -> None:
        """Let commands end."""
        for command in commands:
            record = CommandRecord(
                command_id=command,
                options={"command": "backup"},
                state=state,
                created_at=None,
                token=1,
            )
            self.notices.command_ended(record, state)

    def deliver(self, count: int) -> None:
        """Try so often, with the pauses between."""
        for _ in range(count):
            self.clock.move(self.notices.deliver())


def test_notices_arrive_in_their_order() -> None:
    """Each once."""
    desk = Desk()
    desk.end("1", "2", "3")
    desk.deliver(5)
    assert ["1", "2", "3"] == desk.receiver.got
    assert [] == desk.notices.troubles()


def test_only_what_is_wanted_is_told() -> None:
    """The settings name the events."""
    desk = Desk("command_failed")
    desk.end("1")
    desk.end("2", state=State.FAILED)
    desk.deliver(3)
    assert ["2"] == desk.receiver.got


def test_a_receiver_that_is_away_is_a_problem_until_it_is_back() -> None:
    """Not at once; and nothing is lost."""
    desk = Desk()
    desk.receiver.is_away = True
    begun = desk.clock.now()
    desk.end("1", "2")
    desk.deliver(MOST_FAILURES - 1)
    assert [] == desk.notices.troubles()
    desk.deliver(30)
    (found,) = desk.notices.troubles()
    assert ("notify_failing", "warning", begun) == (found.code, found.level, found.since)
    assert "notices do not reach hooks.example.net" == found.message
    assert f"{AWAY.message}; 2 wait, 0 were lost" == found.hint
    desk.receiver.is_away = False
    desk.deliver(3)
    assert ["1", "2"] == desk.receiver.got
    assert [] == desk.notices.troubles()


def test_a_notice_that_is_too_old_makes_room_for_the_next() -> None:
    """The last one stays, since it finds out when the receiver is back."""
    desk = Desk()
    desk.receiver.is_away = True
    desk.end("old", "last")
    desk.clock.move(GIVE_UP_S + 1)
    desk.deliver(100)
    assert "1 wait, 1 were lost" in desk.notices.troubles()[0].hint
    desk.receiver.is_away = False
    desk.deliver(1)
    assert ["last"] == desk.receiver.got


def test_a_notice_that_is_refused_does_not_hold_up_the_others() -> None:
    """It is tried some times, and then lost."""
    desk = Desk()
    desk.receiver.unwanted.add("bad")
    desk.end("bad", "good")
    desk.deliver(MOST_REFUSALS)
    assert [] == desk.receiver.got
    assert "0 were lost" not in desk.notices.troubles()[0].hint
    desk.deliver(1)
    assert ["good"] == desk.receiver.got
    assert [] == desk.notices.troubles()


def test_the_oldest_make_room_for_the_newest() -> None:
    """What waits is bounded."""
    desk = Desk()
    desk.receiver.is_away = True
    desk.end(*map(str, range(MOST_WAITING + 2)))
    desk.deliver(MOST_FAILURES)
    (found,) = desk.notices.troubles()
    assert f"{MOST_WAITING} wait, 2 were lost" in found.hint
    desk.receiver.is_away = False
    desk.deliver(MOST_WAITING)
    assert [str(each) for each in range(2, MOST_WAITING + 2)] == desk.receiver.got


def a_problem(code: str) -> Problem:
    """Return a problem of a code."""
    since = VirtualClock().now()
    return Problem(code=code, level="warning", message="m", hint="h", since=since)


def test_the_next_coordinator_tells_what_the_receiver_does_not_know() -> None:
    """What was told is not told again; what was not, begun or ended, is."""
    stands, ended, new = a_problem("no_backup"), a_problem("clock_skew"), a_problem("oplog_gap")
    first = Desk()
    first.notices.problems([stands, ended])
    first.deliver(2)
    first.receiver.is_away = True
    first.notices.problems([stands, new])
    first.deliver(1)
    assert (stands, ended) == first.notices.told()
    second = Desk()
    second.notices.take_over(first.notices.told())
    second.notices.problems([stands, new])
    second.deliver(3)
    assert ["oplog_gap", "clock_skew"] == second.receiver.got
    assert (stands, new) == second.notices.told()


def test_a_coordinator_that_comes_back_tells_nothing_twice() -> None:
    """What it had left waiting is told as it is now; ends of commands are told all the same."""
    desk = Desk()
    desk.receiver.is_away = True
    desk.notices.problems([a_problem("no_backup"), a_problem("clock_skew")])
    desk.end("1")
    desk.receiver.is_away = False
    desk.notices.take_over([a_problem("no_backup")])
    desk.notices.problems([a_problem("clock_skew")])
    desk.deliver(5)
    assert ["1", "clock_skew", "no_backup"] == desk.receiver.got
    assert [a_problem("clock_skew")] == list(desk.notices.told())


def test_what_is_not_wanted_counts_as_told() -> None:
    """What stands in the status does not grow for ever."""
    desk = Desk("problem_begun")
    desk.notices.problems([a_problem("no_backup")])
    desk.deliver(1)
    desk.notices.problems([])
    assert () == desk.notices.told()
    desk = Desk("problem_ended")
    desk.notices.problems([a_problem("no_backup")])
    assert [a_problem("no_backup")] == list(desk.notices.told())
    desk.notices.problems([])
    desk.deliver(2)
    assert ["no_backup"] == desk.receiver.got


def test_what_is_given_up_is_not_told_as_standing() -> None:
    """Neither a beginning nor an end that the receiver did not want."""
    desk = Desk()
    desk.receiver.unwanted = {"no_backup", "clock_skew"}
    desk.notices.take_over([a_problem("clock_skew")])
    desk.notices.problems([a_problem("no_backup")])
    desk.end("1")
    desk.deliver(2 * MOST_REFUSALS + 1)
    assert ["1"] == desk.receiver.got
    assert () == desk.notices.told()


def test_without_a_webhook_nothing_waits() -> None:
    """Nobody is told, and nothing is wrong."""
    notices = Notices()
    notices.take_over([])
    notices.problems([])
    assert notices.deliver() > 0
    assert [] == notices.troubles()


@pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 2), (6, 32), (7, 60), (9999, 60)])
def test_pauses_grow_and_are_bounded(count: int, expected: float) -> None:
    """Soon at first; a receiver that is away for a night is asked once a minute."""
    assert expected == pause_s(count) <= LONGEST_PAUSE_S
