"""Documents that people changed by hand are told from those that agents wrote."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Code, Int64

from agent.model.cluster_time import ClusterTime
from agent.model.coverage import Span
from agent.mongo.typed import is_typed
from tests.fakes.status import a_report, an_agent

NOW = datetime(2026, 11, 22, tzinfo=UTC)
REPORT = a_report(Span(begin=ClusterTime(1, 1), last=ClusterTime(2, 1)))
ODD: Any = {}
SOUND = an_agent("a:1", NOW, archive=REPORT)


def test_what_an_agent_writes_is_typed() -> None:
    """Also with whole numbers for seconds, and with numbers as BSON gives them back."""
    assert is_typed(SOUND)
    assert is_typed(replace(SOUND, pid=Int64(5), node_lag_s=None, priority=0))


@pytest.mark.parametrize(
    "change",
    [
        {"node_lag_s": "x"},
        {"node_lag_s": float("nan")},
        {"priority": True},
        {"pid": 1.5},
        {"name": Code("x")},
        {"updated_at": None},
        {"updated_at": datetime(1, 1, 1, tzinfo=UTC)},
        {"updated_at": datetime(9999, 12, 31, tzinfo=UTC)},
        {"storage": replace(SOUND.storage, bucket=ODD)},
        {"archive": replace(REPORT, spans=(ODD,))},
        {"archive": replace(REPORT, others={"x": ODD})},
        {"access": ("x",)},
    ],
)
def test_a_field_of_another_type_is_noticed(change: dict[str, Any]) -> None:
    """However deep it lies."""
    assert not is_typed(replace(SOUND, **change))
