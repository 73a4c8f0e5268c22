"""How memory that was freed is kept and found: what an agent holds, and its speed, depend on it."""

import ctypes
import gc
import resource
from typing import Final

from agent.core.flow import Stop

# Source: mallopt(3). The numbers are those of malloc.h.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8

_MIB: Final = 1024 * 1024
# A backup or a restore frees and fills about 50 MiB in this time.
_GIVE_BACK_EVERY_S: Final = 2.0
# New objects between two looks for cycles. What an agent makes by the million has none; what has,
# such as an error with its traceback, is a few hundred objects.
_COLLECT_EVERY: Final = 20_000


def leave_no_core() -> None:
    """Let no core dump be written of this process, whose memory holds passwords and keys."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def hold_little() -> None:
    """Make glibc give large blocks back at once, and share the rest among all threads.

    By default every thread gets an arena of its own, each of which keeps up to 64 MiB after the
    first large block was freed: with four workers that is more than all they need. Batches of
    1 MiB are still served from kept memory, since fresh pages cost more than what fills them.
    To be called before threads are started; does nothing where there is no glibc. Idempotent.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_ARENA_MAX, 2)
    mallopt(_MMAP_THRESHOLD, 4 * _MIB)
    mallopt(_TRIM_THRESHOLD, 16 * _MIB)


def give_back(stop: Stop) -> None:
    """Give free pages back to the system every few seconds, until ``stop``.

    glibc by itself does so only at the end of its heaps: between what lives on, an agent would
    hold for good some 60 MiB that a backup or a restore once needed. Does nothing without glibc.
    """
    # Source: malloc_trim(3).
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while not stop.wait(_GIVE_BACK_EVERY_S):
        if trim is not None:
            trim(0)


def collect_seldom() -> None:
    """Look for cycles of dead objects seldom, and never among what is there already.

    By default CPython looks after each 700 new objects, and at all objects of the process after
    some ten thousands: a third of the time of a replay went there. To be called when everything
    is loaded. Idempotent.
    """
    gc.collect()
    # Source: the documentation of module gc.
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 10, 10)
