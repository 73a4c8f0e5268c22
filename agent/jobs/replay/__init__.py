"""Replay: brings temporary collections from the time of their copies to the target time.

Entries are assembled (transactions), routed by UUID to a place, and applied in lanes; commands
change the workspace and wait for the lanes where order demands it. Knows ports, codec and
model; must not know pymongo or where the entries come from.
"""

from agent.jobs.replay.engine import replay
from agent.model.replay import ReplayLimits, ReplayResult

__all__ = ["ReplayLimits", "ReplayResult", "replay"]
