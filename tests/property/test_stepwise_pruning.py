"""A prune plans again before each backup: that comes to what the first plan said."""

import random
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.model.retention import Policy, plan
from tests.property.test_retention import BEGIN, Storage, go_on, policies


@settings(max_examples=60, deadline=None)
@given(st.lists(policies, max_size=3), st.integers(0, 2**32), st.integers(1, 40))
def test_one_by_one_is_the_same_as_at_once(ruling: list[Policy], seed: int, days: int) -> None:
    """Oldest first: no backup goes, or stays, because of one that went before it."""
    chance = random.Random(seed)
    storage = Storage()
    for day in range(days):
        go_on(chance, storage, "a" if day < days // 3 else "b", BEGIN + timedelta(days=day))
    now = BEGIN + timedelta(days=days, minutes=chance.randrange(60))
    first = plan(storage.entries, storage.segments, ruling, replset_id="b", now=now)
    left, gone = list(storage.entries), []
    while going := plan(left, storage.segments, ruling, replset_id="b", now=now).going:
        gone.append(going[0])
        left.remove(going[0])
    assert list(first.going) == gone
    last = plan(left, storage.segments, ruling, replset_id="b", now=now)
    assert first.cuts == last.cuts
    why = {each.entry.backup_id: each.reasons for each in first.fates if each.stays}
    assert why == {each.entry.backup_id: each.reasons for each in last.fates}
