"""Clocks of agents that are wrong, and right again, while they run."""

from tests.testbed import programs
from tests.testbed.agents import Agent

_FILE = ".faketimerc"


def environment() -> dict[str, str]:
    """Return what lets an agent's clock be set; the monotonic one stays as it is.

    Raises: ProgramMissingError.
    """
    return {
        "LD_PRELOAD": str(programs.faketime()),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def skew(agent: Agent, seconds: int) -> None:
    """Set an agent's clock off by so much, within a second. Idempotent; 0 puts it right."""
    # Its home is its own directory. By a rename, lest half of the file be read.
    fresh = agent.directory / f"{_FILE}.new"
    fresh.write_text(f"{seconds:+d}s\n")
    fresh.rename(agent.directory / _FILE)
