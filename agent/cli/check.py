"""``backstay check``: what works, what does not, and how to mend it."""

from collections.abc import Mapping
from pathlib import Path

import click

from agent.cli.console import Document, Program
from agent.cli.exits import Exit
from agent.cli.findings import show_findings
from agent.cli.follow import any_lives, submit
from agent.cli.options import verb, wait_option
from agent.cli.screen import Screen
from agent.cli.session import Session, guarded
from agent.core.errors import TransientError
from agent.settings import Settings


@click.command(short_help="Test storages, credentials and privileges.")
@click.option(
    "--local", is_flag=True, help="Test from here, with this configuration and without agents."
)
@wait_option
@verb
@click.pass_context
def check(
    context: click.Context, *, config: Path | None, is_json: bool, local: bool, wait: bool
) -> None:
    """Let every agent test its storages, credentials and privileges, and show what they found.

    Where no agent is there, or with --local, the tests run in this process, which writes nothing
    to MongoDB. Each test writes one small object to each storage and removes it again.
    """
    program = context.find_object(Program)
    assert program is not None, "the group sets it"  # noqa: S101 - for the type checker
    screen = Screen(is_json=is_json)

    def work() -> int:
        settings = program.load(config or program.config_path())
        asked = None if local else _ask(program, settings, screen, wait=wait)
        return _test_here(program, settings, screen) if asked is None else asked

    context.exit(guarded(screen, work))


def _ask(program: Program, settings: Settings, screen: Screen, *, wait: bool) -> int | None:
    """Insert the command and follow it; None if nobody would take it."""
    try:
        with program.open_console(settings) as console:
            if any_lives(console):
                at = Session(program=program, settings=settings, console=console, screen=screen)
                return submit(at.terminal(), {"command": "check"}, wait=wait)
    except TransientError as error:
        screen.note(f"{error.message}; so the tests run from here", "yellow")
        return None
    screen.note("no agent is there, so the tests run from here", "yellow")
    return None


def _test_here(program: Program, settings: Settings, screen: Screen) -> int:
    result = program.check_here(settings)
    has_failed = bool(result.get("failed"))
    if screen.is_json:
        screen.document(_document(result, has_failed=has_failed))
    else:
        show_findings(screen, result)
    return Exit.FAILED if has_failed else Exit.DONE


def _document(result: Document, *, has_failed: bool) -> Mapping[str, object]:
    """Return what a command's document would have told."""
    state = "failed" if has_failed else "done"
    return {"command": "check", "local": True, "state": state, "result": result}
