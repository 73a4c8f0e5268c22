"""What agents write into a command's document when its state moves."""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.core.errors import AgentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An error as a command's document shows it."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The fields that go with a move: who coordinates, and a result or a failure at the end."""

    coordinator: str
    result: Mapping[str, object] | None = None
    failure: Failure | None = None


def failure_of(error: AgentError) -> Failure:
    """Return what an operator may read of an error."""
    return Failure(code=error.code, message=error.message, hint=error.hint)
