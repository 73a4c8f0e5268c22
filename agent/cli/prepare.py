"""``backstay init``: the control collections, and the script that makes the database user."""

from pathlib import Path

import click

from agent.cli.console import Program
from agent.cli.exits import Exit
from agent.cli.grants import Purpose, script
from agent.cli.options import verb
from agent.cli.screen import Screen
from agent.cli.session import guarded
from agent.settings import ControlSettings


@click.command(short_help="Create the control collections; script for the database user.")
@click.option(
    "--for",
    "purpose",
    type=click.Choice(["backup", "restore"]),
    default="backup",
    show_default=True,
    help="What the user may do: make backups, or also restore them.",
)
@click.option("--user", default="backstay", show_default=True, help="Name of the database user.")
@click.option("--print-only", is_flag=True, help="Only print the script; needs no server.")
@verb
@click.pass_context
def init(
    context: click.Context,
    *,
    config: Path | None,
    is_json: bool,
    purpose: Purpose,
    user: str,
    print_only: bool,
) -> None:
    """Create the control collections and print the mongosh script that makes the database user.

    The script goes to standard output, so that it can be kept: backstay init > user.js
    """
    program = context.find_object(Program)
    assert program is not None, "the group sets it"  # noqa: S101 - for the type checker
    screen = Screen(is_json=is_json)

    def work() -> int:
        if print_only:
            control = _control_name(program, config)
        else:
            control = _prepare(program, config)
            screen.note(f"The control collections are in place in database {control}.")
        made = script(purpose, user=user, control=control)
        if is_json:
            screen.document({"control_database": control, "for": purpose, "script": made})
        else:
            click.echo(made, nl=False)
        return Exit.DONE

    context.exit(guarded(screen, work))


def _control_name(program: Program, config: Path | None) -> str:
    """Return the control database's name; the default if there is no configuration yet."""
    if config is None and not program.config_path().exists():
        return ControlSettings().database
    return program.load(config or program.config_path()).control.database


def _prepare(program: Program, config: Path | None) -> str:
    settings = program.load(config or program.config_path())
    with program.open_console(settings) as console:
        console.prepare()
    return settings.control.database
