"""Threads, pipes and stops."""

import pytest

from agent.core.errors import PermanentError, Stopped
from agent.core.flow import Pipe, Shared, Stop, WorkerGroup


def test_a_stop_reaches_its_children_and_not_its_parent() -> None:
    """Ending a job does not end the agent; ending the agent ends the job."""
    parent = Stop()
    child = parent.child()
    child.set("canceled")
    assert (child.is_set, parent.is_set, child.reason) == (True, False, "canceled")
    other = parent.child()
    parent.set("the agent stops")
    assert (other.is_set, other.reason, child.reason) == (True, "the agent stops", "canceled")
    assert parent.child().is_set


def test_the_first_error_of_a_worker_stops_the_others_and_is_raised() -> None:
    """A group ends as one, with the error that ended it."""
    stop = Stop()

    def fail() -> None:
        raise PermanentError("broken", "broken")

    def wait() -> None:
        while not group.stop.wait(10):
            pass
        group.stop.check()

    group = WorkerGroup("test", stop)
    group.start(wait, "waits")
    group.start(fail, "fails")
    with pytest.raises(PermanentError):
        group.join()
    assert not stop.is_set


def test_a_body_that_was_stopped_by_a_worker_shows_the_workers_error() -> None:
    """The cause is raised, not the stop that followed from it."""
    stop = Stop()

    def fail() -> None:
        raise PermanentError("broken", "broken")

    def produce() -> None:
        with WorkerGroup("test", stop) as group:
            pipe: Pipe[int] = Pipe(1, group.stop)
            group.start(fail, "fails")
            for number in range(100):
                pipe.put(number)

    with pytest.raises(PermanentError):
        produce()


def test_every_value_of_a_pipe_reaches_one_consumer_and_all_see_the_end() -> None:
    """A closed pipe ends each of its consumers, and nothing is lost or doubled."""
    stop = Stop()
    seen: Shared[tuple[int, ...]] = Shared(())
    with WorkerGroup("test", stop) as group:
        pipe: Pipe[int] = Pipe(2, group.stop)

        def work() -> None:
            for value in pipe:
                seen.update(lambda old, value=value: (*old, value))  # type: ignore[misc]

        for number in range(3):
            group.start(work, str(number))
        for value in range(50):
            pipe.put(value)
        pipe.close()
    assert sorted(seen.get()) == list(range(50))


def test_a_full_pipe_ends_with_its_stop() -> None:
    """A producer whose consumers are gone does not wait for ever."""
    stop = Stop()
    pipe: Pipe[int] = Pipe(1, stop)
    pipe.put(1)
    stop.set()
    with pytest.raises(Stopped):
        pipe.put(2)
