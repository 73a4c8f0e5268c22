"""Tests of the keys in use: which source gave them, whose they are, and how long they last."""

from collections.abc import Generator
from datetime import timedelta
from typing import Final

from botocore.exceptions import ClientError

from agent.aws.keys import Keys, is_passing, told
from agent.aws.session import Access
from agent.aws.sources import CONFIGURATION, ENVIRONMENT
from agent.core.clock import Clock
from agent.core.errors import AgentError
from agent.model.check import Finding, Verdict, failed

# By then keys of the shortest life that AWS gives, 15 minutes, have been renewed.
_LATE: Final = timedelta(minutes=3)
_NEVER_RENEWED: Final = frozenset({CONFIGURATION, ENVIRONMENT})


def check_keys(access: Access, label: str, clock: Clock) -> Generator[Finding, None, bool]:
    """Yield what the tests find; return whether there are keys to go on with."""
    try:
        keys = access.fetch()
    except AgentError as error:
        yield failed("credentials", error, storage=label)
        return False
    yield _finding(label, "credentials", "ok", f"from the source {keys.source}")
    yield _identity(access, keys, label)
    yield _expiry(keys, label, clock)
    return True


def _identity(access: Access, keys: Keys, label: str) -> Finding:
    if not access.whose.can_tell:
        message = "not known: a server that is not Amazon's has no STS to ask"
        return _finding(label, "identity", "ok", message)
    error = access.whose.ask(keys).why_not
    if error is None:
        return _finding(label, "identity", "ok", str(access.facts().identity))
    message = f"STS does not say whose keys these are: {told(error)}"
    if isinstance(error, ClientError) and not is_passing(error):
        hint = f"the keys of the source {keys.source} are wrong, over, or this host's clock is"
        return _finding(label, "identity", "failed", message, hint)
    hint = "let the host reach STS, as web identity and roles need it; or leave it as it is"
    return _finding(label, "identity", "warning", message, hint)


def _expiry(keys: Keys, label: str, clock: Clock) -> Finding:
    if keys.expires_at is None:
        if keys.session_token is None:
            return _finding(label, "expiry", "ok", "the keys have no end")
        return _finding(
            label,
            "expiry",
            "warning" if keys.source in _NEVER_RENEWED else "ok",
            "the keys are temporary, and nothing tells their end",
            "nobody renews them: use a role of the host instead",
        )
    ends_at = f"{keys.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if keys.expires_at - clock.now() < _LATE:
        message = f"the keys end at {ends_at}, and were not renewed"
        hint = f"see to the source {keys.source}; the agent's log says why it gives no others"
        return _finding(label, "expiry", "warning", message, hint)
    return _finding(label, "expiry", "ok", f"the keys end at {ends_at}, and are renewed before")


def _finding(label: str, test: str, outcome: Verdict, message: str, hint: str = "") -> Finding:
    shown = hint if outcome != "ok" else ""
    return Finding(test=test, outcome=outcome, message=message, storage=label, hint=shown)
