"""Requests that are made to find out whether they work, and findings about one storage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from botocore.exceptions import ClientError

from agent.core.errors import AgentError
from agent.model.check import Finding, Verdict
from agent.settings import EncryptionSettings
from agent.storage import s3_errors

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(Generic[T]):
    """What became of a request: an answer or an error, and the headers that came with either.

    ``missing`` is the IAM action without which it was denied, if that was the cause.
    """

    answer: T | None = None
    error: AgentError | None = None
    missing: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def tried(operation: str, call: Callable[[], T]) -> Asked[T]:
    """Let a store do something that takes one kind of request."""
    try:
        return Asked(answer=call())
    except AgentError as error:
        return Asked(error=error, missing=s3_errors.missing_action(error, operation))


def asked(
    operation: str,
    where: str,
    call: Callable[[], T],
    *,
    encryption: EncryptionSettings | None,
    nothing: frozenset[str] = frozenset(),
) -> Asked[T]:
    """Send a request past the store; codes in ``nothing`` are an answer: there is none."""
    try:
        answer: Any = call()
    except ClientError as refused:
        headers = _headers(refused.response)
        if s3_errors.answer_code(refused) in nothing:
            return Asked(headers=headers)
        error = s3_errors.translate(refused, operation, where, encryption)
        missing = s3_errors.missing_action(error, operation)
        return Asked(error=error, missing=missing, headers=headers)
    except s3_errors.FAILURES as failure:
        return Asked(error=s3_errors.translate(failure, operation, where))
    except AgentError as error:  # no keys
        return Asked(error=error)
    return Asked(answer=answer, headers=_headers(answer))


def _headers(answer: Mapping[str, Any]) -> Mapping[str, str]:
    found: Mapping[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Makes findings about one storage."""

    label: str

    def ok(self, test: str, message: str) -> Finding:
        """Return that all is as it should be."""
        return self.of(test, "ok", message)

    def of(
        self,
        test: str,
        outcome: Verdict,
        message: str,
        *,
        missing: str | None = None,
        hint: str = "",
        code: str | None = None,
    ) -> Finding:
        """Return what a test found."""
        return Finding(
            test=test,
            outcome=outcome,
            message=message,
            storage=self.label,
            missing=missing,
            hint=hint,
            code=code,
        )

    def failed(self, test: str, error: AgentError, missing: str | None = None) -> Finding:
        """Return that a test ended with an error."""
        return self.of(
            test, "failed", error.message, missing=missing, hint=error.hint, code=error.code
        )
