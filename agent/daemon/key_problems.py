"""What is wrong between an agent and its storage: pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from agent.model.status import AgentStatus, Problem, StorageStatus

# Nothing renews what stands in the configuration or in the environment: a person has a day.
_FIXED_SOURCES: Final = frozenset({"configuration", "environment"})
_FIXED_SOON: Final = timedelta(hours=24)
_FIXED_NOW: Final = timedelta(hours=1)
# Keys of other sources are renewed a quarter of an hour before their end, as a rule.
_RENEWED_NOW: Final = timedelta(minutes=5)
# Errors of the storage that are the credentials' fault, beside those that begin with their name.
_OF_CREDENTIALS: Final = frozenset({"no_credentials", "role_denied", "web_identity_expired"})


def of_storage(agent: AgentStatus, now: datetime) -> Iterator[Problem]:
    """Yield what keeps an agent from its storage, or soon will.

    Messages have no times in them: as long as one stays the same, so does its ``since``.
    """
    storage = agent.storage
    if storage.ok:
        yield from _of_expiry(agent.name, storage, now)
    elif _is_about_credentials(storage):
        yield Problem(
            code="credentials_failing",
            level="error",
            message=f"the agent of {agent.name} has no credentials that storage {storage.label}"
            f" takes (source: {storage.credential_source})",
            hint=storage.error or "",
            since=now,
        )
    else:
        yield Problem(
            code="storage_unreachable",
            level="error",
            message=f"the agent of {agent.name} cannot use storage {storage.label}",
            hint=storage.error or "",
            since=now,
        )


def _is_about_credentials(storage: StorageStatus) -> bool:
    code = storage.error_code or ""
    return code.startswith("credentials_") or code in _OF_CREDENTIALS


def _of_expiry(name: str, storage: StorageStatus, now: datetime) -> Iterator[Problem]:
    if storage.expires_at is None:
        return
    left = storage.expires_at - now
    whose = (
        f"the credentials of the agent of {name} for storage {storage.label}"
        f" (source: {storage.credential_source})"
    )
    if storage.renewal_error is not None:
        yield Problem(
            code="credentials_expiring",
            level="error" if left <= _RENEWED_NOW else "warning",
            message=f"{whose} cannot be renewed, and are used to their end",
            hint=f"they end at {_moment(storage.expires_at)}; {storage.renewal_error}",
            since=now,
        )
    elif storage.credential_source in _FIXED_SOURCES and left <= _FIXED_SOON:
        yield Problem(
            code="credentials_expiring",
            level="error" if left <= _FIXED_NOW else "warning",
            message=f"{whose} will end, and nothing renews them",
            hint=f"they end at {_moment(storage.expires_at)}; give others and restart the agent, or"
            " use a source that is renewed",
            since=now,
        )


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"
