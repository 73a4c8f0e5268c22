"""Child processes and their files, which never outlive the process that started them.

A test run can die by SIGKILL or by a timeout, without running any clean-up of its own. So one small
reaper process holds the other end of a pipe: when the pipe closes, for whatever reason, it kills
what is still registered and removes the scratch directory.
"""

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_REAPER = """
import os, shutil, signal, sys
alive = set()
for line in sys.stdin:
    sign, pid = line[0], int(line[1:])
    (alive.add if sign == "+" else alive.discard)(pid)
for pid in alive:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
shutil.rmtree(sys.argv[1], ignore_errors=True)
"""


class _Reaper:
    def __init__(self) -> None:
        self.scratch = Path(tempfile.mkdtemp(prefix="backstay-testbed-"))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _REAPER, str(self.scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def add(self, pid: int) -> None:
        self._tell(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()


@functools.cache
def _reaper() -> _Reaper:
    return _Reaper()


def scratch_directory(prefix: str) -> Path:
    """Make a new directory that goes when this process ends."""
    return Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=_reaper().scratch))


def remove_directory(path: Path) -> None:
    """Remove a directory and all that is in it; a missing one is no error."""
    shutil.rmtree(path, ignore_errors=True)


class Process:
    """One run of a program. To start it again, make another one."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start the command; its output is appended to a file.

        `environment` replaces this process's own where it is given. The child gets a session of
        its own, so that Ctrl-C at the terminal reaches the tests, and they end it in order.
        """
        with output.open("ab") as sink:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                start_new_session=True,
            )
        self.output = output
        _reaper().add(self._popen.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._popen.poll() is None

    def command_line(self) -> str:
        """Return what a process list shows of it; nothing when it has ended."""
        if not self.is_running:
            return ""
        shown = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        return shown.replace(b"\x00", b" ").decode()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """End it by SIGKILL and wait for its end. Idempotent."""
        self._popen.kill()
        self.wait(timeout_s=20)

    def terminate(self, timeout_s: float = 20.0) -> int:
        """End it by SIGTERM and return its exit status.

        Raises: AssertionError, after a SIGKILL, when it did not end within `timeout_s`.
        """
        self._popen.terminate()
        return self.wait(timeout_s=timeout_s)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end and return its exit status.

        Raises: AssertionError, after a SIGKILL, when it did not end within `timeout_s`.
        """
        began = time.monotonic()
        try:
            status = self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            self._popen.kill()
            self._popen.wait()
            waited_s = time.monotonic() - began
            raise AssertionError(
                f"process {self.pid} did not end in {waited_s:.1f} s: {self.tail()}"
            ) from error
        finally:
            if self._popen.returncode is not None:
                _reaper().remove(self.pid)
        return status

    def tail(self, size_bytes: int = 3000) -> str:
        """Return the end of its output, for messages."""
        return self.output.read_bytes()[-size_bytes:].decode(errors="replace")


def inherited_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with some values of its own."""
    return {**os.environ, **extra}
