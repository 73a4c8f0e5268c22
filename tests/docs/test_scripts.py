"""Shell scripts, as ShellCheck judges them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.sources import ROOT

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
SCRIPTS = [
    ROOT / ".ci/run",
    *sorted(ROOT.glob("deploy/**/*.sh")),
    *sorted(ROOT.glob("tests/**/*.sh")),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    """Quoting and word splitting are where scripts that root runs go wrong."""
    done = subprocess.run([SHELLCHECK, script], capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)
