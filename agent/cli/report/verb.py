"""The verb that writes the page."""

from pathlib import Path

import click

from agent import __version__
from agent.cli.exits import Exit
from agent.cli.look import look
from agent.cli.options import verb
from agent.cli.report.page import page_of
from agent.cli.report.render import html
from agent.cli.report.write import write
from agent.cli.session import Session, session
from agent.cli.verdict import is_safe, sentence

_STANDARD_OUTPUT = Path("-")


@click.command
@click.option(
    "--html",
    "file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Write the page to FILE, in place of one that is there; - is standard output.",
)
@verb
@session
def report(at: Session, *, file: Path) -> int:
    """Write one page about safety, backups, gaps, sizes and agents, for a browser."""
    picture = look(at.console)
    text = html(page_of(picture, __version__))
    if file == _STANDARD_OUTPUT:
        click.echo(text, nl=False)
        return Exit.DONE
    write(file, text)
    if at.screen.is_json:
        told = {"file": str(file), "safe": is_safe(picture), "sentence": sentence(picture)}
        at.screen.document(told)
    else:
        at.screen.say(f"written: {file}")
    return Exit.DONE
