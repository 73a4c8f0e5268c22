"""The duty of running schedules: each step may be the last of an agent's life."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.core.errors import LeaseLost, PermanentError, TransientError
from agent.core.keeper import Held
from agent.core.log import get
from agent.daemon.forgetting import KEPT, KEPT_OTHERS
from agent.daemon.schedules import ScheduleDuty, SchedulePorts
from agent.model.outcome import Outcome
from agent.model.schedules import Mark, run_of
from agent.model.states import State
from agent.model.timetable import ScheduleRecord
from tests.fakes.clock import VirtualClock
from tests.fakes.commands import Command, MemoryCommands
from tests.fakes.control import MemoryStatus
from tests.fakes.schedules import MemorySchedules

HOURLY: dict[str, Any] = {"_id": "s", "cron": "0 * * * *", "command": {"command": "backup"}}
HOUR_S = 3600.0


class Site:
    """A control database, and agents whose lives end at any call; it begins at 20:15:12."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.schedules = MemorySchedules()
        self.commands = MemoryCommands(self.clock)
        self.held = Held("coordinator", self.clock, 1e9)

    def duty(
        self, schedules: MemorySchedules | None = None, commands: MemoryCommands | None = None
    ) -> ScheduleDuty:
        """Return the duty of an agent that has just begun to coordinate."""
        return ScheduleDuty(
            SchedulePorts(
                schedules=schedules or self.schedules,
                commands=commands or self.commands,
                status=MemoryStatus(self.clock),
                storages=("main", "far"),
                log=get(),
            )
        )

    @property
    def runs(self) -> list[str]:
        """The ids of all commands."""
        return [str(each.command_id) for each in self.found]

    @property
    def by_hand(self) -> list[str]:
        """The ids of the commands that no schedule made."""
        return [each for each in self.runs if run_of(each) is None]

    @property
    def found(self) -> list[Command]:
        """All commands."""
        return list(self.commands.commands.values())

    def insert_ended(self, *ids: str) -> None:
        """Insert commands that are done."""
        for each in ids:
            self.commands.insert({"_id": each, "command": "check"})
            for state in (State.ACCEPTED, State.RUNNING, State.DONE):
                record = self.commands.get(each)
                assert record is not None
                self.commands.move(record, state, 1, Outcome(coordinator="a:1"))

    def mark(self) -> Mark | None:
        """Return the mark of the only schedule."""
        (record,) = self.schedules.records()
        return record.mark


@pytest.fixture
def site() -> Site:
    """One hourly backup, which no agent has seen yet."""
    site = Site()
    site.schedules.insert(HOURLY)
    return site


def at(hour: int, minute: int = 0) -> datetime:
    """Return a time on the day on which tests begin."""
    return datetime(2026, 11, 21, hour, minute, tzinfo=UTC)


def test_each_due_time_has_one_command(site: Site) -> None:
    """However often it is looked."""
    duty = site.duty()
    for _ in range(90):
        duty.look(site.held)
        site.clock.move(60)
    assert ["s@20261121T210000Z"] == site.runs
    assert Mark(seen_as="0 * * * * UTC on", handled_to=at(21)) == site.mark()


def test_the_command_says_who_made_it(site: Site) -> None:
    """In its note, unless the schedule has one of its own; other options are as written."""
    site.schedules.insert({
        **HOURLY,
        "_id": "b",
        "command": {"command": "backup", "note": "mine", "namespaces": ["shop.*"], "keep": True},
    })
    site.schedules.insert({**HOURLY, "_id": "c", "command": {"command": "check"}})
    duty = site.duty()
    duty.look(site.held)
    site.clock.move(HOUR_S)
    duty.look(site.held)
    assert [
        {"command": "check"},
        {"command": "backup", "note": "made by the schedule s"},
        {"command": "backup", "note": "mine", "namespaces": ["shop.*"], "keep": True},
    ] == sorted((each.options for each in site.found), key=len)


def test_what_nobody_was_there_to_run_is_made_up_for_once(site: Site) -> None:
    """After a night without any agent the newest due time is run, and the next one as usual."""
    site.duty().look(site.held)
    site.clock.move(9 * HOUR_S)
    duty = site.duty()
    for _ in range(2):
        duty.look(site.held)
    assert ["s@20261122T050000Z"] == site.runs
    site.clock.move(HOUR_S)
    duty.look(site.held)
    assert ["s@20261122T050000Z", "s@20261122T060000Z"] == site.runs


class Dying:
    """Stands before a store, and kills the agent at one of its calls, before or after it."""

    def __init__(self, port: Any, name: str, number: int, *, is_after: bool) -> None:
        self._port = port
        self._name = name
        self._left = number
        self._is_after = is_after

    def __getattr__(self, name: str) -> Any:
        """Return a method that may be the last that is called."""
        method = getattr(self._port, name)
        if name != self._name:
            return method

        def call(*arguments: object) -> object:
            self._left -= 1
            if self._left == 0 and not self._is_after:
                raise TransientError("no_primary", "it dies before")
            answer = method(*arguments)
            if self._left == 0:
                raise TransientError("no_primary", "it dies after")
            return answer

        return call


@pytest.mark.parametrize("is_after", [False, True])
@pytest.mark.parametrize(
    ("store", "name", "number"),
    [
        ("schedules", "records", 1),
        ("schedules", "mark", 1),
        ("schedules", "records", 46),
        ("commands", "insert", 1),
        ("schedules", "mark", 2),
    ],
)
def test_whoever_looks_next_goes_on(
    site: Site,
    store: str,
    name: str,
    number: int,
    is_after: bool,  # noqa: FBT001
) -> None:
    """An agent dies at each of its calls, before it or after: one command all the same."""
    mortal: dict[str, Any] = {
        "schedules": site.schedules,
        "commands": site.commands,
        store: Dying(getattr(site, store), name, number, is_after=is_after),
    }
    first, second = site.duty(**mortal), site.duty()
    died_at = None
    for minute in range(60):
        try:
            (first if died_at is None else second).look(site.held)
        except TransientError:
            died_at = minute
        site.clock.move(60)
    assert died_at in {0, 45}, died_at
    assert ["s@20261121T210000Z"] == site.runs
    mark = site.mark()
    assert mark is not None
    assert at(21) == mark.handled_to


class Stalled(MemorySchedules):
    """Shows one agent the documents as they were when it looked first."""

    def __init__(self, real: MemorySchedules) -> None:
        super().__init__()
        self._real = real
        self._seen = real.records()

    def records(self) -> list[ScheduleRecord]:
        """Return what was read long ago."""
        return list(self._seen)

    def mark(self, record: ScheduleRecord, mark: Mark) -> bool:
        """Write to the real ones."""
        return self._real.mark(record, mark)


def test_two_that_lead_at_once_make_one_command(site: Site) -> None:
    """One of them read before the other acted, and moves no mark back."""
    site.duty().look(site.held)
    site.clock.move(HOUR_S)
    late = site.duty(Stalled(site.schedules))
    site.duty().look(site.held)
    moved = site.mark()
    late.look(site.held)
    assert ["s@20261121T210000Z"] == site.runs
    assert moved == site.mark()
    site.clock.move(HOUR_S)
    site.duty().look(site.held)
    moved = site.mark()
    late.look(site.held)
    assert ["s@20261121T210000Z", "s@20261121T220000Z"] == site.runs
    assert moved == site.mark()


def test_two_that_see_a_new_schedule_agree_on_since_when(site: Site) -> None:
    """The mark of the first counts."""
    late = site.duty(Stalled(site.schedules))
    site.duty().look(site.held)
    first = site.mark()
    site.clock.move(HOUR_S)
    late.look(site.held)
    assert first == site.mark()
    assert [] == site.runs


def test_an_agent_whose_lease_is_over_writes_nothing(site: Site) -> None:
    """Neither a mark nor a command."""
    site.duty().look(site.held)
    mark = site.mark()
    site.clock.move(HOUR_S)
    over = Held("coordinator", site.clock, 0)
    with pytest.raises(LeaseLost):
        site.duty().look(over)
    assert ([], mark) == (site.runs, site.mark())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cron": "30 * * * *"}, ["s@20261121T213000Z"]),
        ({"timezone": "Asia/Kolkata"}, ["s@20261121T213000Z"]),
        ({"enabled": False}, []),
        ({"command": {"command": "check"}}, ["s@20261121T210000Z"]),
    ],
)
def test_an_edit_counts_from_the_next_look(
    site: Site, changes: Mapping[str, object], expected: list[str]
) -> None:
    """At 20:45 the schedule becomes another, without a restart."""
    duty = site.duty()
    for minute in range(80):
        duty.look(site.held)
        site.clock.move(60)
        if minute == 30:
            site.schedules.edit("s", **changes)
    assert expected == site.runs


def test_a_schedule_that_is_switched_on_again_makes_up_for_nothing(site: Site) -> None:
    """It was off because nobody wanted it to run."""
    duty = site.duty()
    duty.look(site.held)
    site.schedules.edit("s", enabled=False)
    duty.look(site.held)
    site.clock.move(5 * HOUR_S)
    duty.look(site.held)
    site.schedules.edit("s", enabled=True)
    duty.look(site.held)
    assert [] == site.runs
    site.clock.move(HOUR_S)
    duty.look(site.held)
    assert ["s@20261122T020000Z"] == site.runs


def test_a_retention_alone_runs_nothing(site: Site) -> None:
    """It has no due times."""
    site.schedules.insert({"_id": "s", "retention": {"keep_last": 3}})
    duty = site.duty()
    for _ in range(3):
        duty.look(site.held)
        site.clock.move(HOUR_S)
    assert [] == site.runs


def _refuse(_options: Mapping[str, object]) -> object:
    raise PermanentError("bad_command", "there is no field 'newer'")


def test_one_that_cannot_be_run_stops_no_other(site: Site) -> None:
    """Neither one that makes no sense, nor one whose command is refused; both are told."""
    site.schedules.insert({**HOURLY, "_id": "a", "timezone": "Nowhere"})
    site.schedules.insert({**HOURLY, "_id": "b", "command": {"command": "check"}})
    insert = site.commands.insert

    def insert_or_refuse(options: Mapping[str, object]) -> object:
        return _refuse(options) if options["command"] == "check" else insert(options)

    site.commands.insert = insert_or_refuse  # type: ignore[method-assign]
    duty = site.duty()
    duty.look(site.held)
    site.clock.move(HOUR_S)
    duty.look(site.held)
    assert ["s@20261121T210000Z"] == site.runs
    faults = [each.fault for each in duty.timetable.records]
    assert ["a", "b", "s"] == [each.schedule_id for each in duty.timetable.records]
    assert faults[0] is not None
    assert faults[1] is not None
    assert faults[2] is None
    assert "the schedule 'a'" in faults[0].message
    assert "the schedule 'b' cannot be run: there is no field 'newer'" == faults[1].message
    site.commands.insert = insert  # type: ignore[method-assign]
    duty.look(site.held)
    assert ["s@20261121T210000Z", "b@20261121T210000Z"] == site.runs


def test_old_runs_are_forgotten_once_their_mark_is_past_them(site: Site) -> None:
    """A month after their end, looked for once an hour; commands of operators stay.

    One whose due time is yet to come, for a clock was wrong, is what keeps it from being run again.
    """
    site.duty().look(site.held)
    ended = ["s@20261121T200000Z", "s@20270101T000000Z", "gone@20261121T210000Z", "by hand"]
    site.insert_ended(*ended)
    site.clock.move(KEPT.total_seconds() - 60)
    duty = site.duty()
    duty.look(site.held)
    caught_up = "s@20261221T200000Z"
    assert [*ended, caught_up] == site.runs
    site.clock.move(120)
    duty.look(site.held)
    assert [*ended, caught_up] == site.runs
    site.clock.move(HOUR_S)
    duty.look(site.held)
    expected = ["s@20270101T000000Z", "by hand", caught_up, "s@20261221T210000Z"]
    assert expected == site.runs


def test_old_commands_of_people_are_forgotten_but_for_the_last(site: Site) -> None:
    """A quarter after their end; by the last one it is known how a backup ended."""
    site.insert_ended("first", "second")
    site.clock.move(60)
    site.insert_ended("last")
    site.clock.move(KEPT_OTHERS.total_seconds() - 120)
    site.duty().look(site.held)
    assert ["first", "second", "last"] == site.by_hand
    site.clock.move(240)
    site.duty().look(site.held)
    assert ["last"] == site.by_hand


def test_clashes_are_looked_for_when_a_schedule_changes(site: Site) -> None:
    """And are gone when one of the two has other minutes."""
    site.schedules.insert({**HOURLY, "_id": "t", "cron": "0 */2 * * *"})
    duty = site.duty()
    duty.look(site.held)
    (clash,) = duty.timetable.clashes
    assert ("s", "t") == (clash.first, clash.second)
    site.clock.move(2)
    duty.look(site.held)
    assert (clash,) == duty.timetable.clashes
    site.schedules.edit("t", cron="1 */2 * * *")
    duty.look(site.held)
    assert not duty.timetable.clashes


def test_a_change_just_before_it_is_due_is_not_too_late(site: Site) -> None:
    """Seen a second after the due time by whoever looked a second before it."""
    duty = site.duty()
    duty.look(site.held)
    site.clock.move(timedelta(minutes=44, seconds=47.5).total_seconds())
    duty.look(site.held)
    site.schedules.edit("s", cron="0 21 * * *")
    site.clock.move(1)
    duty.look(site.held)
    assert ["s@20261121T210000Z"] == site.runs
