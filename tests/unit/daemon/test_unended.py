"""Commands whose documents take no change: the agent goes on, and tells."""

from collections.abc import Callable

import pytest

from agent.core.errors import PermanentError
from agent.daemon.coordinator import Coordinator
from agent.model.commands import CommandRecord
from agent.model.outcome import Outcome
from agent.model.progress import Progress
from agent.model.states import State
from tests.fakes.control import MemoryControl
from tests.testbed.waiting import eventually
from tests.unit.daemon.test_coordinator import Site

Takes = Callable[[State, Outcome], bool]

FULL = PermanentError("mongodb_refused", "Resulting document after update is larger than 16777216")


def fill(control: MemoryControl, full_id: object, takes: Takes = lambda *_: False) -> None:
    """Let a command take only some moves from now on, and no progress."""
    move, report = control.commands.move, control.commands.report

    def moved(record: CommandRecord, new: State, token: int, outcome: Outcome) -> bool:
        if record.command_id == full_id and not takes(new, outcome):
            raise FULL
        return move(record, new, token, outcome)

    def reported(command_id: object, token: int, progress: Progress, eta_s: float | None) -> None:
        if command_id == full_id:
            raise FULL
        report(command_id, token, progress, eta_s)

    control.commands.move = moved  # type: ignore[method-assign]
    control.commands.report = reported  # type: ignore[method-assign]


def told(site: Site, coordinator: Coordinator) -> list[tuple[str, str]]:
    """Return the problems of unended commands that the status shows, with their hints."""
    site.clock.move(2)
    coordinator.tick(site.stop)
    found = site.control.status.problems()
    return [(each.message, each.hint) for each in found if each.code == "command_cannot_end"]


def test_a_document_that_takes_no_state_is_a_problem_until_it_is_gone() -> None:
    """It is named, the others are run, and whoever deletes it mends it."""
    site = Site()
    coordinator = site.coordinator()
    full = site.insert(command="backup")
    fill(site.control, full)
    site.reach(coordinator, site.insert(command="check"), State.DONE)
    ((message, hint),) = told(site, coordinator)
    assert repr(full) in message
    assert f"deleteOne({{_id: {full!r}}})" in hint
    since = {each.since for each in site.control.status.problems() if each.hint == hint}
    told(site, coordinator)
    assert since == {each.since for each in site.control.status.problems() if each.hint == hint}
    site.control.commands.commands.clear()
    assert not told(site, coordinator)


def test_a_result_that_does_not_fit_fails_the_command_alone() -> None:
    """The error says how the job ended, and where to look; progress that does not fit is left."""
    site = Site()
    coordinator = site.coordinator()
    command = site.insert(command="backup")
    fill(site.control, command, lambda _new, outcome: outcome.result is None)
    site.reach(coordinator, command, State.FAILED)
    assert "result_too_large" == site.error(command)
    assert 1 == len(site.behave.tokens)
    assert not told(site, coordinator)


@pytest.mark.parametrize("begins", [True, False])
def test_a_job_whose_document_takes_no_end_is_not_run_again(*, begins: bool) -> None:
    """The agent lives, the next command has its turn, and what was run is told."""
    site = Site()
    coordinator = site.coordinator()
    command = site.insert(command="backup")
    room = {State.ACCEPTED, State.RUNNING} if begins else {State.ACCEPTED}
    fill(site.control, command, lambda new, _outcome: new in room)
    other = site.insert(command="backup", note="next")
    site.reach(coordinator, other, State.DONE)
    ((_message, hint),) = told(site, coordinator)
    assert begins == ("it has been run" in hint)
    assert (2 if begins else 1) == len(site.behave.tokens)


def test_a_document_in_which_room_is_made_ends_by_itself() -> None:
    """As failed, with the reason, and without another run."""
    site = Site()
    coordinator = site.coordinator()
    command = site.insert(command="backup")
    room = {State.ACCEPTED, State.RUNNING}
    fill(site.control, command, lambda new, _outcome: new in room)
    eventually(lambda: told(site, coordinator), 20)
    room.add(State.FAILED)
    site.reach(coordinator, command, State.FAILED)
    assert "result_too_large" == site.error(command)
    assert not told(site, coordinator)
    assert 1 == len(site.behave.tokens)
