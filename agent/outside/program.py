"""Programs of the operator's, each in a process group of its own, with a bound on its time."""

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from agent.core.clock import Clock
from agent.core.crash import Point, passing
from agent.core.flow import Stop
from agent.ports.outside import ProgramRunner, Ran

_GLANCE_S: Final = 0.05
# Between being asked to end and being killed; twice that is less than a service manager waits.
_GRACE_S: Final = 2.0
# Of what a program prints, the end is kept.
_TAIL_BYTES: Final = 4096
_PIECE_BYTES: Final = 65536


class Programs:
    """Runs programs without a shell; ``base`` is the environment that all of them get."""

    def __init__(self, base: Mapping[str, str], clock: Clock) -> None:
        self._base = base
        self._clock = clock

    def run(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        limit_s: float,
        stop: Stop,
    ) -> Ran:
        """Run a program to its end, or to that of its time. Raises: Stopped."""
        stop.check()
        try:
            process = subprocess.Popen(  # noqa: S603 - what to run is the operator's configuration
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**self._base, **environment},
                start_new_session=True,
            )
        except OSError as error:
            return Ran(fault=f"cannot be started: {error.strerror}", output="")
        passing(Point.HOOK_STARTED)
        running = _Running(process, self._clock)
        is_over = False
        try:
            is_over = running.wait(limit_s, stop)
        finally:
            running.close(is_over=is_over)
        if not is_over:
            stop.check()
        return Ran(
            fault=_fault(process.returncode, limit_s, is_over=is_over), output=running.output()
        )


class _Running:
    """A process and the end of its output, which is read all along so that it never waits."""

    def __init__(self, process: subprocess.Popen[bytes], clock: Clock) -> None:
        self._process = process
        self._clock = clock
        self._pipe = None if process.stdout is None else process.stdout.fileno()
        if self._pipe is not None:
            os.set_blocking(self._pipe, False)
        self._tail = b""

    def wait(self, limit_s: float, stop: Stop) -> bool:
        """Wait until it ends; False if it does not within ``limit_s``, or before the stop."""
        until = self._clock.monotonic() + limit_s
        while not self._has_ended():
            if stop.is_set or self._clock.monotonic() >= until:
                return False
            self._read_or(stop)
        # What it started in the background may hold the pipe for ever: only what is there counts.
        self._drain()
        return True

    def close(self, *, is_over: bool) -> None:
        """Let go of a program that is over; of another one, end the whole group first."""
        if not is_over:
            self._signal(signal.SIGTERM)
            self.wait(_GRACE_S, Stop())
            self._signal(signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def output(self) -> str:
        """Return the end of what it printed, as text of one line or more."""
        text = self._tail.decode(errors="replace").strip()
        return "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in text)

    def _has_ended(self) -> bool:
        """Whether the program has ended; it is not waited for, so that its id stays its own."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, how) is not None

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _read_or(self, stop: Stop) -> None:
        if self._pipe is None:
            stop.wait(_GLANCE_S)
        elif select.select([self._pipe], [], [], _GLANCE_S)[0]:
            self._drain()

    def _drain(self) -> None:
        while self._pipe is not None:
            try:
                piece = os.read(self._pipe, _PIECE_BYTES)
            except BlockingIOError:
                return
            if not piece:
                self._pipe = None
            self._tail = (self._tail + piece)[-_TAIL_BYTES:]
            if len(piece) < _PIECE_BYTES:
                return


def _fault(status: int, limit_s: float, *, is_over: bool) -> str | None:
    if not is_over:
        return f"did not end within {limit_s:g} s and was killed"
    if status < 0:
        return f"was ended by signal {-status}"
    return f"ended with status {status}" if status else None


def _proves(base: Mapping[str, str], clock: Clock) -> ProgramRunner:
    return Programs(base, clock)
