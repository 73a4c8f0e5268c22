"""Cron lines mean what crontab(5) says, in any time zone, on any day."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from agent.model import cron

# A Sunday.
SUNDAY = datetime(2026, 11, 22, tzinfo=UTC)


def days(line: str, count: int = 7) -> list[str]:
    """Return the weekdays on which a line is due, from a Sunday on."""
    found = cron.parse(line).between(
        SUNDAY - timedelta(seconds=1), SUNDAY + timedelta(days=count - 1), UTC
    )
    return [each.strftime("%a").lower() for each in found]


def local(line: str, name: str, begin: datetime, hours: int) -> list[str]:
    """Return what is due within hours of local time, as a clock there shows it."""
    where = cron.zone(name)
    after = begin.replace(tzinfo=where) - timedelta(seconds=1)
    found = cron.parse(line).between(
        after.astimezone(UTC), after.astimezone(UTC) + timedelta(hours=hours), where
    )
    return [each.astimezone(where).strftime("%d %H:%M %z") for each in found]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("0", ["sun"]),
        ("7", ["sun"]),
        ("1", ["mon"]),
        ("6", ["sat"]),
        ("sun", ["sun"]),
        ("SAT", ["sat"]),
        ("1-5", ["mon", "tue", "wed", "thu", "fri"]),
        ("mon-fri", ["mon", "tue", "wed", "thu", "fri"]),
        ("5-7", ["sun", "fri", "sat"]),
        ("0,3", ["sun", "wed"]),
        ("*/2", ["sun", "tue", "thu", "sat"]),
        ("1-5/2", ["mon", "wed", "fri"]),
        ("*", ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]),
    ],
)
def test_weekdays_are_those_of_cron(field: str, expected: list[str]) -> None:
    """Sunday is 0 and 7; APScheduler would take 0 for Monday."""
    assert expected == days(f"0 0 * * {field}")


def test_a_day_and_a_weekday_are_either_of_them() -> None:
    """The 24th, and each Sunday: crontab(5) joins the two by or, where both are given."""
    assert ["sun", "tue"] == days("0 0 24 * 0")


def test_a_day_with_a_star_and_a_weekday_are_both_of_them() -> None:
    """Sunday the 22nd is no odd day: a star joins the two by and."""
    assert not days("0 0 */2 * 0")
    assert days("0 0 */2 * 1") == ["mon"]


def test_months_have_names_and_numbers() -> None:
    """Both mean the same."""
    year = (SUNDAY, SUNDAY + timedelta(days=365), UTC)
    assert cron.parse("0 0 1 2,mar *").between(*year) == cron.parse("0 0 1 2-3 *").between(*year)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 3 * *", "4 fields"),
        ("0 3 * * * *", "6 fields"),
        ("@daily", "1 fields"),
        ("60 3 * * *", "wrong minute"),
        ("0 24 * * *", "wrong hour"),
        ("0 3 0 * *", "wrong day"),
        ("0 3 last * *", "wrong day"),
        ("0 3 * 13 *", "wrong month"),
        ("0 3 * * 8", "wrong weekday"),
        ("0 3 * * fun", "wrong weekday"),
        ("0 3 * * fri-mon", "backwards"),
        ("0 3 20-10 * *", "cannot be"),
        ("*/0 3 * * *", "wrong minute"),
        ("0 0 30 2 *", "never due"),
        ("٣ 3 * * *", "wrong minute"),
    ],
)
def test_a_wrong_line_is_refused(line: str, told: str) -> None:
    """The field is named."""
    with pytest.raises(ValueError, match=told):
        cron.parse(line)


@pytest.mark.parametrize(
    "line", ["0 3 * * *", "*/15 * * * *", "0 0 1,15 jan-mar Mon-FRI", "5/20 0 * * 0-7/2"]
)
def test_what_the_validator_lets_through_can_be_read(line: str) -> None:
    """The pattern is for the collection; it is as wide as what is understood."""
    assert re.fullmatch(cron.PATTERN, line)
    assert cron.parse(line).line == line


@pytest.mark.parametrize("line", ["0 3 * *", "60 3 * * *", "0 24 * * *", "@daily", "0 3 32 * *"])
def test_the_validator_holds_back_what_it_can(line: str) -> None:
    """A wrong number of fields, and numbers that are too large."""
    assert not re.fullmatch(cron.PATTERN, line)


@pytest.mark.parametrize("name", ["Europe/Vienn", "../../etc/passwd", "", "Europe", "+01:00"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    """With a mend."""
    with pytest.raises(ValueError, match="names no time zone"):
        cron.zone(name)


def test_a_zone_with_a_typing_mistake_is_guessed() -> None:
    """The hint names the nearest one."""
    with pytest.raises(ValueError, match="Europe/Vienna"):
        cron.zone("Europe/Wienna")


def test_a_time_that_is_skipped_runs_once() -> None:
    """On 29 March 2026 clocks in Vienna go from 02:00 to 03:00: 02:30 is due at 03:30."""
    expected = ["28 02:30 +0100", "29 03:30 +0200", "30 02:30 +0200"]
    assert expected == local("30 2 * * *", "Europe/Vienna", datetime(2026, 3, 28), 72)  # noqa: DTZ001


def test_a_time_that_comes_twice_runs_once() -> None:
    """On 25 October 2026 clocks in Vienna show 02:30 twice: the first time it is due."""
    expected = ["24 02:30 +0200", "25 02:30 +0200", "26 02:30 +0100"]
    assert expected == local("30 2 * * *", "Europe/Vienna", datetime(2026, 10, 24), 72)  # noqa: DTZ001


def test_every_hour_is_every_hour() -> None:
    """An hourly line has no hole while clocks go back, and nothing twice while they go forward."""
    back = local("0 * * * *", "Europe/Vienna", datetime(2026, 10, 25, 1), 4)  # noqa: DTZ001
    forth = local("0 * * * *", "Europe/Vienna", datetime(2026, 3, 29, 1), 3)  # noqa: DTZ001
    assert back == ["25 01:00 +0200", "25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"]
    assert forth == ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]


def test_a_jump_of_half_an_hour_is_understood() -> None:
    """Lord Howe Island skips 02:00 to 02:30 on 4 October 2026; what is due stays in order."""
    expected = ["04 02:30 +1100", "04 02:45 +1100"]
    assert expected == local("15,30 2 * * *", "Australia/Lord_Howe", datetime(2026, 10, 4), 20)  # noqa: DTZ001


def test_a_day_that_never_was_runs_once() -> None:
    """Samoa had no 30 December 2011: its run is that of the day after."""
    expected = ["29 03:00 -1000", "31 03:00 +1400"]
    assert expected == local("0 3 * * *", "Pacific/Apia", datetime(2011, 12, 29), 40)  # noqa: DTZ001


def test_the_29th_of_february_is_found() -> None:
    """Years ahead, and years back."""
    leap = cron.parse("0 0 29 2 *")
    expected = datetime(2028, 2, 29, tzinfo=UTC)
    assert expected == leap.next_after(SUNDAY, UTC)
    expected = datetime(2024, 2, 29, tzinfo=UTC)
    assert expected == leap.newest(datetime(2010, 1, 1, tzinfo=UTC), SUNDAY, UTC)
