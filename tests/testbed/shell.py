"""The real mongosh, as an operator's terminal."""

import json
import os
import subprocess
from collections.abc import Sequence
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


def _keep_to_itself(home: Path) -> None:
    """Give mongosh a home without telemetry, update checks or logs."""
    folder = home / ".mongodb" / "mongosh"
    folder.mkdir(parents=True)
    settings = {"enableTelemetry": False, "disableLogging": True, "updateURL": ""}
    (folder / "config").write_text(json.dumps(settings))
