"""Compaction of the archive, over a store that may fail or lie."""

import pytest

from agent.core import log
from agent.core.errors import LeaseLost, PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.jobs.archive.compaction import Compacted, CompactionPorts, Compactor
from agent.jobs.archive.ports import Tenure
from agent.model.compaction import is_covered
from agent.model.coverage import spans
from tests.fakes import archive
from tests.fakes.archive import IDENTITY, key_of, listed, moment, numbers_in, ranges
from tests.fakes.control import MemoryEvents
from tests.fakes.store import MemoryStore, denied, fail_at, fail_from, unreachable

LATE = moment(100)
SMALL = [(-1, 0), (0, 1), (1, 2), (2, 4), (4, 5), (5, 7), (7, 9), (9, 11), (11, 20)]
LARGE = [(-1, 5), (5, 11), (11, 20)]


class Yard:
    """A store with an archive, and the compactor of one agent."""

    def __init__(self, small: list[tuple[int, int]] = SMALL) -> None:
        self.store = MemoryStore()
        for begin, last in small:
            archive.archive(self.store, begin, last)
        self.store.calls.clear()
        self.events = MemoryEvents()
        self.stop = Stop()
        self.holds = 0
        self.compactor = self.another()

    def another(self) -> Compactor:
        """Return the compactor of an agent that has just begun."""
        return Compactor(
            CompactionPorts(
                identity=IDENTITY, store=self.store, events=self.events, level=1, log=log.get()
            )
        )

    def go(self, compactor: Compactor | None = None) -> Compacted:
        """Make a pass."""
        tenure = Tenure(stop=self.stop, held=self._held)
        return (compactor or self.compactor).run(LATE, tenure)

    def _held(self) -> None:
        self.holds += 1

    def changes(self) -> list[str]:
        """Return the methods of all calls that changed something."""
        return [method for method, _ in self.store.calls if method in {"put", "delete"}]


def contents(store: MemoryStore) -> list[int]:
    """Return the numbers of all entries, segment by segment."""
    in_order = sorted(listed(store), key=lambda each: each.begin)
    return [number for each in in_order for number in numbers_in(store, each)]


def test_a_pass_joins_and_a_later_one_removes() -> None:
    """In between both are there; at the end each entry is there once."""
    yard = Yard()
    assert Compacted(joined=2, removed=0) == yard.go()
    assert sorted({*SMALL, *LARGE}) == ranges(yard.store)
    assert Compacted(joined=0, removed=8) == yard.go()
    assert sorted(LARGE) == ranges(yard.store)
    assert list(range(21)) == contents(yard.store)
    assert Compacted(joined=0, removed=0) == yard.go()


def test_a_compacted_archive_is_only_listed() -> None:
    """Hours that are done cost nothing any more."""
    yard = Yard()
    yard.go()
    yard.go()
    yard.store.calls.clear()
    yard.go()
    assert ["list"] == [method for method, _ in yard.store.calls]


def test_overlapping_segments_are_joined_without_doubles() -> None:
    """Two archivers stored the same entries."""
    yard = Yard([(-1, 2), (1, 3), (0, 4), (4, 5), (5, 20)])
    yard.go()
    yard.go()
    assert [(-1, 5), (5, 20)] == ranges(yard.store)
    assert list(range(21)) == contents(yard.store)


def test_the_lease_is_proved_before_every_change() -> None:
    """Once for each put and each request to delete."""
    yard = Yard()
    yard.go()
    assert 2 == yard.holds
    yard.go()
    assert 4 == yard.holds


def test_killed_at_any_call_it_loses_nothing() -> None:
    """What was covered stays covered, and the passes of the next agent end the same."""
    whole = spans(listed(Yard().store))
    number = 0
    killed = True
    while killed:
        number += 1
        yard = Yard()
        yard.store.fault = fail_from(number)
        killed = False
        for _ in range(2):
            try:
                yard.go()
            except TransientError:
                killed = True
        yard.store.fault = None
        assert whole == spans(listed(yard.store))
        for _ in range(3):
            yard.go(yard.another())
        assert sorted(LARGE) == ranges(yard.store)
        assert list(range(21)) == contents(yard.store)
    # Two listings; eight parts and two joined ones read, those twice; ten changes.
    assert number > 20


def test_a_put_whose_answer_was_lost_did_no_harm() -> None:
    """The object is there all the same, and is read before anything goes because of it."""
    yard = Yard()
    yard.store.lose_answer_of = lambda key: key in {key_of(*each) for each in LARGE}
    for _ in range(2):
        with pytest.raises(TransientError):
            yard.go()
    yard.go()
    assert sorted(LARGE) == ranges(yard.store)
    assert list(range(21)) == contents(yard.store)


def test_a_single_failure_ends_a_pass_and_the_next_one_goes_on() -> None:
    """A storage that does not answer, or refuses, is for the caller to wait for."""
    for error in (unreachable(), denied()):
        yard = Yard()
        yard.store.fault = fail_at(5, error)
        with pytest.raises(type(error)):
            yard.go()
        yard.go()
        yard.go()
        assert sorted(LARGE) == ranges(yard.store)


def test_without_the_lease_nothing_changes() -> None:
    """Another agent may be compacting."""

    def lost() -> None:
        raise LeaseLost("archiver")

    yard = Yard()
    with pytest.raises(LeaseLost):
        yard.compactor.run(LATE, Tenure(stop=yard.stop, held=lost))
    assert [] == yard.changes()
    yard.go()
    yard.store.calls.clear()
    with pytest.raises(LeaseLost):
        yard.compactor.run(LATE, Tenure(stop=yard.stop, held=lost))
    assert [] == yard.changes()


def test_it_can_be_stopped() -> None:
    """An agent that ends does not wait for it."""
    yard = Yard()
    yard.stop.set("the agent stops")
    with pytest.raises(Stopped):
        yard.go()
    assert [] == yard.changes()


def test_two_at_once_do_no_harm() -> None:
    """One whose lease was lost without notice makes its pass in the middle of the other's."""
    yard = Yard()
    second = yard.another()
    interrupted = 0

    def meanwhile(_call: int, method: str, _key: str) -> None:
        nonlocal interrupted
        if method in {"put", "delete"} and not interrupted:
            interrupted += 1
            yard.go(second)
            yard.go(second)

    yard.store.fault = meanwhile
    yard.go()
    yard.store.fault = None
    yard.go()
    assert 1 == interrupted
    assert sorted(LARGE) == ranges(yard.store)
    assert list(range(21)) == contents(yard.store)


def test_a_segment_that_went_away_is_no_error() -> None:
    """Another agent joined it meanwhile, or a backup took it along."""
    yard = Yard()
    vanished = key_of(1, 2)

    def take_away(_call: int, method: str, key: str) -> None:
        if method == "get" and key == vanished:
            yard.store.objects.pop(vanished, None)

    yard.store.fault = take_away
    assert Compacted(joined=1, removed=0) == yard.go()
    assert [] == yard.events.written


def test_a_damaged_part_is_told_once_and_the_others_are_joined() -> None:
    """What cannot be read cannot be joined; it stays, for whoever may mend it."""
    yard = Yard([(-1, 0), (0, 1), (1, 2), (2, 3), (3, 4), (4, 20)])
    yard.store.damage(key_of(1, 2))
    for _ in range(4):
        yard.go()
    assert [(-1, 1), (1, 2), (2, 4), (4, 20)] == ranges(yard.store)
    assert ["segment_damaged"] == [event.code for event in yard.events.written]
    assert key_of(1, 2) in yard.events.written[0].message


def test_a_damaged_joined_segment_is_removed_and_made_again() -> None:
    """What it was made from is still there, and nothing of that is removed."""
    yard = Yard()
    yard.go()
    yard.store.damage(key_of(-1, 5))
    yard.go()
    assert {(-1, 0), (0, 1), (1, 2), (2, 4), (4, 5)} <= set(ranges(yard.store))
    assert ["segment_damaged"] == [event.code for event in yard.events.written]
    for _ in range(3):
        yard.go()
    assert sorted(LARGE) == ranges(yard.store)
    assert list(range(21)) == contents(yard.store)


def test_a_damaged_segment_stays_while_others_do_not_cover_it() -> None:
    """It says at least what is missing; nor is anything that it holds removed."""
    yard = Yard([(0, 4), (1, 2), (2, 3), (3, 20)])
    yard.store.damage(key_of(0, 4))
    for _ in range(4):
        yard.go()
    assert [(0, 4), (1, 3), (3, 20)] == ranges(yard.store)
    assert is_covered(listed(yard.store)[0], listed(yard.store))


def test_the_same_entries_in_other_bytes_are_taken() -> None:
    """Another agent joined them with another level of compression."""
    yard = Yard()
    entries = [b"".join(archive.entry(number) for number in range(6))]
    other = MemoryStore()
    key = archive.store_entries(other, -1, 5, entries)

    def other_first(_call: int, method: str, wanted: str) -> None:
        if method == "put" and wanted == key:
            yard.store.objects[key] = other.objects[key]

    mine = Compactor(
        CompactionPorts(
            identity=IDENTITY, store=yard.store, events=yard.events, level=19, log=log.get()
        )
    )
    yard.store.fault = other_first
    assert Compacted(joined=2, removed=0) == yard.go(mine)
    assert other.objects[key] == yard.store.objects[key]


def test_other_entries_under_the_key_are_never_taken() -> None:
    """Nothing is removed because of them."""
    yard = Yard()
    other = MemoryStore()
    key = archive.archive(other, -1, 5, term=7)

    def other_first(_call: int, method: str, wanted: str) -> None:
        if method == "put" and wanted == key:
            yard.store.objects[key] = other.objects[key]

    yard.store.fault = other_first
    for _ in range(3):
        yard.go()
    assert {(-1, 0), (0, 1), (1, 2), (2, 4), (4, 5)} <= set(ranges(yard.store))
    assert ["segment_damaged"] == [event.code for event in yard.events.written]


@pytest.mark.parametrize("begin", [2, 3])
def test_segments_of_different_histories_are_not_joined(begin: int) -> None:
    """A term that goes back, or an overlap without the entry that was reached."""
    yard = Yard([(5, 20)])
    archive.archive(yard.store, 0, 3, term=4)
    archive.archive(yard.store, begin, 5, term=3 if begin == 3 else 5)
    for _ in range(3):
        yard.go()
    assert [(0, 3), (begin, 5), (5, 20)] == ranges(yard.store)
    assert ["segment_damaged"] == [event.code for event in yard.events.written]


def test_a_segment_that_does_not_hold_what_its_key_says_is_not_joined() -> None:
    """Its last entry is another one."""
    yard = Yard([(0, 2), (4, 20)])
    archive.store_entries(yard.store, 2, 4, [archive.entry(3)])
    yard.go()
    assert [(0, 2), (2, 4), (4, 20)] == ranges(yard.store)
    (told,) = yard.events.written
    assert key_of(2, 4) in told.message


def test_what_the_storage_refuses_is_not_taken_for_damage() -> None:
    """A permission that is missing ends the pass, and nothing is told of segments."""
    yard = Yard()

    def refuse(_call: int, method: str, _key: str) -> None:
        if method == "get":
            raise denied()

    yard.store.fault = refuse
    with pytest.raises(PermanentError) as caught:
        yard.go()
    assert "storage_denied" == caught.value.code
    assert [] == yard.events.written
