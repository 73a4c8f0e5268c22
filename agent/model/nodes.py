"""Which nodes read a backup: secondaries that keep up first, the primary when it must."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from agent.model.cluster_time import ClusterTime

UsePrimary = Literal["always", "when_alone", "never"]
NodeState = Literal["PRIMARY", "SECONDARY", "OTHER"]

# A secondary further behind would keep the whole backup waiting for it.
LONGEST_LAG_S: Final = 30.0
# An agent whose status is older is not there.
STALE_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One agent's node as its status tells it; ``lag_s`` is seconds behind the primary.

    ``oplog_from``: the oldest entry of its oplog, where that is known.
    """

    name: str
    state: str
    lag_s: float | None
    priority: float
    updated_at: datetime
    oplog_from: ClusterTime | None = None

    def is_fresh(self, now: datetime) -> bool:
        """Whether the agent behind this is there."""
        return now - self.updated_at <= timedelta(seconds=STALE_S)

    @property
    def keeps_up(self) -> bool:
        """Whether this is a secondary that may be read from and is not far behind."""
        return (
            self.state == "SECONDARY"
            and self.priority > 0
            and self.lag_s is not None
            and self.lag_s < LONGEST_LAG_S
        )

    def is_good_secondary(self, now: datetime) -> bool:
        """Whether this node should read before the primary does."""
        return self.keeps_up and self.is_fresh(now)


def with_oplog_of(time: ClusterTime, others: Sequence[NodeFacts]) -> str | None:
    """Return the name of a node whose oplog was last seen to reach back to a time, if there is one.

    An agent that has just ended counts too: all may be starting again.
    """
    reaching = (one for one in others if one.oplog_from is not None and one.oplog_from <= time)
    newest = max(reaching, key=lambda one: one.updated_at, default=None)
    return None if newest is None else newest.name


def may_read(
    own: NodeFacts, others: Sequence[NodeFacts], use_primary: UsePrimary, now: datetime
) -> bool:
    """Whether an agent may claim backup tasks for its own node now.

    Nodes of the highest priority among the secondaries that keep up read together; the others
    stand by until none of those is there.
    """
    if own.priority <= 0:
        return False
    if any(one.priority > own.priority and one.is_good_secondary(now) for one in others):
        return False
    if own.state == "SECONDARY":
        return own.lag_s is not None and own.lag_s < LONGEST_LAG_S
    if own.state != "PRIMARY":
        return False
    match use_primary:
        case "always":
            return True
        case "never":
            return False
        case "when_alone":
            return not any(other.is_good_secondary(now) for other in others)
