"""The validator says what the models say."""

from typing import Any

import pytest

from agent.model.commands import AGENT_FIELDS, REQUESTS
from agent.model.schema import commands_validator
from agent.model.states import State


@pytest.fixture
def schema() -> dict[str, Any]:
    """The schema of the commands collection."""
    found = commands_validator()["$jsonSchema"]
    assert isinstance(found, dict)
    return found


def test_nothing_else_may_be_inserted(schema: dict[str, Any]) -> None:
    """A typing mistake in a field's name fails at the insert."""
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["command"]


def test_every_option_and_agent_field_is_known_with_a_description(schema: dict[str, Any]) -> None:
    """Descriptions are what mongosh shows beside a fault."""
    options = {
        info.alias or name
        for request in REQUESTS.values()
        for name, info in request.model_fields.items()
    }
    expected = options | set(AGENT_FIELDS) | {"_id"}
    assert expected == set(schema["properties"])
    for name in expected - {"_id"}:
        assert schema["properties"][name]["description"], name


def test_types_come_from_the_models(schema: dict[str, Any]) -> None:
    """Booleans are bool and nothing else; a time is a date, a Timestamp or one text."""
    properties = schema["properties"]
    assert properties["keep"]["bsonType"] == ["bool"]
    assert properties["target"]["bsonType"] == ["objectId", "string"]
    assert properties["to"]["bsonType"] == ["date", "timestamp", "string"]
    assert properties["to"]["pattern"] == "^latest$"
    assert properties["namespaces"]["items"] == {"bsonType": ["string"]}
    assert properties["namespaces"]["minItems"] == 1
    assert properties["tags"]["additionalProperties"] == {"bsonType": ["string"]}
    rename = properties["rename"]["items"]
    assert (rename["required"], rename["additionalProperties"]) == (["from", "to"], False)


def test_the_commands_and_states_are_listed(schema: dict[str, Any]) -> None:
    """Both are closed sets."""
    assert schema["properties"]["command"]["enum"] == sorted(REQUESTS)
    assert schema["properties"]["state"]["enum"] == list(State)


def test_options_are_tied_to_their_commands(schema: dict[str, Any]) -> None:
    """Each rule names its field, and one that every command has needs none."""
    ties = schema["dependencies"]
    assert ties["keep"]["properties"]["command"]["enum"] == ["backup"]
    assert "keep is no option" in ties["keep"]["properties"]["command"]["description"]
    assert ties["dry_run"]["properties"]["command"]["enum"] == ["delete", "prune", "restore"]
    assert "command" not in ties


def test_needed_options_are_rules(schema: dict[str, Any]) -> None:
    """For the commands that need them alone."""
    rules = {rule["description"] for rule in schema["allOf"]}
    assert "target is missing; needed by: cancel" in rules
    assert "backup is missing; needed by: delete, verify" in rules
