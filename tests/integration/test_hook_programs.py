"""Programs of an operator's, run for real: how they end, and how they are ended."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.core.clock import SystemClock
from agent.core.errors import Stopped
from agent.core.flow import Stop, WorkerGroup
from agent.outside.program import Programs
from agent.ports.outside import Ran
from tests.testbed.waiting import eventually

Script = Callable[[str], Path]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """What makes a shell script of some lines."""

    def make(lines: str) -> Path:
        path = tmp_path / "hook"
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
        return path

    return make


def run(
    *arguments: str | Path, limit_s: float = 20.0, stop: Stop | None = None, **told: str
) -> Ran:
    """Run a program with what it is told."""
    base = {"PATH": os.defpath}
    programs = Programs(base, SystemClock())
    return programs.run(
        [str(each) for each in arguments], told, limit_s=limit_s, stop=stop or Stop()
    )


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_gets_its_arguments_and_what_it_is_told(script: Script) -> None:
    """As they are, without a shell; and nothing else of the agent's environment."""
    os_only = script('echo "$1 $2 $BACKSTAY_EVENT"; env | cut -d= -f1 | sort | tr "\\n" " "')
    ran = run(os_only, "$HOME", "a b", BACKSTAY_EVENT="after_backup")
    assert ran.fault is None
    first, names = ran.output.split("\n")
    assert "$HOME a b after_backup" == first
    assert set(names.split()) <= {"BACKSTAY_EVENT", "PATH", "PWD", "OLDPWD", "SHLVL", "_"}


def test_a_status_other_than_zero_is_a_fault(script: Script) -> None:
    """Both of its outputs are kept, in their order."""
    ran = run(script("echo one; echo two >&2; exit 3"))
    assert Ran(fault="ended with status 3", output="one\ntwo") == ran


def test_a_program_that_is_killed_by_others_is_a_fault(script: Script) -> None:
    """With the number of the signal."""
    assert f"was ended by signal {signal.SIGSEGV:d}" == run(script("kill -SEGV $$")).fault


@pytest.mark.parametrize("mode", [None, 0o644])
def test_a_program_that_cannot_be_started_is_a_fault(tmp_path: Path, mode: int | None) -> None:
    """It is missing, or may not be run."""
    path = tmp_path / "hook"
    if mode is not None:
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
    fault = run(path).fault
    assert fault is not None
    assert fault.startswith("cannot be started: ")


def test_a_program_that_hangs_is_killed_with_all_that_it_started(
    script: Script, tmp_path: Path
) -> None:
    """Also what does not want to end; what it printed until then is kept."""
    hangs = script(
        f"trap '' TERM; echo before; sleep 600 & echo $! > {tmp_path}/child; echo $$ >"
        f" {tmp_path}/own; while :; do sleep 600; done"
    )
    ran = run(hangs, limit_s=0.5)
    assert Ran(fault="did not end within 0.5 s and was killed", output="before") == ran
    for name in ("own", "child"):
        pid = int((tmp_path / name).read_text())
        eventually(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]


def test_of_much_output_the_end_is_kept(script: Script) -> None:
    """A program never waits for its output to be read, and memory is bounded."""
    ran = run(script("head -c 20000000 /dev/zero | tr '\\0' x; echo the end"))
    assert ran.fault is None
    assert ran.output.endswith("xthe end")
    assert len(ran.output) <= 4096


def test_output_that_is_no_text_is_made_one(script: Script) -> None:
    """What goes into a log and the status cannot steer a terminal."""
    ran = run(script("printf 'a\\033[31mb\\377c'"))
    assert "a [31mb\N{REPLACEMENT CHARACTER}c" == ran.output


def test_what_goes_on_in_the_background_is_not_waited_for(script: Script, tmp_path: Path) -> None:
    """A hook may start a long job of its own, which keeps the output open."""
    ran = run(script(f"sleep 600 & echo $! > {tmp_path}/child; echo begun"))
    assert Ran(fault=None, output="begun") == ran
    child = int((tmp_path / "child").read_text())
    assert is_alive(child)
    os.kill(child, signal.SIGKILL)


def test_a_program_ends_with_the_agent(script: Script, tmp_path: Path) -> None:
    """Nobody waits for its time to be over."""
    path = script(f"echo $$ > {tmp_path}/own; exec sleep 600")
    stop = Stop()
    errors: list[str] = []

    def work() -> None:
        try:
            run(path, limit_s=600, stop=stop)
        except Stopped as error:
            errors.append(error.message)

    with WorkerGroup("test", Stop()) as group:
        group.start(work, "hook")
        eventually(lambda: (tmp_path / "own").exists() and (tmp_path / "own").read_text())
        stop.set("the agent stops")
    assert ["the agent stops"] == errors
    assert not is_alive(int((tmp_path / "own").read_text()))


def test_nothing_is_started_once_the_agent_stops(script: Script, tmp_path: Path) -> None:
    """A hook that is killed at once does more harm than good."""
    stop = Stop()
    stop.set()
    with pytest.raises(Stopped):
        run(script(f"touch {tmp_path}/ran"), stop=stop)
    assert not (tmp_path / "ran").exists()
