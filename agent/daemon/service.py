"""Everything that an agent does at the same time, and how it ends."""

from collections.abc import Callable, Mapping
from typing import Final

from agent.core.errors import Stopped
from agent.core.flow import Stop, WorkerGroup
from agent.core.log import Log

# How long the end may take: a service manager kills soon after.
END_S: Final = 9.0
_GLANCE_S: Final = 0.5


def serve(
    duties: Mapping[str, Callable[[Stop], None]],
    stop: Stop,
    log: Log,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Run every duty in a thread of its own until ``stop``, or until one of them fails.

    ``stopping`` is called when the end begins.

    Raises: the error of the duty that failed.
    """
    group = WorkerGroup("agent", stop)
    for name, duty in duties.items():
        group.start(lambda duty=duty: _until_stopped(duty, group.stop), name)  # type: ignore[misc]
    while not group.stop.wait(_GLANCE_S):
        continue
    stopping()
    log.info("stopping", reason=group.stop.reason)
    if not group.join(END_S):
        log.warning("some work did not end in time", threads=group.alive_count)


def _until_stopped(duty: Callable[[Stop], None], stop: Stop) -> None:
    try:
        duty(stop)
    except Stopped:
        return
