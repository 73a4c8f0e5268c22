"""Whether the primary's disk has room for a restore: a server whose disk is full ends itself."""

from collections.abc import Callable
from typing import Final

from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.core.retry import RetryPolicy, retry

_MIB: Final = 1024 * 1024
_CODE: Final = "disk_too_small"
# The files of dropped collections go with a checkpoint or two, of which there is one a minute.
_FREED: Final = RetryPolicy(limit_s=300.0)

Free = Callable[[], int | None]


def check_room(needed_bytes: int, free_bytes: Free) -> None:
    """Refuse a restore that certainly does not fit beside what exists.

    ``needed_bytes`` are those of its compressed documents, the least that it takes: a server's own
    compression is rarely better, and indexes and the oplog come on top. So one that passes may
    still be too large.

    Raises: PermanentError ``disk_too_small``; TransientError.
    """
    free = free_bytes()
    if free is None or needed_bytes <= free:
        return
    raise PermanentError(
        "disk_too_small",
        f"the restore takes more than {needed_bytes // _MIB} MiB beside what exists, and the"
        f" primary's disk has {free // _MIB} MiB free",
        hint="make room on the disks of all nodes, or restore fewer namespaces; the files of"
        " collections that were dropped go some minutes later",
    )


def await_room(
    needed_bytes: int, free_bytes: Free, stop: Stop, policy: RetryPolicy = _FREED
) -> None:
    """Wait, for five minutes at most, until what was just dropped has given its room back.

    Raises: as ``check_room``; Stopped.
    """

    def look() -> None:
        try:
            check_room(needed_bytes, free_bytes)
        except PermanentError as error:
            raise TransientError(error.code, error.message, hint=error.hint) from error

    try:
        retry(look, policy=policy, stop=stop)
    except TransientError as error:
        if error.code != _CODE:
            raise
        check_room(needed_bytes, free_bytes)
