"""What monitoring reads: docs/design.md names every field and phase."""

from dataclasses import fields
from typing import get_args

import pytest

from agent.model.progress import Phase
from agent.model.roles import Authorization
from agent.model.status import (
    AgentStatus,
    ArchiveReport,
    ClusterStatus,
    NextRun,
    OplogStatus,
    Problem,
    Running,
    StorageAccess,
    StorageStatus,
)
from tests.docs import documents
from tests.docs.documents import DESIGN


@pytest.mark.parametrize(
    "model",
    [
        AgentStatus,
        ArchiveReport,
        ClusterStatus,
        NextRun,
        OplogStatus,
        Problem,
        Running,
        StorageAccess,
        StorageStatus,
        Authorization,
    ],
)
def test_every_field_is_in_the_design(model: type) -> None:
    """In the section on status, in backticks."""
    named = documents.all_named(documents.section(DESIGN, "Status"))
    assert {each.name for each in fields(model)} <= set(named)


def test_every_phase_is_in_the_design() -> None:
    """In the section on states, in backticks."""
    named = documents.all_named(documents.section(DESIGN, "States"))
    assert set(get_args(Phase)) <= set(named)
