"""A cancel meets its target in any state, and whoever coordinates may die in between."""

import threading
from collections.abc import Iterator

import pytest

from agent.core.errors import TransientError
from agent.daemon.coordinator import Coordinator
from agent.model.outcome import Outcome
from agent.model.states import END_STATES, State
from tests.testbed.waiting import eventually
from tests.unit.daemon.test_coordinator import Site


class Gate:
    """A place where the planning of a job waits until a test lets it go on."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self) -> None:
        """Wait."""
        self.reached.set()
        assert self.open.wait(20)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """Leave nobody waiting."""
    made = Gate()
    yield made
    made.open.set()


def ends(site: Site, coordinator: Coordinator, *commands: object) -> list[State | None]:
    """Let a coordinator look until commands have come to their ends, and return those."""

    def ended() -> bool:
        coordinator.tick(site.stop)
        return all(site.state(each) in END_STATES for each in commands)

    eventually(ended, timeout_s=20, interval_s=0.002)
    return [site.state(each) for each in commands]


def runs(site: Site, coordinator: Coordinator) -> int:
    """Return how often work has begun, when all that was there to do is done."""
    site.behave.waits = False
    before = len(site.behave.tokens)
    # It writes data, and so waits until whatever is in hand has ended.
    assert [State.DONE] == ends(site, coordinator, site.insert(command="backup"))
    return before if len(site.behave.tokens) == before + 1 else len(site.behave.tokens) - 1


def plans(site: Site, coordinator: Coordinator, gate: Gate) -> object:
    """Insert a restore, and return it when it is planned."""
    site.behave.while_planning = gate
    target = site.insert(command="restore")
    coordinator.tick(site.stop)
    assert gate.reached.wait(20)
    site.behave.while_planning = lambda: None
    return target


def follower(site: Site) -> Coordinator:
    """Return who coordinates after one that died and handed nothing back."""
    site.clock.move(60)
    return site.coordinator("b:1")


def test_what_is_cancelled_before_it_began_does_nothing() -> None:
    """Command and cancel come between two looks: it is planned at most, and never run."""
    site = Site()
    target = site.insert(command="restore")
    cancel = site.insert(command="cancel", target=target)
    coordinator = site.coordinator()
    assert [State.CANCELED, State.DONE] == ends(site, coordinator, target, cancel)
    assert 0 == runs(site, coordinator)


def test_what_is_gone_before_it_began_does_nothing(gate: Gate) -> None:
    """Somebody deletes the document of a command while it is planned."""
    site = Site()
    coordinator = site.coordinator()
    plans(site, coordinator, gate)
    site.control.commands.commands.clear()
    gate.open.set()
    assert 0 == runs(site, coordinator)


def test_what_is_planned_is_cancelled_before_it_runs(gate: Gate) -> None:
    """It ends as soon as its plan is made."""
    site = Site()
    coordinator = site.coordinator()
    target = plans(site, coordinator, gate)
    cancel = site.insert(command="cancel", target=target)
    site.reach(coordinator, cancel, State.RUNNING)
    gate.open.set()
    assert [State.CANCELED, State.DONE] == ends(site, coordinator, target, cancel)
    assert 0 == runs(site, coordinator)


def test_a_cancel_that_was_taken_outlives_its_coordinator(gate: Gate) -> None:
    """It died when it had taken the cancel of what it planned: the next one cancels that."""
    site = Site()
    first = site.coordinator()
    target = plans(site, first, gate)
    cancel = site.insert(command="cancel", target=target)
    site.reach(first, cancel, State.RUNNING)
    second = follower(site)
    assert [State.CANCELED, State.DONE] == ends(site, second, target, cancel)
    gate.open.set()
    assert 0 == runs(site, second)
    first.resign("the test ends")


def test_a_cancel_of_running_work_outlives_its_coordinator() -> None:
    """The next one takes the work over, and ends it."""
    site = Site()
    first = site.coordinator()
    site.behave.waits = True
    target = site.insert(command="backup")
    site.reach(first, target, State.RUNNING)
    cancel = site.insert(command="cancel", target=target)
    commands = site.control.commands
    token = next(each.token for each in commands.open_commands() if each.command_id == target)
    for state in (State.ACCEPTED, State.RUNNING):
        (record,) = (each for each in commands.open_commands() if each.command_id == cancel)
        assert commands.move(record, state, token, Outcome(coordinator="a:1"))
    second = follower(site)
    assert [State.CANCELED, State.DONE] == ends(site, second, target, cancel)
    first.resign("the test ends")


def test_a_cancel_that_was_taken_reaches_the_next_try(gate: Gate) -> None:
    """The plan met a fault that passes just when it was cancelled: it is not tried again."""
    site = Site()
    coordinator = site.coordinator()

    def fail() -> None:
        gate()
        raise TransientError("mongodb_unreachable", "no answer")

    site.behave.while_planning = fail
    target = site.insert(command="restore")
    coordinator.tick(site.stop)
    assert gate.reached.wait(20)
    site.behave.while_planning = lambda: None
    cancel = site.insert(command="cancel", target=target)
    site.reach(coordinator, cancel, State.RUNNING)
    gate.open.set()
    assert [State.CANCELED, State.DONE] == ends(site, coordinator, target, cancel)
    assert 0 == runs(site, coordinator)


def test_two_cancels_of_one_command_are_both_done() -> None:
    """Each of them says what is true."""
    site = Site()
    coordinator = site.coordinator()
    site.behave.waits = True
    target = site.insert(command="backup")
    site.reach(coordinator, target, State.RUNNING)
    both = [site.insert(command="cancel", target=target) for _ in range(2)]
    assert [State.CANCELED, *[State.DONE] * 2] == ends(site, coordinator, target, *both)
    late = site.insert(command="cancel", target=target)
    assert [State.REJECTED] == ends(site, coordinator, late)
    assert "nothing_to_cancel" == site.error(late)


def test_a_cancel_that_has_been_taken_is_not_cancelled(gate: Gate) -> None:
    """It comes to its own end, and the cancel of it says so."""
    site = Site()
    coordinator = site.coordinator()
    target = plans(site, coordinator, gate)
    first = site.insert(command="cancel", target=target)
    site.reach(coordinator, first, State.RUNNING)
    second = site.insert(command="cancel", target=first)
    site.reach(coordinator, second, State.ACCEPTED)
    gate.open.set()
    assert [State.CANCELED, State.DONE] == ends(site, coordinator, target, first)
    assert [State.REJECTED] == ends(site, coordinator, second)


def test_a_cancel_that_waits_is_cancelled_and_its_target_goes_on() -> None:
    """Both come between two looks: what the first one was aimed at does not feel it."""
    site = Site()
    coordinator = site.coordinator()
    site.behave.waits = True
    target = site.insert(command="backup")
    site.reach(coordinator, target, State.RUNNING)
    first = site.insert(command="cancel", target=target)
    second = site.insert(command="cancel", target=first)
    assert [State.CANCELED, State.DONE] == ends(site, coordinator, first, second)
    site.behave.waits = False
    assert [State.DONE] == ends(site, coordinator, target)


def test_a_cancel_of_itself_is_rejected() -> None:
    """It would wait for its own end."""
    site = Site()
    cancel = site.insert(_id="me", command="cancel", target="me")
    assert [State.REJECTED] == ends(site, site.coordinator(), cancel)
    assert "nothing_to_cancel" == site.error(cancel)


def test_cancels_of_each_other_come_to_an_end() -> None:
    """Whichever is taken first wins."""
    site = Site()
    names = ["a", "b", "c"]
    for name, target in zip(names, [*names[1:], names[0]], strict=True):
        site.insert(_id=name, command="cancel", target=target)
    found = ends(site, site.coordinator(), *names)
    assert [State.DONE, State.CANCELED, State.FAILED] == found


def test_a_cancel_of_what_has_just_ended_says_so() -> None:
    """The work ended between two looks: whoever asked learns that it was done."""
    site = Site()
    coordinator = site.coordinator()
    site.behave.waits = True
    target = site.insert(command="backup")
    site.reach(coordinator, target, State.RUNNING)
    site.behave.waits = False
    eventually(lambda: site.state(target) is State.DONE)
    cancel = site.insert(command="cancel", target=target)
    assert [State.REJECTED] == ends(site, coordinator, cancel)
    assert "nothing_to_cancel" == site.error(cancel)
