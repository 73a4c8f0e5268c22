"""What follows a command that ended."""

from datetime import UTC, datetime

import pytest

from agent.model.commands import CommandRecord, Prune, parse
from agent.model.following import prune_after
from agent.model.schedules import Schedule, run_of
from agent.model.schedules import parse as schedule
from agent.model.states import State

RUN = "nightly@20261121T030000Z"
BACKUP = {"command": "backup"}


def ended(command_id: object = RUN, state: State = State.DONE, **options: object) -> CommandRecord:
    """Return a command that ended."""
    return CommandRecord(
        command_id=command_id,
        options={**BACKUP, **options},
        state=state,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        token=1,
    )


def nightly(**changes: object) -> Schedule:
    """Return the schedule of the run, with a retention."""
    document = {
        "_id": "nightly",
        "cron": "0 3 * * *",
        "command": BACKUP,
        "retention": {"keep_last": 3},
        **changes,
    }
    return schedule({name: value for name, value in document.items() if value is not None})


def alone(**changes: object) -> Schedule:
    """Return a retention that stands alone."""
    return schedule({"_id": "rules", "retention": {"keep_last": 3}, **changes})


def test_a_prune_follows_a_scheduled_backup() -> None:
    """It is a command like any other, of an ``_id`` that can be there but once."""
    found = prune_after(ended(), [nightly()], "main")
    assert found == {"_id": f"{RUN}#prune", "command": "prune", "storage": "main"}
    options = {name: value for name, value in found.items() if name != "_id"}
    assert Prune(storage="main") == parse(options)
    assert run_of(found["_id"]) is None


@pytest.mark.parametrize(
    "record",
    [
        ended("by hand"),
        ended(7),
        ended(state=State.FAILED),
        ended(state=State.CANCELED),
        ended(command="verify", backup="x"),
        ended(storage="old"),
    ],
)
def test_none_follows_anything_else(record: CommandRecord) -> None:
    """Not what a person made, what failed, and what went where no retention is."""
    assert prune_after(record, [nightly()], "main") is None


def test_a_retention_that_stands_alone_is_applied_too() -> None:
    """To the storage that it names; otherwise nobody ever would."""
    plain = nightly(retention=None)
    assert prune_after(ended(), [plain], "main") is None
    assert prune_after(ended(), [plain, alone()], "main") is not None
    assert prune_after(ended(), [plain, alone(storage="old")], "main") is None
    found = prune_after(ended(storage="old"), [plain, alone(storage="old")], "main")
    assert found is not None
    assert "old" == found["storage"]


def test_a_retention_that_is_off_or_has_times_of_its_own_is_left_to_itself() -> None:
    """Whoever schedules a prune has said when."""
    weekly = nightly(_id="weekly", command={"command": "prune"})
    plain = nightly(retention=None)
    assert prune_after(ended(), [nightly(enabled=False)], "main") is None
    assert prune_after(ended(), [plain, weekly], "main") is None
    assert prune_after(ended(), [nightly(_id="another"), plain], "main") is None
