"""Transactions come out whole, once, at their commit, however their entries are mixed."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import PermanentError
from agent.jobs.replay.transactions import Committed, Transactions
from agent.model.cluster_time import ClusterTime
from agent.model.replay import Bundle, Settle

_START = ClusterTime(1, 0)


@dataclass(frozen=True)
class _Plan:
    parts: tuple[int, ...]
    prepared: bool
    aborted: bool


_PLANS = st.lists(
    st.builds(
        _Plan,
        parts=st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple),
        prepared=st.booleans(),
        aborted=st.booleans(),
    ),
    max_size=5,
)


def _steps(session: int, plans: list[_Plan]) -> list[tuple[Bundle | Settle, bytes | None]]:
    """Return a session's entries in order; with each that commits, what it should bring."""
    steps: list[tuple[Bundle | Settle, bytes | None]] = []
    name = b"session %d" % session
    for number, plan in enumerate(plans):
        total = 0
        everything = b""
        for index, size in enumerate(plan.parts):
            is_last = index == len(plan.parts) - 1
            made = tuple(b"%d.%d.%d;" % (session, number, total + i) for i in range(size))
            total += size
            everything += b"".join(made)
            bundle = Bundle(
                operations=made,
                session=name,
                number=number,
                continues=index > 0,
                is_partial=not is_last,
                is_prepared=is_last and plan.prepared,
                count=total if is_last and len(plan.parts) > 1 else None,
            )
            steps.append((bundle, everything if is_last and not plan.prepared else None))
        if plan.prepared:
            commit_at = None if plan.aborted else ClusterTime(2, number)
            settle = Settle(session=name, number=number, commit_at=commit_at)
            steps.append((settle, None if plan.aborted else everything))
    return steps


def _take(transactions: Transactions, time: ClusterTime, step: Bundle | Settle) -> Committed | None:
    if isinstance(step, Settle):
        return transactions.settle(step)
    return transactions.add(time, step)


@given(st.lists(_PLANS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_interleaved_transactions_come_out_whole_at_their_commit(
    plans: list[list[_Plan]], chance: random.Random
) -> None:
    """Sessions do not disturb each other; what was aborted never comes out."""
    waiting = [_steps(session, each) for session, each in enumerate(plans)]
    transactions = Transactions(_START)
    now = 0
    while any(waiting):
        step, expected = chance.choice([each for each in waiting if each]).pop(0)
        now += 1
        committed = _take(transactions, ClusterTime(100, now), step)
        found = None if committed is None else b"".join(committed.operations)
        assert expected == found
        if committed is not None:
            at = step.commit_at if isinstance(step, Settle) else ClusterTime(100, now)
            assert at == committed.at
    assert not transactions.has_prepared


@given(_PLANS, st.integers(1, 30))
def test_a_transaction_without_its_beginning_is_never_applied(
    plans: list[_Plan], lost: int
) -> None:
    """Entries that begin in the middle end in an error, or in nothing if all is long past."""
    steps = _steps(0, plans)[lost:]
    first_is_whole = not steps or (isinstance(steps[0][0], Bundle) and not steps[0][0].continues)
    for floor in (_START, ClusterTime(1000, 0)):
        transactions = Transactions(floor)
        for index, (step, expected) in enumerate(steps):
            cut_off = not first_is_whole and expected is not None and _is_first(steps, index)
            if cut_off and floor == _START:
                with pytest.raises(PermanentError, match="missing"):
                    _take(transactions, ClusterTime(100, index), step)
                break
            committed = _take(transactions, ClusterTime(100, index), step)
            found = None if committed is None else b"".join(committed.operations)
            assert (None if cut_off else expected) == found


def _is_first(steps: list[tuple[Bundle | Settle, bytes | None]], index: int) -> bool:
    return all(step.number == steps[index][0].number for step, _ in steps[: index + 1])


def test_open_transactions_are_bounded() -> None:
    """What does not fit into memory is an error with a code, not the end of the process."""
    transactions = Transactions(_START, largest_open_bytes=100)
    part = Bundle(operations=(b"x" * 60,), session=b"s", number=1, is_partial=True)
    transactions.add(ClusterTime(2, 1), part)
    more = Bundle(operations=(b"x" * 60,), session=b"s", number=1, continues=True, is_partial=True)
    with pytest.raises(PermanentError) as error:
        transactions.add(ClusterTime(2, 2), more)
    assert "replay_transaction_large" == error.value.code


def test_a_session_that_goes_on_forgets_what_it_left_open() -> None:
    """A part that no commit followed was rolled back by an election."""
    transactions = Transactions(_START, largest_open_bytes=100)
    for number in range(10):
        part = Bundle(operations=(b"x" * 60,), session=b"s", number=number, is_partial=True)
        assert transactions.add(ClusterTime(2, number), part) is None
