"""Prune and compaction remove segments at the same time, each step between any of the other's."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import log
from agent.core.flow import Stop
from agent.jobs.archive.compaction import CompactionPorts, Compactor
from agent.jobs.archive.ports import Tenure
from agent.model.coverage import spans
from tests.fakes import archive
from tests.fakes.archive import IDENTITY, listed, moment, numbers_in, time
from tests.fakes.control import MemoryEvents
from tests.fakes.pruning import Cellar, MemoryRules

SMALL = [(-1, 0), (0, 1), (1, 2), (2, 4), (4, 5), (5, 7), (7, 9), (9, 11), (11, 14), (14, 20)]
RULES = {"_id": "last", "retention": {"keep_last": 1}}


@dataclass
class Turns:
    """Lets one of two threads make one call at a time, in an order that was drawn."""

    order: list[str]
    ended: set[str] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self) -> None:
        """Wait for the turn of this thread."""
        name = threading.current_thread().name
        with self.changed:
            assert self.changed.wait_for(lambda: self._is_next(name), 30)
            if self.order:
                self.order.pop(0)
            self.changed.notify_all()

    def _is_next(self, name: str) -> bool:
        while self.order and self.order[0] in self.ended:
            self.order.pop(0)
        return not self.order or self.order[0] == name

    def end(self) -> None:
        """Say that this thread takes no turn any more."""
        with self.changed:
            self.ended.add(threading.current_thread().name)
            self.changed.notify_all()


def cellar(kept: int) -> Cellar:
    """Return an archive of hours, and a backup that stays and needs what comes after an entry."""
    made = Cellar(days=0, rules=MemoryRules(RULES))
    for begin, last in SMALL:
        archive.archive(made.store, begin, last)
    made.archived_backup(-1)
    made.archived_backup(kept)
    made.now = moment(100)
    return made


def compactor(of: Cellar) -> Callable[[], object]:
    """Return a pass of the agent that archives."""
    ports = CompactionPorts(
        identity=IDENTITY, store=of.store, events=MemoryEvents(), level=1, log=log.get()
    )
    made = Compactor(ports)
    tenure = Tenure(stop=Stop(), held=lambda: None)
    return lambda: made.run(moment(100), tenure)


def together(order: Sequence[str], of: Cellar, works: dict[str, Callable[[], object]]) -> None:
    """Run works at the same time; raise what any of them raises."""
    turns = Turns(list(order))
    of.store.fault = lambda _call, _method, _key: turns.wait()
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's thread
            failures.append(error)
        finally:
            turns.end()

    threads = [
        threading.Thread(target=run, args=(work,), name=name) for name, work in works.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    of.store.fault = None
    for failure in failures:
        raise failure


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([0, 4, 5, 11, 12, 14, 20]),
    st.integers(0, 2),
    st.lists(st.sampled_from(["prune", "compaction", "compaction"]), max_size=120),
)
def test_whatever_comes_first_nothing_that_is_needed_goes_and_no_hole_is_made(
    kept: int, passes: int, order: list[str]
) -> None:
    """What stays is one stretch, to the end, with every entry after the backup that stays."""
    at = cellar(kept)
    compact = compactor(at)
    for _ in range(passes):
        compact()
    together(order, at, {"prune": at.run, "compaction": compact})
    covered = spans(listed(at.store))
    assert len(covered) <= 1
    if kept < 20:
        (span,) = covered
        assert span.begin <= time(kept)
        assert span.last == time(20)
    held = {number for each in listed(at.store) for number in numbers_in(at.store, each)}
    assert set(range(kept + 1, 21)) <= held
    # What else came back goes with the next prune, and the passes end as ever.
    at.run()
    compact()
    compact()
    assert all(each.last > time(kept) for each in listed(at.store))
    assert len(spans(listed(at.store))) <= 1
