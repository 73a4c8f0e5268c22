"""Tests of the keys in use: which source gave them, whose they are, and how long they last."""

from collections.abc import Generator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from botocore.exceptions import ClientError

from agent.aws.keys import Keys, is_passing, told
from agent.aws.session import Access
from agent.aws.sources import CONFIGURATION, ENVIRONMENT
from agent.core.clock import Clock
from agent.core.errors import AgentError
from agent.model.check import Finding, Verdict, failed
from agent.model.iam import ACTIONS

# By then keys of the shortest life that AWS gives, 15 minutes, have been renewed.
_LATE: Final = timedelta(minutes=3)
_HINT: Final = "use a role of the host instead, whose keys are renewed"
_NEVER_RENEWED: Final = frozenset({CONFIGURATION, ENVIRONMENT})


def check_keys(access: Access, label: str, clock: Clock) -> Generator[Finding, None, bool]:
    """Yield what the tests find; return whether there are keys to go on with."""
    try:
        keys = access.fetch()
    except AgentError as error:
        # Of a role that is denied STS does not tell whether its trust or a permission lacks this.
        missing = ACTIONS["AssumeRole"] if error.code == "role_denied" else None
        yield replace(failed("credentials", error, storage=label), missing=missing)
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
    is_renewed = keys.source not in _NEVER_RENEWED
    if keys.expires_at is None:
        if keys.session_token is None:
            return _finding(label, "expiry", "ok", "the keys have no end")
        message = "the keys are temporary, and nothing tells their end"
        return _finding(label, "expiry", "ok" if is_renewed else "warning", message, _HINT)
    message = f"the keys end at {keys.expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if not is_renewed:
        return _finding(label, "expiry", "warning", f"{message}, and nobody renews them", _HINT)
    if keys.expires_at - clock.now() < _LATE:
        hint = f"see to the source {keys.source}; the agent's log says why it gives no others"
        return _finding(label, "expiry", "warning", f"{message}, and were not renewed", hint)
    return _finding(label, "expiry", "ok", f"{message}, and are renewed before")


def _finding(label: str, test: str, outcome: Verdict, message: str, hint: str = "") -> Finding:
    shown = hint if outcome != "ok" else ""
    return Finding(test=test, outcome=outcome, message=message, storage=label, hint=shown)
