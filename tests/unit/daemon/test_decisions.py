"""What the coordinator does with the commands it finds."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.daemon.decisions import (
    Accept,
    CancelTarget,
    Decision,
    Expire,
    GiveWay,
    Places,
    Reject,
    Start,
    decide,
    turns,
)
from agent.model.commands import Backup, Check, CommandRecord
from agent.model.states import State

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


def _record(
    name: object, state: State | None, options: Mapping[str, object], age_s: float = 1
) -> CommandRecord:
    return CommandRecord(
        command_id=name,
        options=options,
        state=state,
        created_at=NOW - timedelta(seconds=age_s),
        token=0,
    )


FREE = Places(taken=(), data=1, beside=2)


def _decide(*records: CommandRecord, places: Places = FREE) -> list[tuple[type[Decision], object]]:
    decisions = decide(records, places=places, now=NOW, ttl_s=3600)
    return [(type(one), one.record.command_id) for one in decisions]


BACKUP = {"command": "backup"}


@pytest.mark.parametrize("changes", [{"size_bytes": 15_800_000}, {"command_id": "x" * 1001}])
def test_what_leaves_no_room_for_an_answer_is_rejected(changes: dict[str, Any]) -> None:
    """Before it is accepted: later its end could not be written."""
    record = replace(_record(1, None, BACKUP), **changes)
    (found,) = decide([record], places=FREE, now=NOW, ttl_s=3600)
    assert isinstance(found, Reject)
    assert "command_too_large" == found.failure.code


def test_a_new_command_is_accepted_and_the_oldest_accepted_one_starts() -> None:
    """One job runs at a time, in the order of insertion."""
    found = _decide(
        _record(1, State.ACCEPTED, BACKUP),
        _record(2, State.ACCEPTED, BACKUP),
        _record(3, None, BACKUP),
    )
    assert [(Accept, 3), (Start, 1)] == found


def test_nothing_starts_while_a_job_runs() -> None:
    """Later commands wait, also while the job that runs is still being planned."""
    places = Places(taken=(1,), data=0, beside=2)
    for state in (State.RUNNING, State.ACCEPTED):
        assert [] == _decide(
            _record(1, state, BACKUP), _record(2, State.ACCEPTED, BACKUP), places=places
        )


def test_a_job_that_lost_its_coordinator_goes_on_before_all_others() -> None:
    """Half-done work is finished before anything new begins."""
    found = _decide(_record(1, State.ACCEPTED, BACKUP), _record(2, State.RUNNING, BACKUP))
    assert [(Start, 2)] == found


def test_a_command_that_nobody_took_in_time_expires() -> None:
    """A restore from last week must not start because an agent came back."""
    assert [(Expire, 1)] == _decide(_record(1, None, BACKUP, age_s=3601))


def test_an_accepted_command_does_not_expire() -> None:
    """It was taken; it only waits for its turn."""
    assert [(Start, 1)] == _decide(_record(1, State.ACCEPTED, BACKUP, age_s=9999))


def test_nonsense_is_rejected_with_the_field_named() -> None:
    """What the validator let through ends in the document, not in the log."""
    [decision] = decide(
        [_record(1, None, {"command": "backup", "namespace": "shop.*"})],
        places=FREE,
        now=NOW,
        ttl_s=3600,
    )
    assert isinstance(decision, Reject)
    assert "namespace" in decision.failure.message


def test_a_cancel_does_not_wait_for_the_job_that_runs() -> None:
    """It is settled against its target at once."""
    decisions = decide(
        [
            _record(1, State.RUNNING, BACKUP),
            _record(2, State.ACCEPTED, {"command": "cancel", "target": "1"}),
            _record("1", State.ACCEPTED, BACKUP),
        ],
        places=Places(taken=(1,), data=0, beside=2),
        now=NOW,
        ttl_s=3600,
    )
    [decision] = decisions
    assert isinstance(decision, CancelTarget)
    assert decision.target is not None
    assert decision.target.command_id == "1"


def test_jobs_that_write_no_data_run_beside_as_many_as_there_are_places() -> None:
    """They neither wait for the job that writes data nor keep it from its turn."""
    reading = [
        Start(record=_record(name, State.ACCEPTED, {}), request=Check()) for name in (1, 2, 4)
    ]
    writing = Start(record=_record(3, State.ACCEPTED, BACKUP), request=Backup())
    waiting = [*reading[:2], writing, reading[2]]

    assert [1, 2, 3] == [one.record.command_id for one in turns(waiting, FREE)]
    busy = Places(taken=(9,), data=0, beside=1)
    assert [1] == [one.record.command_id for one in turns(waiting, busy)]


def test_a_check_starts_while_a_job_writes_data() -> None:
    """One that runs is not started again."""
    places = Places(taken=(1, 2), data=0, beside=1)
    found = _decide(
        _record(1, State.RUNNING, BACKUP),
        _record(2, State.RUNNING, {"command": "check"}),
        _record(3, State.ACCEPTED, {"command": "check"}),
        _record(4, State.ACCEPTED, {"command": "check"}),
        _record(5, State.ACCEPTED, BACKUP),
        places=places,
    )
    assert [(Start, 3)] == found


def a_run(schedule: str, hour: int) -> str:
    """Return the id of a run of a schedule."""
    return f"{schedule}@20261121T{hour:02d}0000Z"


def test_a_run_does_not_expire() -> None:
    """It was inserted by an agent, and is late because none was there: it would be missed."""
    assert [(Accept, a_run("s", 3))] == _decide(_record(a_run("s", 3), None, BACKUP, age_s=9e6))


def test_the_last_run_starts_in_the_place_of_the_first() -> None:
    """In its own place it would come after everything that was inserted meanwhile."""
    waiting = [
        _record(a_run("s", 1), State.ACCEPTED, BACKUP),
        _record("by hand", State.ACCEPTED, BACKUP),
        _record(a_run("s", 2), State.ACCEPTED, BACKUP),
        _record(a_run("s", 3), State.ACCEPTED, BACKUP),
    ]
    expected: list[tuple[type[Decision], object]] = [
        (GiveWay, a_run("s", 1)),
        (GiveWay, a_run("s", 2)),
        (Start, a_run("s", 3)),
    ]
    assert expected == _decide(*waiting)
    busy = Places(taken=(9,), data=0, beside=2)
    assert [(GiveWay, a_run("s", 2))] == _decide(*waiting, places=busy)


def test_a_run_that_has_begun_gives_way_to_nobody() -> None:
    """Its coordinator died: it goes on, and the next one waits."""
    found = _decide(
        _record(a_run("s", 1), State.RUNNING, BACKUP),
        _record(a_run("s", 2), State.ACCEPTED, BACKUP),
    )
    assert [(Start, a_run("s", 1))] == found


def test_runs_of_other_schedules_do_not_matter() -> None:
    """Each has its own place."""
    found = _decide(
        _record(a_run("a", 1), State.ACCEPTED, BACKUP),
        _record(a_run("b", 2), State.ACCEPTED, BACKUP),
        places=Places(taken=(), data=2, beside=2),
    )
    assert [(Start, a_run("a", 1)), (Start, a_run("b", 2))] == found


def test_two_schedules_that_are_due_too_often_take_turns() -> None:
    """Each backup takes a minute and a half, and both are due every minute."""
    waiting: list[CommandRecord] = []
    started: list[str] = []
    for half_minute in range(60):
        if half_minute % 2 == 0:
            for name in ("a", "b"):
                command_id = f"{name}@20261121T03{half_minute // 2:02d}00Z"
                waiting.append(_record(command_id, State.ACCEPTED, BACKUP))
        places = Places(taken=(), data=int(half_minute % 3 == 0), beside=2)
        for one in decide(waiting, places=places, now=NOW, ttl_s=3600):
            waiting.remove(one.record)
            if isinstance(one, Start):
                started.append(str(one.record.command_id)[0])
        assert len(waiting) <= 4
    assert ["a", "b"] * 10 == started


def test_a_cancel_of_what_has_begun_comes_behind_its_start() -> None:
    """Another coordinator's work is taken over, and cancelled at once; what waits never starts."""
    found = _decide(
        _record("1", State.RUNNING, BACKUP),
        _record("2", State.RUNNING, {"command": "cancel", "target": "1"}),
        _record("3", State.ACCEPTED, BACKUP),
        _record("4", State.ACCEPTED, {"command": "cancel", "target": "3"}),
    )
    assert [(CancelTarget, "4"), (Start, "1"), (CancelTarget, "2")] == found
