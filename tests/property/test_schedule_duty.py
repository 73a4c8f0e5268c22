"""A year of the duty itself: agents die at any of their calls, lead two at once, and forget."""

import random
from bisect import bisect_right
from datetime import datetime, timedelta
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from agent.core.errors import TransientError
from agent.core.keeper import Held
from agent.core.log import get
from agent.daemon.schedules import ScheduleDuty, SchedulePorts
from agent.model.outcome import Outcome
from agent.model.schedules import run_of
from agent.model.states import State
from agent.model.timetable import ScheduleRecord
from tests.fakes.commands import MemoryCommands
from tests.fakes.control import MemoryStatus
from tests.fakes.schedules import MemorySchedules
from tests.property.test_schedules import BEGIN, END, LINES, ZONES, naive

# No agent is held up for longer, and still believes that it leads.
LATEST = timedelta(days=29)


class Calendar:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.at = BEGIN

    def monotonic(self) -> float:
        """Seconds since the year began."""
        return (self.at - BEGIN).total_seconds()

    def now(self) -> datetime:
        """Wall time."""
        return self.at


class Mortal:
    """Stands before a store; each call may be an agent's last, before it is made or after."""

    def __init__(self, port: Any, chance: random.Random) -> None:
        self._port = port
        self._chance = chance

    def __getattr__(self, name: str) -> Any:
        """Return a method of the store."""

        def call(*arguments: object) -> object:
            fate = self._chance.random()
            if fate < 0.04:
                raise TransientError("no_primary", "dead before the call")
            answer = getattr(self._port, name)(*arguments)
            if fate > 0.96:
                raise TransientError("no_primary", "dead after the call")
            return answer

        return call


class Late(MemorySchedules):
    """What an agent read that was held up, and has been deposed meanwhile."""

    def __init__(self, real: MemorySchedules) -> None:
        super().__init__()
        self._seen = real.records()
        self.mark = real.mark  # type: ignore[method-assign]

    def records(self) -> list[ScheduleRecord]:
        """Return that."""
        return list(self._seen)


class World:
    """One schedule, and everything that was ever inserted for it."""

    def __init__(self, line: str, zone: str, chance: random.Random) -> None:
        self.clock = Calendar()
        self.chance = chance
        self.schedules = MemorySchedules()
        self.commands = MemoryCommands(self.clock)
        self.held = Held("coordinator", self.clock, 1e12)
        self.executed: list[str] = []
        self.schedules.insert({
            "_id": "s",
            "cron": line,
            "timezone": zone,
            "command": {"command": "check"},
        })

    def duty(self, schedules: MemorySchedules | None = None) -> ScheduleDuty:
        """Return the duty of an agent that comes to lead now."""
        board: Any = Mortal(schedules or self.schedules, self.chance)
        commands: Any = Mortal(self.commands, self.chance)
        return ScheduleDuty(
            SchedulePorts(
                schedules=board,
                commands=commands,
                status=MemoryStatus(self.clock),
                storages=["main"],
                log=get(),
            )
        )

    def look(self, duty: ScheduleDuty) -> bool:
        """Let an agent look, and whatever it inserted be run; return whether it lived."""
        lived = True
        try:
            duty.look(self.held)
        except TransientError:
            lived = False
        for record in self.commands.open_commands():
            self.executed.append(str(record.command_id))
            for state in (State.ACCEPTED, State.RUNNING, State.DONE):
                found = self.commands.get(record.command_id)
                assert found is not None
                self.commands.move(found, state, 1, Outcome(coordinator="a:1"))
        return lived


# Another seed is another world: nothing can be made smaller.
@settings(max_examples=4, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(st.sampled_from(LINES), st.sampled_from(ZONES), st.integers(0, 2**32))
def test_a_year_of_the_duty_neither_doubles_nor_loses_a_run(
    line: str, zone: str, seed: int
) -> None:
    """Each look that is survived has settled everything that was due; no run is ever made again."""
    chance = random.Random(seed)
    world = World(line, zone, chance)
    expected = naive(line, zone)
    leader = world.duty()
    while not world.look(leader):
        leader = world.duty()
    late: list[tuple[datetime, Late]] = []
    while True:
        late = [(world.clock.at, Late(world.schedules)), *late[:9]]
        is_outage = chance.random() < 0.02
        world.clock.at += timedelta(hours=chance.expovariate(1 / 200 if is_outage else 1 / 6))
        if world.clock.at > END:
            break
        read_at, held_up = chance.choice(late)
        if chance.random() < 0.1 and world.clock.at - read_at < LATEST:
            world.look(world.duty(held_up))
        if not world.look(leader):
            leader = world.duty()
            continue
        passed = bisect_right(expected, world.clock.at)
        assert not passed or expected[passed - 1] in _due(world.executed[-3:])
    assert len(world.executed) == len(set(world.executed))
    assert set(_due(world.executed)) <= set(expected)
    is_often = len(world.executed) > 100
    assert not is_often or len(world.commands.commands) < len(world.executed), "none was forgotten"


def _due(ids: list[str]) -> list[datetime]:
    return [run.due_at for run in map(run_of, ids) if run is not None]
