"""Schedules: the documents name every field, and the examples are right."""

from agent.model.schedules import MARK_FIELDS, Retention, Schedule, parse
from tests.docs import documents
from tests.docs.documents import DESIGN, OPERATIONS


def test_every_field_is_explained() -> None:
    """In the table of docs/operations.md, with no other beside them; the rules of retention too."""
    text = documents.section(OPERATIONS, "Schedules")
    fields = {info.alias or name for name, info in Schedule.model_fields.items()}
    assert fields == {documents.named(row[0]) for row in documents.rows(text)}
    assert set(Retention.model_fields) <= set(documents.all_named(text))


def test_what_agents_add_is_explained() -> None:
    """Where the steps are."""
    assert set(MARK_FIELDS) <= set(documents.all_named(documents.section(DESIGN, "Schedules")))


def test_every_example_is_a_schedule() -> None:
    """What is pasted from the document into mongosh works."""
    examples = documents.inserted(documents.read(OPERATIONS), "schedules")
    assert len(examples) > 2
    for example in examples:
        assert example["_id"] == parse(example).schedule_id
