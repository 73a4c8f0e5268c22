"""What an operator is told of an agent's credentials and storage."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.daemon.key_problems import of_storage
from agent.model.status import AgentStatus, Problem
from tests.fakes.clock import VirtualClock
from tests.fakes.status import an_agent

NOW = VirtualClock().now()
HOUR = timedelta(hours=1)


def problems(**storage: Any) -> list[Problem]:
    """Return the problems of an agent whose storage stands so."""
    agent: AgentStatus = an_agent("a:1", NOW)
    return list(of_storage(replace(agent, storage=replace(agent.storage, **storage)), NOW))


def told(**storage: Any) -> list[tuple[str, str]]:
    """Return code and level of each problem."""
    return [(each.code, each.level) for each in problems(**storage)]


@pytest.mark.parametrize(
    "code",
    [
        "no_credentials",
        "role_denied",
        "web_identity_expired",
        "credentials_wrong",
        "credentials_expired",
        "credentials_unavailable",
    ],
)
def test_failing_credentials_are_told_from_a_storage_that_is_away(code: str) -> None:
    """The message has agent, label and source; the hint the reason."""
    (found,) = problems(
        ok=False, error="why it is", error_code=code, credential_source="instance profile"
    )
    assert ("credentials_failing", "error") == (found.code, found.level)
    assert "a:1" in found.message
    assert "main" in found.message
    assert "instance profile" in found.message
    assert found.hint == "why it is"


@pytest.mark.parametrize("code", ["storage_unreachable", "storage_denied", None])
def test_other_errors_are_the_storage_s(code: str | None) -> None:
    """Also those of an agent that does not tell the code."""
    assert [("storage_unreachable", "error")] == told(ok=False, error="why", error_code=code)


@pytest.mark.parametrize(
    ("source", "left", "level"),
    [
        ("environment", 25 * HOUR, None),
        ("environment", 24 * HOUR, "warning"),
        ("environment", 2 * HOUR, "warning"),
        ("configuration", HOUR, "error"),
        ("environment", -HOUR, "error"),
        ("instance profile", HOUR, None),
        ("instance profile", HOUR / 60, None),
        ("role arn:aws:iam::111122223333:role/x over environment", HOUR, None),
    ],
)
def test_keys_that_nothing_renews_are_told_a_day_before_their_end(
    source: str, left: timedelta, level: str | None
) -> None:
    """Others are renewed in time, and are not told of."""
    expected = [] if level is None else [("credentials_expiring", level)]
    assert expected == told(credential_source=source, expires_at=NOW + left)


@pytest.mark.parametrize(("minutes", "level"), [(60, "warning"), (6, "warning"), (5, "error")])
def test_keys_that_could_not_be_renewed_are_told_at_once(minutes: int, level: str) -> None:
    """With their end and the reason, and worse towards the end."""
    (found,) = problems(
        credential_source="instance profile",
        expires_at=NOW + timedelta(minutes=minutes),
        renewal_error="the service is gone",
    )
    assert ("credentials_expiring", level) == (found.code, found.level)
    assert "instance profile" in found.message
    assert "the service is gone" in found.hint
    assert f"{NOW + timedelta(minutes=minutes):%Y-%m-%dT%H:%M}" in found.hint


def test_a_message_stays_the_same_until_the_end() -> None:
    """It would begin anew at each look otherwise."""
    told_then = {
        problems(
            credential_source="instance profile",
            expires_at=NOW + timedelta(minutes=minutes),
            renewal_error=f"tried {minutes} minutes before",
        )[0].message
        for minutes in (30, 10, 1)
    }
    assert len(told_then) == 1


def test_keys_without_an_end_are_no_problem() -> None:
    """Static ones."""
    assert [] == told(credential_source="environment")
