"""Where verbs write: results to standard output, everything on the way to standard error."""

import json
from dataclasses import dataclass, field

import click
from rich.console import Console as Rich
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from agent.cli import words
from agent.model.outcome import Failure

# Files and pipes have no width; tables there are laid out for a wide terminal.
_WIDE = 160


def _rich(*, stderr: bool) -> Rich:
    plain = Rich(stderr=stderr, highlight=False)
    return plain if plain.is_terminal else Rich(stderr=stderr, highlight=False, width=_WIDE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """The two streams of a verb; ``is_json`` keeps everything but one JSON document away."""

    is_json: bool
    out: Rich = field(default_factory=lambda: _rich(stderr=False))
    err: Rich = field(default_factory=lambda: _rich(stderr=True))

    def document(self, value: object) -> None:
        """Print the one JSON document of a verb."""
        click.echo(json.dumps(words.plain(value), indent=2, ensure_ascii=False))

    def note(self, text: str, style: str = "") -> None:
        """Say something on the way; silent with ``--json``."""
        if not self.is_json:
            self.err.print(Text(text, style=style), soft_wrap=True)

    def say(self, text: str | Text, style: str = "") -> None:
        """Print a line of the result."""
        self.out.print(Text(text, style=style) if isinstance(text, str) else text, soft_wrap=True)

    def table(self, table: RenderableType) -> None:
        """Print a table of the result."""
        if self.out.is_terminal:
            self.out.print(table)
            return
        with self.out.capture() as captured:
            self.out.print(table)
        # Cells are padded, which only shows where text is kept.
        for line in captured.get().splitlines():
            click.echo(line.rstrip())

    def part(self, part: RenderableType) -> None:
        """Print a sentence or a table; only a terminal folds sentences."""
        if isinstance(part, Text) and not self.out.is_terminal:
            self.say(part)
        else:
            self.table(part)

    def failure(self, failure: Failure) -> None:
        """Print an error as people read it: the message, then what to do about it."""
        self.err.print(Text.assemble(("error: ", "bold red"), failure.message), soft_wrap=True)
        if failure.hint:
            self.err.print(Text.assemble(("hint: ", "bold"), failure.hint), soft_wrap=True)


def facts(rows: dict[str, str | Text]) -> Table:
    """Return a small table of names and values; rows without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        if value:
            table.add_row(f"  {name}", value if isinstance(value, Text) else Text(value))
    return table


def columns(*names: str, right: tuple[str, ...] = ()) -> Table:
    """Return an empty table with these columns; those in ``right`` hold numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return table
