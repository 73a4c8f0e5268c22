"""The life of a command."""

import pytest

from agent.model.states import END_STATES, LEGAL_MOVES, State, may_move


def test_every_state_can_be_reached_from_a_new_document() -> None:
    """No state is for show."""
    reached: set[State | None] = {None}
    while new := {then for old in reached for then in LEGAL_MOVES[old]} - reached:
        reached |= new
    assert {None, *State} == reached


def test_every_state_has_its_moves() -> None:
    """The table leaves no state out."""
    assert {None, *State} == set(LEGAL_MOVES)


@pytest.mark.parametrize("state", sorted(END_STATES))
def test_nothing_follows_an_end(state: State) -> None:
    """A result that was told is never taken back."""
    assert not any(may_move(state, new) for new in State)


def test_the_ends_are_those_of_the_contract() -> None:
    """Each of them is what `follow` waits for."""
    expected = {State.DONE, State.FAILED, State.CANCELED, State.REJECTED, State.EXPIRED}
    assert expected == END_STATES


def test_no_command_runs_that_was_not_accepted() -> None:
    """Taking a command is a move of its own."""
    assert may_move(None, State.ACCEPTED)
    assert may_move(State.ACCEPTED, State.RUNNING)
    assert not may_move(None, State.RUNNING)
    assert not may_move(State.RUNNING, State.ACCEPTED)
