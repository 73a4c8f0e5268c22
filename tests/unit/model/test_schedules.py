"""Schedules: what may be inserted, and what is due."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.core.errors import PermanentError
from agent.model.commands import Backup
from agent.model.schedules import (
    MARK_FIELDS,
    SCHEDULED,
    Mark,
    Retention,
    Run,
    Schedule,
    clashes,
    due,
    handled,
    is_superseded,
    may_forget,
    next_runs,
    parse,
    run_of,
    settled,
)
from agent.model.schema import schedules_validator

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NIGHTLY: dict[str, object] = {
    "_id": "nightly",
    "cron": "0 3 * * *",
    "command": {"command": "backup"},
}


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """Return a time in November 2026."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


def nightly(**changes: object) -> Schedule:
    """Return the schedule of a nightly backup, with changes."""
    return parse({**NIGHTLY, **changes})


def test_a_whole_document_is_read() -> None:
    """All fields, with what agents added."""
    schedule = nightly(
        timezone="Europe/Vienna",
        command={"command": "backup", "namespaces": ["shop.*"], "storage": "far"},
        retention={"keep_last": 3, "recovery_window_days": 7},
        enabled=False,
        seen_as="something",
        handled_to=NOW,
    )
    assert schedule.command == Backup(namespaces=("shop.*",), storage="far")
    assert schedule.retention == Retention(keep_last=3, recovery_window_days=7)
    assert (schedule.storage_label, schedule.namespaces) == ("far", ("shop.*",))
    assert not schedule.enabled


def test_a_retention_may_stand_alone() -> None:
    """It rules a storage without running anything."""
    schedule = parse({"_id": "rules", "retention": {"keep_daily": 7}, "storage": "far"})
    assert schedule.storage_label == "far"
    assert next_runs(schedule, NOW) == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cron": "0 3 * *"}, "cron has 4 fields"),
        ({"timezone": "Europe/Wienna"}, "did you mean 'Europe/Vienna'"),
        ({"command": {"command": "cancel", "target": "x"}}, "command must be one of"),
        ({"command": {"command": "backup", "bla": 1}}, "backup has no option 'bla'"),
        ({"command": "backup"}, "command must be a document"),
        ({"command": None}, "'cron' and 'command' together"),
        ({"cron": None}, "'cron' and 'command' together"),
        ({"retention": {}}, "retention would keep nothing"),
        ({"retention": {"keep_last": 0}}, "retention.keep_last must be at least 1"),
        ({"retention": {"keep_last": True}}, "retention.keep_last must be a whole number"),
        ({"retention": {"keep": 1}}, "there is no field 'retention.keep'"),
        ({"retention": {"keep_within_days": 36501}}, "must be at most 36500"),
        ({"command": {"command": "check"}, "retention": {"keep_last": 1}}, "backup or prune"),
        ({"storage": "far"}, "'storage' within 'command'"),
        ({"enabled": 1}, "enabled must be true or false"),
        ({"colour": "red"}, "there is no field 'colour'"),
        ({"_id": ""}, "_id"),
        ({"_id": 7}, "_id must be a text"),
    ],
)
def test_a_wrong_document_is_refused(changes: dict[str, object], told: str) -> None:
    """The message names the field and the mend, and the schedule."""
    with pytest.raises(PermanentError) as caught:
        nightly(**changes)
    assert caught.value.code == "bad_schedule"
    assert told in caught.value.message
    assert repr(changes.get("_id", "nightly")) in caught.value.message


def test_what_does_nothing_is_refused() -> None:
    """A name alone is no schedule."""
    with pytest.raises(PermanentError, match="does nothing"):
        parse({"_id": "idle"})


# ------------------------------------------------------------------ the validator


@pytest.fixture
def schema() -> dict[str, Any]:
    """The schema of the schedules collection."""
    found = schedules_validator()["$jsonSchema"]
    assert isinstance(found, dict)
    return found


def test_every_field_is_known_with_a_description(schema: dict[str, Any]) -> None:
    """Nothing else may be inserted; descriptions are what mongosh shows beside a fault."""
    fields = {info.alias or name for name, info in Schedule.model_fields.items()}
    assert fields | set(MARK_FIELDS) == set(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["_id"]
    for name, field in schema["properties"].items():
        assert field["description"], name


def test_the_embedded_command_is_as_strict_as_an_inserted_one(schema: dict[str, Any]) -> None:
    """Options belong to their commands; cancel, which is aimed at one command, is left out."""
    command = schema["properties"]["command"]
    assert command["properties"]["command"]["enum"] == sorted(SCHEDULED)
    assert "target" not in command["properties"]
    assert "state" not in command["properties"]
    assert command["additionalProperties"] is False
    assert "keep" in command["dependencies"]
    assert [each for each in command["allOf"] if "backup is missing" in each["description"]]


def test_a_retention_needs_a_rule(schema: dict[str, Any]) -> None:
    """And each rule a number from one on; the server refuses an empty list of needed fields."""
    retention = schema["properties"]["retention"]
    assert retention["minProperties"] == 1
    assert "required" not in retention
    assert retention["properties"]["keep_last"]["minimum"] == 1
    assert retention["properties"]["keep_last"]["bsonType"] == ["int", "long"]


def test_patterns_let_examples_through(schema: dict[str, Any]) -> None:
    """Those of names, lines and zones."""
    patterns = {name: field.get("pattern", "") for name, field in schema["properties"].items()}
    assert re.search(patterns["_id"], "nightly-2.b")
    assert not re.search(patterns["_id"], "a@b")
    assert re.search(patterns["cron"], "0 3 * * mon-fri")
    assert not re.search(patterns["cron"], "0 25 * * *")
    assert re.search(patterns["timezone"], "America/Argentina/Buenos_Aires")


# ------------------------------------------------------------------ what is due


def test_a_new_schedule_does_not_run_for_times_before_it() -> None:
    """It counts from when it is seen first."""
    mark = settled(nightly(), None, NOW)
    assert due(nightly(), mark, NOW) is None
    assert due(nightly(), mark, at(23, 3)) == at(23, 3)


def test_a_schedule_that_came_since_the_last_look_counts_from_then() -> None:
    """Replaced just before it was due, and seen just after: it runs."""
    mark = settled(nightly(), None, at(23, 3, 0) + timedelta(seconds=1), at(23, 2, 59))
    assert mark.handled_to > at(23, 3, 0)
    mark = settled(nightly(), None, at(23, 3), at(23, 3) - timedelta(seconds=1))
    assert due(nightly(), mark, at(23, 3)) == at(23, 3)


def test_missed_runs_are_caught_up_once() -> None:
    """Of three nights without an agent, the last one is made up for."""
    mark = Mark(seen_as=nightly().seen_as, handled_to=at(19, 3))
    found = due(nightly(), mark, NOW)
    assert found == at(22, 3)
    assert due(nightly(), handled(mark, found), NOW) is None


def test_a_change_of_times_counts_from_when_it_is_seen() -> None:
    """Changed from 03:00 to 11:00 at noon: nothing is due today; the command alone may change."""
    mark = Mark(seen_as=nightly().seen_as, handled_to=at(21, 3))
    changed = nightly(cron="0 11 * * *")
    assert due(changed, settled(changed, mark, NOW), NOW) is None
    tagged = nightly(command={"command": "backup", "note": "other"})
    assert settled(tagged, mark, NOW) == mark


def test_what_was_due_while_disabled_is_not_made_up_for() -> None:
    """Both switching it off and on are changes."""
    off = nightly(enabled=False)
    mark = settled(off, Mark(seen_as=nightly().seen_as, handled_to=at(19, 3)), at(20, 0))
    assert due(off, mark, NOW) is None
    assert next_runs(off, NOW) == ()
    assert due(nightly(), settled(nightly(), mark, NOW), NOW) is None


def test_a_mark_of_a_wrong_clock_does_not_silence_a_schedule() -> None:
    """A year ahead: it is set anew; a little ahead, as clocks of hosts differ, it stands."""
    ahead = Mark(seen_as=nightly().seen_as, handled_to=NOW + timedelta(days=365))
    assert settled(nightly(), ahead, NOW).handled_to == NOW
    near = Mark(seen_as=nightly().seen_as, handled_to=NOW + timedelta(minutes=5))
    assert settled(nightly(), near, NOW) == near


def test_next_runs_are_told_in_utc() -> None:
    """Three in the morning in Vienna."""
    expected = (at(23, 2), at(24, 2))
    assert expected == next_runs(nightly(timezone="Europe/Vienna"), NOW, 2)


# ------------------------------------------------------------------ what a run is called


def test_a_run_has_one_name() -> None:
    """Made from schedule and due time, and read back."""
    run = Run(schedule_id="nightly", due_at=at(21, 3))
    assert run.command_id == "nightly@20261121T030000Z"
    assert run_of(run.command_id) == run


@pytest.mark.parametrize("command_id", [7, "x", "x@y", "@20261121T030000Z", "x@20261399T030000Z"])
def test_other_commands_are_no_runs(command_id: object) -> None:
    """Whatever an operator chose for an _id."""
    assert run_of(command_id) is None
    assert may_forget(command_id, None)
    assert not is_superseded(command_id, ["x@20261121T030000Z"])


def test_an_older_waiting_run_gives_way() -> None:
    """To one of the same schedule only."""
    waiting = ["a@20261121T030000Z", "a@20261122T030000Z", "b@20261123T030000Z", 7]
    assert [is_superseded(each, waiting) for each in waiting] == [True, False, False, False]


def test_a_run_is_not_forgotten_before_its_mark_has_moved() -> None:
    """Its _id is what keeps it from running twice until then."""
    mark = Mark(seen_as="", handled_to=at(21, 3))
    assert may_forget("a@20261121T030000Z", mark)
    assert not may_forget("a@20261122T030000Z", mark)


# ------------------------------------------------------------------ schedules beside each other


def test_schedules_that_always_meet_clash() -> None:
    """Also in two time zones, and if one of them is rarer than the other."""
    weekly = nightly(_id="weekly", cron="0 4 * * 0", timezone="Europe/Vienna")
    (found,) = clashes([weekly, nightly()], NOW, "main")
    assert (found.first, found.second, found.at) == ("nightly", "weekly", at(29, 3))
    assert "'nightly' and 'weekly'" in found.message


@pytest.mark.parametrize(
    "changes",
    [
        {"cron": "1 3 * * *"},
        {"cron": "0 */7 1 * *"},
        {"enabled": False},
        {"command": {"command": "check"}},
        {"command": {"command": "backup", "storage": "far"}},
        {"timezone": "Europe/Vienna"},
    ],
)
def test_schedules_that_do_not_always_meet_do_not_clash(changes: dict[str, object]) -> None:
    """Other minutes, other storages, or nothing that writes."""
    assert not clashes([nightly(), nightly(_id="other", **changes)], NOW, "main")


def test_the_main_storage_by_its_name_is_the_main_storage() -> None:
    """Named by one of them, meant by the other."""
    other = nightly(_id="other", command={"command": "backup", "storage": "main"})
    assert clashes([nightly(), other], NOW, "main")
