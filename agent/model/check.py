"""What the doctor finds: a row for each agent and test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from agent.core.errors import AgentError

Verdict = Literal["ok", "warning", "failed"]

_WORST_FIRST: Final[tuple[Verdict, ...]] = ("failed", "warning", "ok")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one test found.

    ``storage`` is the label of the storage that was tested, None if it was something else.
    ``missing`` names the IAM action or the privilege in MongoDB without which it failed;
    ``code`` is that of the error behind it, if there was one.
    """

    test: str
    outcome: Verdict
    message: str
    storage: str | None = None
    missing: str | None = None
    hint: str = ""
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A finding of one agent."""

    agent: str
    finding: Finding


def failed(test: str, error: AgentError, *, storage: str | None = None) -> Finding:
    """Return what a test found that an error ended."""
    return Finding(
        test=test,
        outcome="failed",
        message=error.message,
        storage=storage,
        hint=error.hint,
        code=error.code,
    )


def result_of(rows: Sequence[Row]) -> Mapping[str, object]:
    """Return the result of a check: how many rows have which outcome, then the worst first."""
    counts = {
        verdict: sum(row.finding.outcome == verdict for row in rows) for verdict in _WORST_FIRST
    }
    ordered = sorted(rows, key=lambda row: _WORST_FIRST.index(row.finding.outcome))
    return {
        "ok": counts["ok"],
        "warnings": counts["warning"],
        "failed": counts["failed"],
        "rows": [_document(row) for row in ordered],
    }


def _document(row: Row) -> Mapping[str, object]:
    finding = row.finding
    return {
        "agent": row.agent,
        "storage": finding.storage,
        "test": finding.test,
        "outcome": finding.outcome,
        "message": finding.message,
        "missing": finding.missing,
        "hint": finding.hint,
        "code": finding.code,
    }
