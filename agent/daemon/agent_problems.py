"""What is wrong with agents and their hosts, and between agents: pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from agent.model.status import AgentStatus, Problem

# Further apart, the times in logs and in the status no longer tell what came first.
MOST_SKEW_S: Final = 5.0
# A node that starts or joins passes through states of no use; one that stays there needs a person.
MOST_UNUSABLE_S: Final = 60.0

_USABLE: Final = frozenset({"PRIMARY", "SECONDARY"})
_S3: Final = "s3://"


def of_agent(agent: AgentStatus, now: datetime) -> Iterator[Problem]:
    """Yield what is wrong with the host of an agent, or with its node.

    Messages have no figures in them: as long as one stays the same, so does its ``since``.
    """
    skew_s = agent.clock_skew_s
    if skew_s is not None and abs(skew_s) > MOST_SKEW_S:
        yield Problem(
            code="clock_skew",
            level="warning",
            message=f"the clock of the agent of {agent.name} differs from the primary's",
            hint=f"it is {abs(skew_s):.0f} s {'ahead' if skew_s > 0 else 'behind'}; synchronise the"
            " clocks of all hosts (chrony, systemd-timesyncd): Amazon S3 refuses requests whose"
            " clock is off by more than 15 minutes",
            since=now,
        )
    begun = agent.node_state_since
    if agent.node_state in _USABLE or begun is None:
        return
    if now - begun > timedelta(seconds=MOST_UNUSABLE_S):
        yield Problem(
            code="node_unusable",
            level="warning",
            message=f"the node {agent.name} is in state {agent.node_state}: it can neither be"
            " backed up from nor take over",
            hint="rs.status() and the log of that mongod say why",
            since=begun,
        )


def between(agents: Sequence[AgentStatus], now: datetime) -> Iterator[Problem]:
    """Yield what agents that are there disagree on."""
    versions = sorted({each.agent_version for each in agents})
    if len(versions) > 1:
        yield Problem(
            code="agents_disagree_version",
            level="warning",
            message=f"agents of different versions run: {', '.join(versions)}",
            hint=f"{_list(agents, versions[0])}; that is fine during an upgrade: finish it",
            since=now,
        )
    places = sorted({_place(each) for each in agents})
    if len(places) > 1:
        is_s3 = any(each.storage.bucket.startswith(_S3) for each in agents)
        yield Problem(
            code="agents_disagree_storage",
            # The same network file system may be mounted at different paths.
            level="error" if is_s3 else "warning",
            message=f"agents have different main storages: {', '.join(places)}",
            hint="give every agent the same label and place, and restart those that you change;"
            " what one stores, another does not find: "
            + "; ".join(f"{each.name} has {_place(each)}" for each in agents),
            since=now,
        )


def _list(agents: Sequence[AgentStatus], oldest: str) -> str:
    names = [each.name for each in agents if each.agent_version == oldest]
    return f"{oldest} runs beside {', '.join(names)}"


def _place(agent: AgentStatus) -> str:
    return f"{agent.storage.label} ({agent.storage.bucket})"
