"""The systemd unit, as systemd's own tools judge it."""

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "backstay.service"
_PROGRAM = "/opt/backstay/current/bin/backstay"
_HIGHEST_EXPOSURE = 2.0
# prctl: memory that was made writable can never become executable; Linux 6.3 and later.
_PR_SET_MDWE = 65

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here"
)


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """A copy of the unit whose program exists."""
    copy = tmp_path / "backstay.service"
    program = Path(sys.executable).with_name("backstay")
    text = _UNIT.read_text()
    assert text.count(_PROGRAM) == 1
    copy.write_text(text.replace(_PROGRAM, str(program)))
    return copy


def _analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_unit_is_correct(unit: Path) -> None:
    """`systemd-analyze verify` has nothing to say about it."""
    done = _analyze("verify", "--man=no", unit)
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (0, []) == (done.returncode, complaints)


def test_verify_would_find_a_mistake(unit: Path) -> None:
    """A misspelt setting is noticed, so the silence above means something."""
    unit.write_text(unit.read_text().replace("PrivateTmp=", "PrivateTemp="))
    assert "PrivateTemp" in _analyze("verify", "--man=no", unit).stderr


def test_exposure_is_low(unit: Path) -> None:
    """`systemd-analyze security` puts it under 2 of 10."""
    done = _analyze("security", "--offline=yes", "--no-pager", "--threshold=20", unit)
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) < _HIGHEST_EXPOSURE
    assert 0 == done.returncode


def test_the_users_of_both_files_agree() -> None:
    """Sysusers makes the very user that the unit runs as."""
    (user,) = re.findall(r"^User=(\S+)$", _UNIT.read_text(), re.MULTILINE)
    assert re.search(rf"^u {user} ", _UNIT.with_suffix(".sysusers").read_text(), re.MULTILINE)


def test_the_program_runs_without_writable_code() -> None:
    """MemoryDenyWriteExecute keeps nothing that the agent imports from loading."""
    libc = ctypes.CDLL(None, use_errno=True)

    def forbid() -> None:
        if libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")

    command = [str(Path(sys.executable).with_name("backstay")), "--version"]
    try:
        done = subprocess.run(
            command,
            preexec_fn=forbid,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    except subprocess.SubprocessError:
        pytest.skip("the kernel is older than 6.3")
    assert 0 == done.returncode, done.stderr
