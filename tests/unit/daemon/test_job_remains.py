"""What the agent keeps of a job that has ended: nothing."""

import gc

import pytest

from agent.core.errors import PermanentError
from agent.core.flow import Stop, WorkerGroup
from agent.model.states import State
from tests.unit.daemon.test_job_hooks import Scene


def _stops() -> int:
    gc.collect()
    return sum(type(each) is Stop for each in gc.get_objects())


@pytest.mark.parametrize("state", [State.DONE, State.REJECTED])
def test_no_stop_of_a_job_outlives_it(state: State) -> None:
    """Neither of one that was done, nor of one that was refused."""
    scene = Scene()
    before = _stops()
    if state is State.REJECTED:
        # An error keeps the frames that it passed.
        scene.refusal = PermanentError("bad", "it cannot be done")
    assert state == scene.end(scene.begin())
    scene.refusal = None
    assert before == _stops()


def test_the_outcome_of_a_group_ends_it() -> None:
    """Its first error is returned, and its parent holds it no more."""
    parent = Stop()

    def fail() -> None:
        raise PermanentError("bad", "it cannot be done")

    group = WorkerGroup("one", parent)
    group.start(fail, "only")
    error = group.outcome()
    assert isinstance(error, PermanentError)
    parent.set("the agent stops")
    assert "another worker failed" == group.stop.reason
    sound = WorkerGroup("two", Stop())
    sound.start(lambda: None, "only")
    assert sound.outcome() is None
