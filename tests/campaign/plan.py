"""What happens in a campaign, and when: a pure function of its seed."""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NODES: Final = 3
WITNESS: Final = 2
"""The node whose oplog never rolls over: by it everything is judged."""
# Longer than a lease, so that another agent has taken over when the stopped one goes on.
_BEYOND_A_LEASE_S: Final = 17.0


class Place(StrEnum):
    """Where a fault strikes; of each place no two faults stand at a time."""

    AGENT = "agent"
    NODE = "node"
    STORAGE = "storage"
    OPERATOR = "operator"


class Kind(StrEnum):
    """Everything that may happen."""

    AGENT_KILLED = "agent killed"
    AGENT_STOPPED = "agent stopped"
    AGENT_STOPPED_LONG = "agent stopped beyond its lease"
    AGENT_RESTARTED = "agent restarted"
    AGENT_SKEWED = "agent's clock wrong"
    COORDINATOR_KILLED = "coordinator killed"
    ARCHIVER_KILLED = "archiver killed"

    NODE_KILLED = "node killed"
    NODE_FROZEN = "node frozen"
    NODE_RESTARTED = "node restarted"
    STEP_DOWN = "step down"
    STEP_DOWN_IN_TASK = "step down in a task"
    LINE_CUT = "line cut"
    LINE_RESET = "line reset"
    LINE_DELAYED = "line delayed"
    LINE_THROTTLED = "line throttled"
    LINE_SILENT = "line silent"
    PRIMARY_ISOLATED = "primary isolated"
    DISK_FULL = "disk full"
    OPLOG_ROLLS = "oplog rolls over"

    STORAGE_500 = "storage 500"
    STORAGE_SLOW_DOWN = "storage slow down"
    STORAGE_EXPIRED_TOKEN = "storage expired token"
    STORAGE_RESET = "storage reset"
    STORAGE_AWAY = "storage away"
    STORAGE_DELAYED = "storage delayed"
    STORAGE_LOST_ANSWER = "storage lost answer"
    STORAGE_CUT_BODY = "storage cut body"
    STORAGE_FLIPPED_BYTE = "storage flipped byte"
    STORAGE_STALE_LIST = "storage stale list"

    BACKUP = "backup"
    VERIFY = "verify"
    PRUNE = "prune"
    CHECK = "check"
    COPY = "copy"
    COPY_OF_THE_PAST = "copy of the past"
    COPY_OVER_COPY = "copy over a copy"
    CANCEL = "cancel"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One thing that happens: from `at_s` seconds after the begin, for `lasts_s` seconds."""

    at_s: float
    kind: Kind
    lasts_s: float
    target: int
    """Number of a node or of the agent beside it."""
    place: Place

    @property
    def ends_s(self) -> float:
        """When it is over."""
        return self.at_s + self.lasts_s

    def __str__(self) -> str:
        at = f"{self.at_s:5.1f} s"
        return f"{at}  {self.kind}, {self.place} {self.target}, for {self.lasts_s:.1f} s"


# How long each kind lasts at most; 0 for what is over at once.
_AGENT: Final = {
    Kind.AGENT_KILLED: 6.0,
    Kind.AGENT_STOPPED: 6.0,
    Kind.AGENT_STOPPED_LONG: _BEYOND_A_LEASE_S,
    Kind.AGENT_RESTARTED: 0.0,
    Kind.AGENT_SKEWED: 10.0,
    Kind.COORDINATOR_KILLED: 6.0,
    Kind.ARCHIVER_KILLED: 6.0,
}
_NODE: Final = {
    Kind.NODE_KILLED: 5.0,
    Kind.NODE_FROZEN: 6.0,
    Kind.NODE_RESTARTED: 0.0,
    Kind.STEP_DOWN: 0.0,
    Kind.STEP_DOWN_IN_TASK: 0.0,
    Kind.LINE_CUT: 6.0,
    Kind.LINE_RESET: 0.0,
    Kind.LINE_DELAYED: 6.0,
    Kind.LINE_THROTTLED: 6.0,
    Kind.LINE_SILENT: 6.0,
    Kind.PRIMARY_ISOLATED: 6.0,
    Kind.DISK_FULL: 4.0,
}
_ROLLING: Final = {**_NODE, Kind.OPLOG_ROLLS: 0.0}
_STORAGE: Final = {
    Kind.STORAGE_500: 6.0,
    Kind.STORAGE_SLOW_DOWN: 6.0,
    Kind.STORAGE_EXPIRED_TOKEN: 4.0,
    Kind.STORAGE_RESET: 6.0,
    Kind.STORAGE_AWAY: 8.0,
    Kind.STORAGE_DELAYED: 6.0,
    Kind.STORAGE_LOST_ANSWER: 6.0,
    Kind.STORAGE_CUT_BODY: 6.0,
    Kind.STORAGE_FLIPPED_BYTE: 6.0,
}
# Amazon S3 lists what was written as soon as it was, and so must any store that is used.
_WEAK_STORAGE: Final = {**_STORAGE, Kind.STORAGE_STALE_LIST: 6.0}
_OPERATOR: Final = {
    Kind.BACKUP: 0.0,
    Kind.VERIFY: 0.0,
    Kind.PRUNE: 0.0,
    Kind.CHECK: 0.0,
    Kind.COPY: 0.0,
    Kind.COPY_OF_THE_PAST: 0.0,
    Kind.COPY_OVER_COPY: 0.0,
    Kind.CANCEL: 0.0,
    Kind.DELETE: 0.0,
}
# How often each kind comes, beside the others of its place; 1 where nothing stands here.
_WEIGHTS: Final = {
    Kind.OPLOG_ROLLS: 4,
    Kind.BACKUP: 5,
    Kind.VERIFY: 2,
    Kind.COPY: 3,
    Kind.COPY_OF_THE_PAST: 3,
    Kind.COPY_OVER_COPY: 2,
}
_SHORTEST_S: Final = 0.3
_MEAN_PAUSE_S: Final = {
    Place.AGENT: 3.0,
    Place.NODE: 3.0,
    Place.STORAGE: 2.0,
    Place.OPERATOR: 3.0,
}
# There is always something to verify, to copy and to delete.
_FIRST_BACKUP_S: Final = 0.5


def has_small_oplogs(seed: int) -> bool:
    """Whether the oplogs of all nodes but the witness are small, and roll over."""
    return seed % 3 == 1


def plan(seed: int, length_s: float, *, stale_lists: bool = False) -> tuple[Act, ...]:
    """Return what happens in `length_s` seconds, in order of time; the same for the same seed."""
    nodes = _ROLLING if has_small_oplogs(seed) else _NODE
    acts = [
        *_acts(random.Random(f"{seed} agents"), Place.AGENT, _AGENT, length_s),
        *_acts(random.Random(f"{seed} nodes"), Place.NODE, nodes, length_s),
        *_acts(
            random.Random(f"{seed} storage"),
            Place.STORAGE,
            _WEAK_STORAGE if stale_lists else _STORAGE,
            length_s,
        ),
        *_acts(random.Random(f"{seed} operator"), Place.OPERATOR, _OPERATOR, length_s),
        Act(at_s=_FIRST_BACKUP_S, kind=Kind.BACKUP, lasts_s=0, target=0, place=Place.OPERATOR),
    ]
    return tuple(sorted(acts, key=lambda act: (act.at_s, act.kind)))


def _acts(rng: random.Random, place: Place, kinds: dict[Kind, float], length_s: float) -> list[Act]:
    """Return acts at one place, one after the other."""
    weights = [_WEIGHTS.get(each, 1) for each in kinds]
    found: list[Act] = []
    free_at = 1.0 + rng.expovariate(1 / _MEAN_PAUSE_S[place])
    while free_at < length_s:
        (kind,) = rng.choices(list(kinds), weights)
        longest = kinds[kind]
        is_fixed = longest == _BEYOND_A_LEASE_S or not longest
        lasts = longest if is_fixed else rng.uniform(_SHORTEST_S, longest)
        act = Act(
            at_s=round(free_at, 1),
            kind=kind,
            lasts_s=round(lasts, 1),
            target=rng.randrange(NODES),
            place=place,
        )
        found.append(act)
        free_at = act.ends_s + 0.2 + rng.expovariate(1 / _MEAN_PAUSE_S[place])
    return found
