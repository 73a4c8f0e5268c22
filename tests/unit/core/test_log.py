"""A traceback in the log says where, and nothing of what was held there."""

import io
import secrets
from typing import Literal

import pytest

from agent.core import log
from tests.testbed import secrecy


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_values(log_format: Literal["json", "console"]) -> None:
    """Functions and lines, but no local variable: one of them may be a password."""
    written = io.StringIO()
    log.configure(log_format, "debug", to=written)
    try:
        _fails(secrecy.keep(secrets.token_hex(16)))
    except KeyError as error:
        log.get().error("job died", error=repr(error), exc_info=error)
        log.get().debug("and once more", exc_info=True)
    told = written.getvalue()
    assert "Traceback" in told
    assert "in _fails" in told
    secrecy.check(told, "a traceback")


def _fails(password: str) -> None:
    held = {"uri": f"mongodb://user:{password}@host/"}
    raise KeyError(min(held))
