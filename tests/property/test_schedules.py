"""A year of schedules: whoever dies, whenever, no run is made twice and none is missed for good."""

import random
from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model import schedules
from agent.model.schedules import Mark, Run, Schedule

BEGIN = datetime(2026, 1, 1, 12, tzinfo=UTC)
END = BEGIN + timedelta(days=365)
QUARTER = timedelta(minutes=15)

# Minutes are quarters of an hour, so that a year can be walked through without cron.
LINES = (
    "0 3 * * *",
    "30 2 * * *",
    "0 2 * * 0",
    "15 0 1,15 * *",
    "0 0 13 * 5",
    "45 1-3 * * mon-fri",
    "0 */6 * * *",
    "30 * * * *",
    "0 12 31 * *",
)
ZONES = ("UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")


def numbers(field: str, first: int, last: int) -> set[int]:
    """Return what a field of the lines above allows, read in the plainest way."""
    if field == "mon-fri":
        field = "1-5"
    if field.startswith("*/"):
        return set(range(first, last + 1, int(field[2:])))
    if field == "*":
        return set(range(first, last + 1))
    if "-" in field:
        begin, end = field.split("-")
        return set(range(int(begin), int(end) + 1))
    return {int(each) for each in field.split(",")}


@cache
def naive(line: str, name: str) -> Sequence[datetime]:
    """Return every due time of the year: looked for at each quarter that a clock can show."""
    minute, hour, day, month, weekday = line.split()
    minutes, hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
    days, weekdays = numbers(day, 1, 31), numbers(weekday, 0, 6)
    assert month == "*"
    found = set()
    wall = datetime(2025, 12, 30)  # noqa: DTZ001 - what a clock shows
    while wall < datetime(2027, 1, 3):  # noqa: DTZ001
        is_day, is_weekday = wall.day in days, wall.isoweekday() % 7 in weekdays
        either = "*" not in {day, weekday}
        is_right_day = is_day or is_weekday if either else is_day and is_weekday
        if is_right_day and wall.hour in hours and wall.minute in minutes:
            one = wall.replace(tzinfo=ZoneInfo(name), fold=0).astimezone(UTC)
            two = wall.replace(tzinfo=ZoneInfo(name), fold=1).astimezone(UTC)
            found |= {one, two} if hour.startswith("*") and two > one else {one}
        wall += QUARTER
    return sorted(each for each in found if BEGIN < each <= END)


class Cluster:
    """The collections that the agents share, and what was ever run."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.mark: Mark | None = None
        self.commands: dict[str, datetime] = {}
        self.executed: list[Run] = []

    def look(self, chance: random.Random, now: datetime, read: Mark | None) -> bool:
        """Let a coordinator that read a mark act now; return whether it lived to the end."""
        mark = schedules.settled(self.schedule, read, now)
        if mark != read and not self.remember(read, mark):
            return True
        if chance.random() < 0.05:
            return False
        due = schedules.due(self.schedule, mark, now)
        if due is None:
            return True
        run = Run(schedule_id=self.schedule.schedule_id, due_at=due)
        assert due <= now
        if run.command_id not in self.commands:
            self.commands[run.command_id] = now
            self.executed.append(run)
        if chance.random() < 0.3:
            return False
        self.remember(mark, schedules.handled(mark, due))
        return True

    def remember(self, read: Mark | None, mark: Mark) -> bool:
        """Write a mark, if it still is what was read."""
        if self.mark != read:
            return False
        self.mark = mark
        return True

    def trim(self, now: datetime) -> None:
        """Remove commands that ended over a week ago, as far as they may be forgotten.

        By their end, not by their due time: one that was made up for late is as young as any, and
        an agent that read the mark before that may still be on its way.
        """
        for each, ended_at in list(self.commands.items()):
            if ended_at < now - timedelta(days=7) and schedules.may_forget(each, self.mark):
                del self.commands[each]


@settings(max_examples=8, deadline=None)
@given(st.sampled_from(LINES), st.sampled_from(ZONES), st.integers(0, 2**32))
def test_a_year_of_deaths_neither_doubles_nor_loses_a_run(line: str, name: str, seed: int) -> None:
    """Agents die before and after the insert, all of them for weeks; and two lead at once."""
    chance = random.Random(seed)
    cluster = Cluster(
        schedules.parse({
            "_id": "s",
            "cron": line,
            "timezone": name,
            "command": {"command": "backup"},
        })
    )
    expected = naive(line, name)
    now, before = BEGIN, cluster.mark
    assert cluster.look(random.Random(1), now, None)
    while now < END:
        is_outage = chance.random() < 0.01
        now += timedelta(hours=chance.expovariate(1 / 200 if is_outage else 1 / 2))
        if now > END:
            break
        stale, before = before, cluster.mark
        if chance.random() < 0.1:
            cluster.look(chance, now, stale)
        if cluster.look(chance, now, cluster.mark):
            passed = bisect_right(expected, now)
            done = [run.due_at for run in cluster.executed[-3:]]
            assert not passed or expected[passed - 1] in done
        cluster.trim(now)
    runs = [run.command_id for run in cluster.executed]
    assert len(runs) == len(set(runs))
    assert {run.due_at for run in cluster.executed} <= set(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(LINES),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2026, 1, 2), datetime(2026, 12, 30)),  # noqa: DTZ001
    st.integers(1, 40 * 24),
)
def test_what_is_due_is_what_a_clock_shows(
    line: str, name: str, begin: datetime, hours: int
) -> None:
    """The newest one of any stretch, and the next ones after it, whatever the clocks do."""
    schedule = schedules.parse({
        "_id": "s",
        "cron": line,
        "timezone": name,
        "command": {"command": "check"},
    })
    after = begin.replace(tzinfo=UTC)
    until = min(END, after + timedelta(hours=hours))
    expected = [each for each in naive(line, name) if after < each <= until]
    mark = Mark(seen_as=schedule.seen_as, handled_to=after)
    assert schedules.due(schedule, mark, until) == (expected[-1] if expected else None)
    found = schedules.next_runs(schedule, after, 3)
    assert [each for each in found if each <= until] == expected[:3]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_edits_never_run_anything_twice_or_early(seed: int) -> None:
    """Times, zones and the switch change while agents look, and while nobody does."""
    chance = random.Random(seed)
    cluster = Cluster(
        schedules.parse({"_id": "s", "cron": LINES[0], "command": {"command": "check"}})
    )
    now = changed_at = BEGIN
    for _ in range(150):
        now += timedelta(hours=chance.expovariate(1 / 5))
        if chance.random() < 0.2:
            cluster.schedule = schedules.parse({
                "_id": "s",
                "cron": chance.choice(LINES),
                "timezone": chance.choice(ZONES),
                "command": {"command": "check"},
                "enabled": chance.random() < 0.8,
            })
        if cluster.mark is None or cluster.mark.seen_as != cluster.schedule.seen_as:
            changed_at = now
        count = len(cluster.executed)
        cluster.look(chance, now, cluster.mark)
        assert all(run.due_at > changed_at for run in cluster.executed[count:])
    runs = [run.command_id for run in cluster.executed]
    assert len(runs) == len(set(runs))
