"""Verbs, their options and exit statuses: docs/operations.md has all of them."""

import click

from agent.cli.app import backstay
from agent.cli.exits import Exit
from tests.docs import documents
from tests.docs.documents import OPERATIONS

SECTION = "The command line"


def documented() -> dict[str, set[str]]:
    """Return the verbs of the table with the options beside them."""
    found = {}
    for row in documents.rows(documents.section(OPERATIONS, SECTION)):
        words = documents.named(row[0]).split()
        if words[:1] == ["backstay"]:
            found[words[1]] = set(documents.all_named(row[1]))
    return found


def options_of(command: click.Command) -> set[str]:
    """Return the long names of a verb's options."""
    options = [each for each in command.params if isinstance(each, click.Option)]
    names = (name for each in options for name in (*each.opts, *each.secondary_opts))
    return {name for name in names if name.startswith("--")}


def test_every_verb_has_a_row_with_its_options() -> None:
    """No more and no fewer."""
    actual = {name: options_of(command) for name, command in backstay.commands.items()}
    assert actual == documented()


def test_every_exit_status_is_explained() -> None:
    """Scripts decide by it."""
    rows = documents.rows(documents.section(OPERATIONS, SECTION))
    numbers = {int(row[0]) for row in rows if row[0].isdecimal()}
    assert {int(status) for status in Exit} == numbers
