"""What the commands collection keeps to: legal moves, compare-and-set, fencing."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.core.errors import LeaseLost, PermanentError
from agent.model.cluster_time import ClusterTime
from agent.model.commands import CommandRecord
from agent.model.outcome import Failure, Outcome
from agent.model.progress import Progress
from agent.model.states import END_STATES, LEGAL_MOVES, State
from tests.contract.conftest import Control
from tests.testbed.waiting import eventually

A = Outcome(coordinator="a:1")
B = Outcome(coordinator="b:1")

# A legal way to each state.
WAYS: dict[State, tuple[State, ...]] = {
    State.ACCEPTED: (State.ACCEPTED,),
    State.RUNNING: (State.ACCEPTED, State.RUNNING),
    State.DONE: (State.ACCEPTED, State.RUNNING, State.DONE),
    State.FAILED: (State.ACCEPTED, State.RUNNING, State.FAILED),
    State.CANCELED: (State.ACCEPTED, State.CANCELED),
    State.REJECTED: (State.REJECTED,),
    State.EXPIRED: (State.EXPIRED,),
}


def inserted(control: Control, **options: object) -> CommandRecord:
    """Insert a command and read it back."""
    return read(control, control.commands.insert({"command": "backup", **options}))


def read(control: Control, command_id: object) -> CommandRecord:
    """Read a command that is there."""
    found = control.commands.get(command_id)
    assert found is not None
    return found


def moved(control: Control, record: CommandRecord, *states: State, token: int = 1) -> CommandRecord:
    """Move a command along and read it back."""
    for state in states:
        assert control.commands.move(record, state, token, A)
        record = read(control, record.command_id)
    return record


def test_how_a_command_ended_last_is_told(control: Control) -> None:
    """By when it ended, done or failed; one that was canceled or is open says nothing."""
    assert control.commands.last_ended("backup") is None
    ended = moved(control, inserted(control), *WAYS[State.DONE])
    moved(control, inserted(control), *WAYS[State.CANCELED])
    moved(control, inserted(control), State.ACCEPTED, State.RUNNING)
    found = control.commands.last_ended("backup")
    assert found is not None
    assert (ended.command_id, State.DONE, None) == (found.command_id, found.state, found.failure)
    assert control.commands.last_ended("restore") is None
    record = moved(control, inserted(control), State.ACCEPTED, State.RUNNING)
    failure = Failure(code="c", message="m", hint="h")
    ended_at = found.finished_at
    eventually(lambda: control.status.server_now() > ended_at)
    control.commands.move(record, State.FAILED, 1, replace(A, failure=failure))
    found = control.commands.last_ended("backup")
    assert found is not None
    assert (record.command_id, State.FAILED, failure) == (
        found.command_id,
        found.state,
        found.failure,
    )


def test_an_inserted_command_waits_with_its_options(control: Control) -> None:
    """Options come as plain values, without `_id` and what agents write."""
    options: dict[str, Any] = {
        "command": "restore",
        "to": ClusterTime(1795302427, 3),
        "namespaces": ["shop.*"],
        "dry_run": True,
    }
    record = read(control, control.commands.insert(options))
    assert (record.options, record.state, record.token) == (options, None, 0)
    assert record.created_at is not None
    assert [record] == list(control.commands.open_commands())


def test_a_wrong_command_is_refused_with_the_fields(control: Control) -> None:
    """Misspelt fields, wrong types and options of other commands never get in."""
    for options, name in (
        ({"command": "backup", "namespace": ["a.*"]}, "namespace"),
        ({"command": "backup", "keep": "yes"}, "keep"),
        ({"command": "backup", "overwrite": True}, "overwrite"),
        ({"command": "delete"}, "backup"),
        ({"command": "bakup"}, "command"),
    ):
        with pytest.raises(PermanentError, match=name) as caught:
            control.commands.insert(options)
        assert caught.value.code == "bad_command"
    assert list(control.commands.open_commands()) == []


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_command_goes_legal_ways(control: Control, way: tuple[State, ...]) -> None:
    """Each move shows, and a command in an end state is open no more."""
    record = moved(control, inserted(control), *way)
    assert record.state == way[-1]
    assert record.token == 1
    is_open = bool(control.commands.open_commands())
    assert is_open == (way[-1] not in END_STATES)


def test_illegal_moves_are_refused(control: Control) -> None:
    """Whatever the board has: the table of legal moves is the law."""
    record = inserted(control)
    for new in set(State) - LEGAL_MOVES[None]:
        with pytest.raises(PermanentError) as caught:
            control.commands.move(record, new, 1, A)
        assert caught.value.code == "illegal_move"
    assert read(control, record.command_id) == record


def test_only_one_of_two_coordinators_moves_a_command(control: Control) -> None:
    """The later one, with the larger token, finds that it moved on."""
    record = inserted(control)
    assert control.commands.move(record, State.ACCEPTED, 1, A)
    assert not control.commands.move(record, State.REJECTED, 2, B)
    assert not control.commands.move(record, State.ACCEPTED, 2, B)
    assert read(control, record.command_id).state is State.ACCEPTED


def test_a_move_that_was_made_may_be_repeated(control: Control) -> None:
    """As when the answer was lost; a repetition that means another state is not."""
    record = inserted(control)
    assert control.commands.move(record, State.ACCEPTED, 1, A)
    assert control.commands.move(record, State.ACCEPTED, 1, A)
    assert not control.commands.move(record, State.EXPIRED, 1, A)


def test_a_lower_token_changes_nothing(control: Control) -> None:
    """A coordinator that lost its lease is told so, whatever it tries."""
    record = moved(control, inserted(control), State.ACCEPTED, token=5)
    for late in (State.RUNNING, State.CANCELED):
        with pytest.raises(LeaseLost):
            control.commands.move(record, late, 4, B)
    running = moved(control, record, State.RUNNING, token=6)
    with pytest.raises(LeaseLost):
        control.commands.report(running.command_id, 5, Progress(phase="reading"), None)
    assert read(control, record.command_id) == running


def test_reporting_shows_the_new_coordinators_token(control: Control) -> None:
    """Once a successor has reported, its predecessor is fenced off."""
    record = moved(control, inserted(control), State.ACCEPTED, State.RUNNING, token=5)
    control.commands.report(record.command_id, 7, Progress(phase="reading"), 1.5)
    with pytest.raises(LeaseLost):
        control.commands.move(record, State.DONE, 5, A)
    assert read(control, record.command_id).token == 7


def test_reporting_on_an_ended_command_does_nothing(control: Control) -> None:
    """A progress that comes late does not bring it back."""
    record = moved(control, inserted(control), *WAYS[State.DONE])
    control.commands.report(record.command_id, 9, Progress(phase="reading"), None)
    assert read(control, record.command_id) == record


def test_a_command_that_was_removed_cannot_be_moved(control: Control) -> None:
    """An operator may delete the document at any time."""
    record = inserted(control)
    control.drop()
    assert control.commands.get(record.command_id) is None
    assert not control.commands.move(record, State.ACCEPTED, 1, A)
    control.commands.report(record.command_id, 1, Progress(phase="reading"), None)


def test_results_and_failures_are_taken(control: Control) -> None:
    """Cluster times, tuples and dollar signs in them are plain data."""
    record = moved(control, inserted(control), *WAYS[State.RUNNING])
    result = {"consistent_at": ClusterTime(1, 2), "nodes": ("a:1",), "$set": {"a.b": "$c"}}
    outcome = Outcome(coordinator="a:1", result=result)
    assert control.commands.move(record, State.DONE, 1, outcome)
    other = moved(control, inserted(control), State.ACCEPTED)
    failure = Failure(code="no_such_backup", message="there is no backup x", hint="see list")
    assert control.commands.move(
        other, State.REJECTED, 1, Outcome(coordinator="a:1", failure=failure)
    )


def test_runs_that_ended_long_ago_can_be_found_and_removed(control: Control) -> None:
    """Those of schedules alone, oldest first; what has not ended is neither found nor removed."""
    ids = [f"nightly@2026112{day}T030000Z" for day in (3, 1, 2)]
    for each in (*ids, "mail@home", "x@20269999T999999Z"):
        moved(control, inserted(control, _id=each), *WAYS[State.DONE])
    by_hand = moved(control, inserted(control), *WAYS[State.DONE])
    waiting = moved(control, inserted(control, _id="nightly@20261124T030000Z"), State.ACCEPTED)
    now = control.status.server_now()
    assert [] == list(control.commands.ended_runs(now - timedelta(hours=1), 9))
    later = now + timedelta(hours=1)
    assert ids == list(control.commands.ended_runs(later, 9))
    assert ids[:2] == list(control.commands.ended_runs(later, 2))
    control.commands.remove([*ids[1:], waiting.command_id, "gone"])
    control.commands.remove([])
    assert ids[:1] == list(control.commands.ended_runs(later, 9))
    assert [waiting] == list(control.commands.open_commands())
    assert by_hand == read(control, by_hand.command_id)


def test_others_that_ended_long_ago_can_be_found(control: Control) -> None:
    """Oldest first; not the last of each name that came to something, nor what has not ended."""
    ids = ["a", "b", "c"]
    for each in ids:
        moved(control, inserted(control, _id=each), *WAYS[State.DONE])
    moved(control, inserted(control, _id="nightly@20261121T030000Z"), *WAYS[State.DONE])
    moved(control, inserted(control, _id="z"), *WAYS[State.REJECTED])
    moved(control, inserted(control, _id="waits"), State.ACCEPTED)
    now = control.status.server_now()
    later = now + timedelta(hours=1)
    assert [] == list(control.commands.ended_others(now - timedelta(hours=1), 9))
    assert [*ids, "z"] == list(control.commands.ended_others(later, 9))
    assert ids[:2] == list(control.commands.ended_others(later, 2))
    control.commands.remove(["nightly@20261121T030000Z"])
    assert ["a", "b", "z"] == list(control.commands.ended_others(later, 9))


def test_commands_come_oldest_first_whatever_their_ids(control: Control) -> None:
    """An id of the operator's own choice is kept."""
    first = inserted(control)
    named = control.commands.insert({"_id": "nightly", "command": "backup"})
    assert named == "nightly"
    second = moved(control, read(control, "nightly"), State.ACCEPTED)
    assert second.created_at is not None
    with pytest.raises(PermanentError) as caught:
        control.commands.insert({"_id": "nightly", "command": "backup"})
    assert caught.value.code == "duplicate_key"
    found = [record.command_id for record in control.commands.open_commands()]
    assert [first.command_id, "nightly"] == found
