"""Commands, options and states: the documents have all of them, and the examples are right."""

import pytest

from agent.model.commands import AGENT_FIELDS, REQUESTS, parse
from agent.model.states import State
from tests.docs import documents
from tests.docs.documents import DESIGN, OPERATIONS

TITLES = [f"`{name}`" for name in REQUESTS]


def options_of(command: str) -> set[str]:
    """Return the options of a command, as people write them."""
    fields = REQUESTS[command].model_fields
    return {info.alias or name for name, info in fields.items()} - {"command"}


@pytest.mark.parametrize("command", REQUESTS)
def test_every_option_is_in_the_design(command: str) -> None:
    """The table under the command in docs/design.md has its options and no others."""
    text = documents.section(DESIGN, f"`{command}`")
    assert options_of(command) == {documents.named(row[0]) for row in documents.rows(text)}


@pytest.mark.parametrize("command", REQUESTS)
def test_required_options_are_marked(command: str) -> None:
    """Whoever reads the table knows what may be left out."""
    fields = REQUESTS[command].model_fields
    needed = {info.alias or name for name, info in fields.items() if info.is_required()}
    text = documents.section(DESIGN, f"`{command}`")
    marked = {documents.named(row[0]) for row in documents.rows(text) if "required" in row[1]}
    assert needed == marked


def test_the_design_has_no_other_command() -> None:
    """A command that is gone is gone from the document too."""
    text = documents.section(DESIGN, "Commands")
    found = [line[4:] for line in text.splitlines() if line.startswith("### `")]
    assert found == TITLES


def test_every_state_is_in_both_documents() -> None:
    """With what it means to the one who reads it."""
    inside = {
        documents.named(row[0]) for row in documents.rows(documents.section(DESIGN, "States"))
    }
    text = documents.section(OPERATIONS, "Commands from mongosh")
    outside = {documents.named(row[0]) for row in documents.rows(text)} - {""}
    assert ({str(state) for state in State}, inside) == (inside, outside)


def test_every_field_of_the_agents_is_in_the_design() -> None:
    """So that nobody takes one for an option."""
    text = documents.section(DESIGN, "States")
    assert set(AGENT_FIELDS) <= set(documents.all_named(text))


@pytest.mark.parametrize("name", ["README.md", OPERATIONS])
def test_every_example_is_a_command(name: str) -> None:
    """What is pasted from a document into mongosh works."""
    examples = documents.inserted(documents.read(name))
    assert examples
    for example in examples:
        assert example["command"] == parse(example).command


def test_every_command_and_option_has_an_example() -> None:
    """Somewhere in docs/operations.md, in a block of js with one insertOne to a line."""
    examples = documents.inserted(documents.read(OPERATIONS))
    shown = {command: set[str]() for command in REQUESTS}
    for example in examples:
        shown[example["command"]] |= set(example) - {"command"}
    # The storage's label means the same in every command, and one example is enough.
    common = {"storage"}
    left = {command: options_of(command) - shown[command] - common for command in REQUESTS}
    assert not any(left.values()), left
    assert set(REQUESTS) == {example["command"] for example in examples}
