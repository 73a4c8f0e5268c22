"""What surrounds every verb: settings, the console, errors, the exit status."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from agent.cli.console import Console, Program
from agent.cli.exits import Exit
from agent.cli.follow import Terminal
from agent.cli.screen import Screen
from agent.core.errors import AgentError, ConfigError
from agent.model.outcome import failure_of
from agent.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A verb at work on an open console."""

    program: Program
    settings: Settings
    console: Console
    screen: Screen

    def terminal(self) -> Terminal:
        """Return what following a command needs."""
        return Terminal(
            console=self.console,
            screen=self.screen,
            clock=self.program.clock,
            look_s=self.program.look_s,
        )


def guarded(screen: Screen, work: Callable[[], int]) -> int:
    """Do a verb's work; tell an error as people or scripts read it, and return the exit status."""
    try:
        return int(work())
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except AgentError as error:
        failure = failure_of(error)
        if screen.is_json:
            told = {"code": failure.code, "message": failure.message, "hint": failure.hint}
            screen.document({"error": told})
        else:
            screen.failure(failure)
        if isinstance(error, ConfigError):
            return Exit.CONFIG
        return Exit.USAGE if error.code == "bad_command" else Exit.ERROR


def session(function: Callable[..., int]) -> Callable[..., None]:
    """Open the console for a verb, which gets a Session first, and exit with what it returns."""

    @click.pass_context
    @functools.wraps(function)
    def opened(
        context: click.Context, /, *, config: Path | None, is_json: bool, **options: Any
    ) -> None:
        program = context.find_object(Program)
        assert program is not None, "the group sets it"  # noqa: S101 - for the type checker
        screen = Screen(is_json=is_json)

        def work() -> int:
            settings = program.load(config or program.config_path())
            with program.open_console(settings) as console:
                at = Session(program=program, settings=settings, console=console, screen=screen)
                return function(at, **options)

        context.exit(guarded(screen, work))

    return opened
