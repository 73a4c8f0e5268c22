"""Bars of what runs: phase, part, rate and what is left, on terminals of any width."""

from io import StringIO

import pytest
from rich.console import Console as Rich

from agent.cli.progress import displayed
from agent.cli.screen import Screen
from agent.cli.sight import sight_of
from tests.unit.cli.terminal import SteppingClock


def shown(command: str, phase: str, *, width: int) -> str:
    """Return the last line that a bar was drawn as, of a job that is two thirds done."""
    drawn = StringIO()
    err = Rich(file=drawn, force_terminal=True, width=width, height=24, color_system=None)
    with displayed(Screen(is_json=False, err=err), SteppingClock()) as display:
        for done in (1_000_000, 30_000_000_000):
            progress = {
                "phase": phase,
                "done_bytes": done,
                "total_bytes": 45_600_000_000,
                "percent": done / 456_000_000,
                "eta_s": 7_500,
            }
            document = {"_id": 1, "command": command, "state": "running", "progress": progress}
            display.show(sight_of(document))
    return [line for line in drawn.getvalue().splitlines() if command in line][-1]


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize(
    ("command", "phase", "words"),
    [
        ("backup", "reading", "reading"),
        ("restore", "indexing", "building indexes"),
        ("verify", "checking", "checking"),
    ],
)
def test_a_bar_has_rate_and_time_left(command: str, phase: str, words: str, width: int) -> None:
    """Of every job that moves bytes, and with a bar to look at."""
    line = shown(command, phase, width=width)
    assert words in line
    assert "━" in line
    assert " 66 %" in line
    assert "GB/s · 2 h 05 min left" in line


def test_a_wide_terminal_has_the_sizes_too() -> None:
    """What is done, of what there is to do."""
    assert "30.0 GB of 45.6 GB · " in shown("backup", "reading", width=160)
