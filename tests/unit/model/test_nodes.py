"""Which nodes read a backup."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.model.cluster_time import ClusterTime
from agent.model.nodes import NodeFacts, UsePrimary, may_read, with_oplog_of

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)


def _node(
    state: str = "SECONDARY", *, lag_s: float | None = 0.0, priority: float = 1, age_s: float = 0
) -> NodeFacts:
    return NodeFacts(
        name=state,
        state=state,
        lag_s=lag_s,
        priority=priority,
        updated_at=NOW - timedelta(seconds=age_s),
    )


PRIMARY = _node("PRIMARY")


@pytest.mark.parametrize(
    ("own", "others", "reads"),
    [
        (_node(), [PRIMARY], True),
        (_node(lag_s=31), [PRIMARY], False),
        (_node(lag_s=None), [], False),
        (_node(priority=0), [PRIMARY], False),
        (_node("RECOVERING"), [PRIMARY], False),
        (PRIMARY, [_node()], False),
        (PRIMARY, [_node(age_s=16)], True),
        (PRIMARY, [_node(lag_s=40)], True),
        (PRIMARY, [_node(priority=0)], True),
        (PRIMARY, [_node("ARBITER")], True),
        (_node(), [_node(priority=2)], False),
        (_node(), [_node(priority=2, age_s=16)], True),
        (_node(priority=2), [_node(), _node(priority=2)], True),
    ],
)
def test_good_secondaries_of_the_highest_priority_read_and_else_the_primary(
    own: NodeFacts, others: list[NodeFacts], *, reads: bool
) -> None:
    """A node that lags, is out, or whose agent is gone, counts for nothing."""
    assert reads is may_read(own, others, "when_alone", NOW)


@pytest.mark.parametrize(("use", "reads"), [("always", True), ("never", False)])
def test_the_primary_reads_as_it_is_told(use: UsePrimary, *, reads: bool) -> None:
    """Whatever the secondaries do."""
    assert reads is may_read(PRIMARY, [_node()], use, NOW)


@pytest.mark.parametrize(
    ("oplogs", "found"),
    [([], None), ([None, 12], None), ([12, 10], "b"), ([9, None, 8], "c"), ([10, 9], "b")],
)
def test_the_oplog_that_reaches_back_is_found(oplogs: list[int | None], found: str | None) -> None:
    """Of several that one whose agent wrote last."""
    nodes = [
        replace(
            _node(age_s=100 - number),
            name="abc"[number],
            oplog_from=None if begin is None else ClusterTime(begin, 1),
        )
        for number, begin in enumerate(oplogs)
    ]
    assert found == with_oplog_of(ClusterTime(10, 1), nodes)
