"""A command's document as it was seen: state, progress, how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from agent.cli.console import Document
from agent.model.outcome import Failure
from agent.model.states import END_STATES, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """How far a running command is, as its agents tell."""

    phase: str
    done_bytes: int
    total_bytes: int
    done_docs: int
    total_docs: int
    percent: float
    eta_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A command at one moment; ``document`` is all of it."""

    command_id: str
    command: str
    state: State | None
    advance: Advance | None
    result: Document
    failure: Failure | None
    document: Document

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in END_STATES

    @property
    def took_s(self) -> float | None:
        """Seconds from start to end, once both are known."""
        begun, ended = self.document.get("started_at"), self.document.get("finished_at")
        if isinstance(begun, datetime) and isinstance(ended, datetime):
            return (ended - begun).total_seconds()
        return None


def sight_of(document: Document) -> Sight:
    """Read a command's document; what is missing or odd in it counts as absent."""
    state = document.get("state")
    error = document.get("error")
    result = document.get("result")
    return Sight(
        command_id=str(document.get("_id", "")),
        command=str(document.get("command", "")),
        state=State(state) if isinstance(state, str) and state in set(State) else None,
        advance=_advance(document.get("progress")),
        result=result if isinstance(result, Mapping) else {},
        failure=_failure(error) if isinstance(error, Mapping) else None,
        document=document,
    )


def _failure(error: Document) -> Failure:
    return Failure(
        code=str(error.get("code", "")),
        message=str(error.get("message", "")),
        hint=str(error.get("hint", "")),
    )


def _advance(progress: object) -> Advance | None:
    if not isinstance(progress, Mapping):
        return None
    eta = progress.get("eta_s")
    return Advance(
        phase=str(progress.get("phase", "")),
        done_bytes=int(number(progress, "done_bytes")),
        total_bytes=int(number(progress, "total_bytes")),
        done_docs=int(number(progress, "done_docs")),
        total_docs=int(number(progress, "total_docs")),
        percent=number(progress, "percent"),
        eta_s=float(eta) if isinstance(eta, int | float) else None,
    )


def number(document: Document, name: str) -> float:
    """Return a number of a document; 0 if it is not there."""
    value = document.get(name)
    return value if isinstance(value, int | float) else 0
