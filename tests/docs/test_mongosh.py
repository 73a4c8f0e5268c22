"""The helper for mongosh, as the documents show it."""

import re
from typing import Final

import pytest

from agent.model.commands import REQUESTS
from agent.model.schedules import Retention, Schedule
from agent.model.states import END_STATES
from tests.docs import documents
from tests.docs.documents import OPERATIONS

HELPER: Final = "deploy/mongosh/backstay.js"
README: Final = "deploy/mongosh/README.md"
_CALL: Final = re.compile(r"backstay\.(\w+)\(([^\n]*)\)")
_OPTION: Final = re.compile(r"[{,]\s*(\w+):")


def known() -> set[str]:
    """Return the functions that the helper's own tables name."""
    tables = re.findall(
        r"const (?:COMMANDS|OTHERS) = \{(.*?)^  \};",
        documents.read(HELPER),
        re.MULTILINE | re.DOTALL,
    )
    return {
        name for table in tables for name in re.findall(r"^    (\w+): [{\[]", table, re.MULTILINE)
    }


def test_every_command_has_a_function() -> None:
    """A new command is told in the helper's list of commands, too."""
    assert set(REQUESTS) <= known()


def test_it_knows_when_a_command_has_ended() -> None:
    """The states after which nothing more happens are the agents'."""
    (ends,) = re.findall(r"ENDS = new Set\(\[(.*?)\]\)", documents.read(HELPER))
    assert {str(state) for state in END_STATES} == set(re.findall(r"\w+", ends))


@pytest.mark.parametrize("name", [README, OPERATIONS, HELPER])
def test_examples_are_calls_that_exist(name: str) -> None:
    """With options that some command, or a schedule, has."""
    options = {
        info.alias or key
        for model in (*REQUESTS.values(), Schedule, Retention)
        for key, info in model.model_fields.items()
    }
    text = documents.read(name)
    examples = text if name == HELPER else "\n".join(documents.fenced(text, "js"))
    calls = [each for each in _CALL.findall(examples) if "$" not in each[0]]
    assert calls
    for function, arguments in calls:
        assert function in known(), function
        if name != HELPER:
            assert set(_OPTION.findall(arguments)) <= options, arguments
