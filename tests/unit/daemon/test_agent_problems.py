"""What an operator is told of hosts and nodes, and of agents that differ."""

from dataclasses import replace
from datetime import timedelta

import pytest

from agent.daemon.agent_problems import MOST_SKEW_S, MOST_UNUSABLE_S, between, of_agent
from agent.model.status import AgentStatus
from tests.fakes.clock import VirtualClock
from tests.fakes.status import an_agent

NOW = VirtualClock().now()


def agents(count: int = 3) -> list[AgentStatus]:
    """Return agents in good order."""
    return [an_agent(f"{name}:1", NOW) for name in "abc"[:count]]


def stored(agent: AgentStatus, label: str, bucket: str) -> AgentStatus:
    """Return an agent with another main storage."""
    return replace(agent, storage=replace(agent.storage, label=label, bucket=bucket))


def test_agents_that_agree_are_no_problem() -> None:
    """Nor is one alone, or none."""
    for count in range(4):
        assert [] == list(between(agents(count), NOW))


def test_agents_of_different_versions_are_a_warning() -> None:
    """The message stays while the upgrade goes on; the hint tells which are left."""
    first, second, third = agents()
    (found,) = between([replace(first, agent_version="0.2.0"), second, third], NOW)
    assert ("agents_disagree_version", "warning") == (found.code, found.level)
    assert "0.1.0, 0.2.0" in found.message
    assert "0.1.0 runs beside b:1, c:1" in found.hint
    new = [replace(each, agent_version="0.2.0") for each in (first, second)]
    (later,) = between([*new, third], NOW)
    assert found.message == later.message
    assert "0.1.0 runs beside c:1" in later.hint


@pytest.mark.parametrize(
    ("label", "bucket"),
    [("main", "s3://acme/test"), ("other", "s3://acme/prod"), ("main", "/srv/b")],
)
def test_agents_of_different_storages_are_an_error(label: str, bucket: str) -> None:
    """Another label, bucket, prefix or kind: what one stores, another does not find."""
    first, *others = (stored(each, "main", "s3://acme/prod") for each in agents())
    (found,) = between([stored(first, label, bucket), *others], NOW)
    assert ("agents_disagree_storage", "error") == (found.code, found.level)
    assert f"a:1 has {label} ({bucket})" in found.hint


def test_directories_that_differ_are_a_warning() -> None:
    """They may be one file system at two paths."""
    first, second, _ = agents()
    (found,) = between([stored(first, "main", "/a"), stored(second, "main", "/b")], NOW)
    assert ("agents_disagree_storage", "warning") == (found.code, found.level)


@pytest.mark.parametrize(
    ("skew_s", "words"),
    [
        (None, None),
        (0.0, None),
        (-MOST_SKEW_S, None),
        (MOST_SKEW_S + 1, "6 s ahead"),
        (-901.0, "901 s behind"),
    ],
)
def test_a_clock_that_is_off_is_a_warning(skew_s: float | None, words: str | None) -> None:
    """Never an error by itself; how far it is off is in the hint, so that the message stays."""
    agent = replace(an_agent("a:1", NOW), clock_skew_s=skew_s)
    found = [*of_agent(agent, NOW)]
    assert ([] if words is None else [("clock_skew", "warning")]) == [
        (each.code, each.level) for each in found
    ]
    assert all(words in each.hint and "15 minutes" in each.hint for each in found if words)


@pytest.mark.parametrize(
    ("state", "age_s", "expected"),
    [
        ("SECONDARY", 86400, False),
        ("PRIMARY", 86400, False),
        ("STARTUP2", MOST_UNUSABLE_S, False),
        ("STARTUP2", MOST_UNUSABLE_S + 1, True),
        ("RECOVERING", 86400, True),
        ("ROLLBACK", 86400, True),
    ],
)
def test_a_node_that_stays_of_no_use_is_told(
    state: str,
    age_s: float,
    expected: bool,  # noqa: FBT001
) -> None:
    """One that passes through on its way to a secondary is not."""
    since = NOW - timedelta(seconds=age_s)
    agent = replace(an_agent("a:1", NOW), node_state=state, node_state_since=since)
    found = [*of_agent(agent, NOW)]
    assert ([("node_unusable", since)] if expected else []) == [
        (each.code, each.since) for each in found
    ]
    assert [] == [*of_agent(replace(agent, node_state_since=None), NOW)]
