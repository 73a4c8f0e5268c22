"""How a followed command shows on the way: a bar at a terminal, plain lines elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from agent.cli import words
from agent.cli.screen import Screen
from agent.cli.sight import Advance, Sight
from agent.core.clock import Clock
from agent.model.states import State

# Columns of a terminal that has room for sizes beside the bar.
_ROOMY: Final = 110
# Seconds between lines where there is no terminal.
_LINE_S: Final = 10.0
_PHASES: Final = {
    "planning": "planning",
    "reading": "reading",
    "oplog": "storing oplog",
    "committing": "committing",
    "loading": "loading",
    "replaying": "replaying",
    "indexing": "building indexes",
    "checking": "checking",
    "switching": "switching",
    "cleaning": "cleaning up",
}
_WIDEST: Final = max(map(len, _PHASES.values()))


class Display(Protocol):
    """Shows each sight of a command that is worth showing."""

    def show(self, sight: Sight) -> None:
        """Show how far the command is now."""
        ...


class Meter:
    """Measures how fast the bytes of a phase go by, as seen from here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._phase = ""
        self._since = 0.0
        self._first_bytes = 0

    def rate(self, advance: Advance) -> float:
        """Return bytes per second since the phase was first seen; 0 while unknown."""
        now = self._clock.monotonic()
        if advance.phase != self._phase or advance.done_bytes < self._first_bytes:
            self._phase, self._since = advance.phase, now
            self._first_bytes = advance.done_bytes
        passed_s = now - self._since
        return (advance.done_bytes - self._first_bytes) / passed_s if passed_s > 0 else 0.0


def phase_words(sight: Sight) -> str:
    """Say what a command is doing now."""
    if sight.state is None:
        return "waiting"
    if sight.state is State.ACCEPTED:
        return "accepted"
    if sight.state is State.RUNNING:
        phase = sight.advance.phase if sight.advance else "planning"
        return _PHASES.get(phase, phase)
    return str(sight.state)


def figures(advance: Advance, rate: float, *, is_brief: bool = False) -> str:
    """Say how much is done, unless it must be brief; how fast, and how long it should take."""
    parts = []
    if advance.total_bytes and not is_brief:
        parts.append(f"{words.size(advance.done_bytes)} of {words.size(advance.total_bytes)}")
    if rate >= 1:
        parts.append(f"{words.size(rate)}/s")
    if advance.eta_s is not None and advance.percent < 100:  # noqa: PLR2004 - all of it
        parts.append(f"{words.duration(advance.eta_s)} left")
    return " · ".join(parts)


class Bar:
    """One progress bar at a terminal."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self._progress = progress
        self._meter = Meter(clock)
        self._task: TaskID | None = None

    @property
    def _is_brief(self) -> bool:
        """Whether there is no room for everything beside the bar."""
        return self._progress.console.width < _ROOMY

    def show(self, sight: Sight) -> None:
        """Move the bar."""
        if self._task is None:
            self._task = self._progress.add_task(
                sight.command, total=None, phase="", percent="", figures=""
            )
        advance = sight.advance if sight.state is State.RUNNING else None
        has_measure = advance is not None and advance.total_bytes > 0
        self._progress.update(
            self._task,
            total=100.0 if has_measure else None,
            completed=advance.percent if advance and has_measure else 0.0,
            phase=phase_words(sight).ljust(_WIDEST),
            percent=f"{advance.percent:3.0f} %" if advance and has_measure else "     ",
            figures=self._figures(advance) if advance else "",
        )

    def _figures(self, advance: Advance) -> str:
        return figures(advance, self._meter.rate(advance), is_brief=self._is_brief)


class Lines:
    """A line for each new phase, and one now and then while a phase lasts."""

    def __init__(self, screen: Screen, clock: Clock) -> None:
        self._screen = screen
        self._clock = clock
        self._meter = Meter(clock)
        self._phase = ""
        self._said_at = 0.0

    def show(self, sight: Sight) -> None:
        """Print a line if there is something new to tell."""
        if sight.is_over:
            return
        phase = phase_words(sight)
        now = self._clock.monotonic()
        advance = sight.advance if sight.state is State.RUNNING else None
        rate = self._meter.rate(advance) if advance else 0.0
        if phase == self._phase and now - self._said_at < _LINE_S:
            return
        told = figures(advance, rate) if advance else ""
        percent = f" {advance.percent:.0f} %" if advance and advance.total_bytes else ""
        self._screen.note(f"{sight.command}: {phase}{percent}{f' ({told})' if told else ''}")
        self._phase, self._said_at = phase, now


class Nothing:
    """Shows nothing, for ``--json``."""

    def show(self, sight: Sight) -> None:
        """Keep quiet."""


@contextmanager
def displayed(screen: Screen, clock: Clock) -> Iterator[Display]:
    """Give the display that fits where standard error goes; the bar is gone afterwards."""
    if screen.is_json:
        yield Nothing()
    elif screen.err.is_terminal:
        layout = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[phase]}", style="cyan"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[percent]}"),
            TextColumn("{task.fields[figures]}", style="dim"),
            console=screen.err,
            transient=True,
        )
        with layout:
            yield Bar(layout, clock)
    else:
        yield Lines(screen, clock)
