"""What agents write into a command's document when its state moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from agent.core.errors import AgentError

# It must fit into a document beside what was inserted.
_LONGEST: Final = 10_000


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
    """Return what an operator may read of an error; a very long text is cut."""
    return Failure(code=error.code, message=cut(error.message, _LONGEST), hint=error.hint)


def cut(text: str, longest: int = 100) -> str:
    """Return a text of which no more than so many characters are left: some came from outside."""
    return text if len(text) <= longest else f"{text[:longest]}..."
