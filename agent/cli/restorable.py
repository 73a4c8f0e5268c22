"""Times that can be restored, as a document of the status has them: pure."""

from collections.abc import Mapping, Sequence

from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Recoverable


def ranges_of(told: object) -> tuple[Recoverable, ...]:
    """Read ranges ``{from, to}``, ascending; what is odd in them counts as absent.

    Ranges that overlap are one, so that what is drawn from them has no gap that is none.
    """
    if not isinstance(told, Sequence):
        return ()
    found: list[Recoverable] = []
    for each in sorted(_readable(told), key=lambda one: (one.begin, one.last)):
        if found and each.begin <= found[-1].last:
            found[-1] = Recoverable(begin=found[-1].begin, last=max(found[-1].last, each.last))
        else:
            found.append(each)
    return tuple(found)


def _readable(told: Sequence[object]) -> list[Recoverable]:
    found = []
    for each in told:
        begin = each.get("from") if isinstance(each, Mapping) else None
        last = each.get("to") if isinstance(each, Mapping) else None
        if isinstance(begin, ClusterTime) and isinstance(last, ClusterTime) and begin <= last:
            found.append(Recoverable(begin=begin, last=last))
    return found
