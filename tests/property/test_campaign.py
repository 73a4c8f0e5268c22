"""The plan of a campaign, and the reading of what the agents did in it."""

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tests.campaign.history import read
from tests.campaign.plan import NODES, Kind, Place, plan

Entry = Mapping[str, Any]

_SEEDS = st.integers(min_value=0, max_value=2**32)
_NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@given(_SEEDS)
def test_a_plan_is_a_function_of_its_seed(seed: int) -> None:
    """Whoever repeats a seed repeats what happens, and when."""
    assert plan(seed, 60) == plan(seed, 60)
    assert plan(seed, 60) != plan(seed + 1, 60)


@given(_SEEDS, st.floats(min_value=10, max_value=600))
def test_of_each_place_one_act_stands_at_a_time(seed: int, length_s: float) -> None:
    """So that a majority of nodes and of agents is always there in the end, and each act ends."""
    acts = plan(seed, length_s)
    assert list(acts) == sorted(acts, key=lambda act: (act.at_s, act.kind))
    for place in Place:
        there = [act for act in acts if act.place is place and act.at_s > 0.5]
        assert all(one.ends_s <= next_.at_s for one, next_ in itertools.pairwise(there))
        assert all(0 <= act.at_s <= length_s + 0.1 and act.target in range(NODES) for act in there)


def test_fifty_seeds_hold_everything_that_may_happen() -> None:
    """Nothing is left out, but lists that lag behind: those are for weak stores alone."""
    kinds = {act.kind for seed in range(50) for act in plan(seed, 40)}
    assert set(Kind) - {Kind.STORAGE_STALE_LIST} == kinds
    weak = {act.kind for seed in range(50) for act in plan(seed, 40, stale_lists=True)}
    assert set(Kind) == weak


def test_a_life_by_the_table_is_no_fault() -> None:
    """Accepted, running, done: under tokens that grow."""
    assert [] == _wrong_in([
        _inserted(),
        _moved("accepted", 7),
        _moved("running", 7),
        _changed({"u": {"lease_token": 9}}),
        _moved("done", 9),
        {"ns": "backstay.commands", "op": "d", "o": {"_id": 1}, "ts": Timestamp(50, 1)},
    ])


def test_an_illegal_move_is_seen() -> None:
    """What has ended stays as it is, and nothing is done that was not begun."""
    assert 1 == len(_wrong_in([_inserted(), _moved("accepted", 7), _moved("done", 7)]))
    ended = [_inserted(), _moved("accepted", 7), _moved("running", 7), _moved("failed", 7)]
    assert [] == _wrong_in(ended)
    assert 1 == len(_wrong_in([*ended, _moved("done", 7)]))
    assert 1 == len(_wrong_in([*ended, _changed({"u": {"result": {"docs": 1}}})]))
    assert 1 == len(_wrong_in([*ended[:3], {**_inserted(), "op": "d", "o": {"_id": 1}}]))


def test_a_write_under_an_old_token_is_seen() -> None:
    """It is wrong where the new one was; late, where only another command had seen it."""
    other = {**_inserted(), "o": {"_id": 2}}
    taken = {**_moved("accepted", 9), "o2": {"_id": 2}}
    in_order = read([_inserted(), other, _moved("accepted", 7), taken])
    assert ([], []) == (in_order.wrong, in_order.late)
    late = read([_inserted(), other, taken, _moved("accepted", 7)])
    assert (0, 1) == (len(late.wrong), len(late.late))
    assert 1 == len(_wrong_in([_inserted(), _moved("accepted", 9), _moved("running", 7)]))


def test_a_lease_that_is_taken_in_its_time_is_seen() -> None:
    """It may be given back, or end; its token grows with each holder."""
    granted = _lease("a", 100, _NOW)
    given_back = {
        **granted,
        "o": {"diff": {"u": {"holder": None}}},
        "ts": Timestamp(_second(1), 1),
    }
    assert [] == _wrong_in([granted, given_back, _lease("b", 101, _NOW)])
    assert [] == _wrong_in([granted, _lease("b", 101, _NOW, at_s=16)])
    assert 1 == len(_wrong_in([granted, _lease("b", 101, _NOW, at_s=5)]))
    assert 1 == len(_wrong_in([granted, _lease("b", 100, _NOW, at_s=16)]))
    assert 2 == len(_wrong_in([granted, _lease("b", 99, _NOW, at_s=16)]))


def _wrong_in(entries: Iterable[Entry]) -> list[str]:
    return read(entries).wrong


def _inserted() -> Entry:
    document = {"_id": 1, "command": "backup"}
    return {"ns": "backstay.commands", "op": "i", "o": document, "ts": Timestamp(1, 1)}


def _moved(state: str, token: int) -> Entry:
    return _changed({"u": {"state": state, "lease_token": token}})


def _changed(diff: Mapping[str, Any]) -> Entry:
    at = Timestamp(2, 1)
    return {"ns": "backstay.commands", "op": "u", "o2": {"_id": 1}, "o": {"diff": diff}, "ts": at}


def _second(at_s: int) -> int:
    return int(_NOW.timestamp()) + at_s


def _lease(holder: str, token: int, renewed_at: datetime, at_s: int = 0) -> Entry:
    document = {
        "_id": "coordinator",
        "holder": holder,
        "token": Timestamp(token, 1),
        "renewed_at": renewed_at.replace(tzinfo=None),
        "duration_ms": 15_000,
    }
    at = Timestamp(_second(at_s), 1)
    return {
        "ns": "backstay.leases",
        "op": "u",
        "o2": {"_id": "coordinator"},
        "o": document,
        "ts": at,
    }
