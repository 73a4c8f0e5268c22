"""The real mongosh, as an operator's terminal."""

import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.testbed import programs
from tests.testbed.process import scratch_directory


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellResult:
    """What a run of mongosh left behind."""

    stdout: str
    stderr: str
    exit_status: int


def run_mongosh(uri: str, script: str | Path, *, timeout_s: float = 60.0) -> ShellResult:
    """Run a script (its text, or its path) against a server and wait for its end.

    Raises: subprocess.TimeoutExpired, ProgramMissingError.
    """
    mongosh = programs.mongosh()
    home = scratch_directory("mongosh")
    _keep_to_itself(home)
    if isinstance(script, Path):
        path = script
    else:
        path = home / "script.js"
        path.write_text(script)
    done = subprocess.run(
        [mongosh.path, uri, "--quiet", "--norc", "--file", path],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **mongosh.environment, "HOME": str(home)},
    )
    return ShellResult(stdout=done.stdout, stderr=done.stderr, exit_status=done.returncode)


def type_into_mongosh(uri: str, lines: Sequence[str], *, timeout_s: float = 90.0) -> list[str]:
    """Type lines at the prompt of one mongosh, and return what it answers to each.

    Only at the prompt does mongosh show why a document was refused.

    Raises: subprocess.TimeoutExpired, ProgramMissingError, AssertionError.
    """
    mongosh = programs.mongosh()
    home = scratch_directory("mongosh")
    _keep_to_itself(home)
    mark = "-- next --"
    done = subprocess.run(
        [mongosh.path, uri, "--quiet", "--norc"],
        input="".join(f"{line}\nprint('{mark}')\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **mongosh.environment, "HOME": str(home)},
    )
    answers = done.stdout.split(mark)
    assert len(answers) == len(lines) + 1, done.stdout + done.stderr
    return answers[:-1]


def call_mongosh(uri: str, *arguments: str, timeout_s: float = 150.0) -> ShellResult:
    """Run mongosh with arguments of its own, such as `--eval`, and wait for its end.

    Raises: subprocess.TimeoutExpired, ProgramMissingError.
    """
    mongosh = programs.mongosh()
    home = scratch_directory("mongosh")
    _keep_to_itself(home)
    done = subprocess.run(
        [mongosh.path, uri, "--quiet", "--norc", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **mongosh.environment, "HOME": str(home)},
    )
    return ShellResult(stdout=done.stdout, stderr=done.stderr, exit_status=done.returncode)


class TerminalShell:
    """A mongosh at a terminal of its own: what is typed, and all that was shown.

    ``startup`` is its user's `.mongoshrc.js`.
    """

    def __init__(self, uri: str, startup: str) -> None:
        mongosh = programs.mongosh()
        home = scratch_directory("mongosh")
        _keep_to_itself(home)
        (home / ".mongoshrc.js").write_text(startup)
        self._terminal, end = os.openpty()
        os.set_blocking(self._terminal, False)
        self._shown = b""
        # Without a terminal that is its own, it would not be told of Ctrl-C.
        self._process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", mongosh.path, uri, "--quiet"],
            stdin=end,
            stdout=end,
            stderr=end,
            env={
                **os.environ,
                **mongosh.environment,
                "HOME": str(home),
                "TERM": "dumb",
                "COLUMNS": "120",
            },
        )
        os.close(end)

    def type(self, text: str) -> None:
        """Type some keys; a line ends with a carriage return."""
        os.write(self._terminal, text.encode())

    def shown(self) -> str:
        """Return all that was shown so far."""
        with suppress(BlockingIOError, OSError):
            while chunk := os.read(self._terminal, 65536):
                self._shown += chunk
        return self._shown.decode(errors="replace")

    def close(self) -> None:
        """End it, if it has not ended. Idempotent."""
        if self._process.returncode is None:
            with suppress(OSError):
                os.write(self._terminal, b"\x03\x04")
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            os.close(self._terminal)


def _keep_to_itself(home: Path) -> None:
    """Give mongosh a home without telemetry, update checks or logs."""
    folder = home / ".mongodb" / "mongosh"
    folder.mkdir(parents=True)
    settings = {"enableTelemetry": False, "disableLogging": True, "updateURL": ""}
    (folder / "config").write_text(json.dumps(settings))
