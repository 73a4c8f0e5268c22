"""The archived oplog as a stream: nothing is left out, nothing damaged is handed over."""

from collections.abc import Callable, Iterable
from contextlib import closing, suppress

import bson
import pytest
from bson.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from agent.codec import framing
from agent.codec.oplog_clock import written
from agent.codec.zstd import ChunkCompressor, sha256
from agent.core.errors import PermanentError, Stopped, TransientError
from agent.core.flow import Stop
from agent.jobs.restore.feed import Archive
from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.coverage import chain
from agent.model.manifest import Segment
from agent.model.restore_plan import Stretch
from tests.fakes.store import MemoryStore, unreachable

REPLSET, REPLSET_ID = "rs0", "0123456789abcdef01234567"


def at(second: int) -> ClusterTime:
    """Return the time of the one entry of a second."""
    return ClusterTime(1000 + second, 1)


def body_of(begin: int, last: int) -> bytes:
    """Return a segment with one entry for each second after ``begin``, to ``last``."""
    compressor = ChunkCompressor(1)
    for second in range(begin + 1, last + 1):
        entry = {"op": "n", "ts": Timestamp(1000 + second, 1), "t": 1, "o": {"pad": "x" * 50}}
        compressor.add(bson.encode({**entry, "wall": bson.datetime_ms.DatetimeMS(second)}), 1)
    return bytes(compressor.finish().body)


def put(store: MemoryStore, *ranges: tuple[int, int]) -> None:
    """Store segments after a second, to another one."""
    for begin, last in ranges:
        store.put(key_of(begin, last), body_of(begin, last))


def key_of(begin: int, last: int) -> str:
    """Return the key of a segment."""
    return keys.segment(REPLSET, REPLSET_ID, at(begin), at(last))


def archive(store: MemoryStore) -> Archive:
    """Return the archive in a store."""
    return Archive(store=store, replset=REPLSET, replset_id=REPLSET_ID)


def stretch(store: MemoryStore, begin: int, last: int) -> Stretch:
    """Plan to read a stretch by what is there now."""
    found = chain(archive(store).listed(), at(begin), at(last))
    return Stretch(begin=at(begin), last=at(last), segments=found)


def seconds_of(store: MemoryStore, wanted: Stretch, stop: Stop | None = None) -> list[int]:
    """Read a stretch, and return the seconds of its entries."""
    with closing(archive(store).feed(wanted, stop or Stop())) as feed:
        return [
            written(bytes(entry))[0].seconds - 1000
            for fetched in feed
            for part in fetched.parts()
            for entry in framing.documents(part)
        ]


def once(key: str, act: Callable[[], None]) -> Callable[[int, str, str], None]:
    """Do something just before an object is fetched for the first time."""
    done: list[int] = []

    def fault(_call: int, method: str, wanted: str) -> None:
        if method == "get" and wanted == key and not done:
            done.append(1)
            act()

    return fault


def remove(store: MemoryStore, *ranges: tuple[int, int]) -> None:
    """Take segments away."""
    for each in ranges:
        del store.objects[key_of(*each)]


THREE = ((0, 3), (3, 6), (6, 9))


def test_segments_come_in_order_and_whole() -> None:
    """Each entry once where segments do not overlap."""
    store = MemoryStore()
    put(store, *THREE)
    assert list(range(1, 10)) == seconds_of(store, stretch(store, 0, 9))


@pytest.mark.parametrize("moment", THREE)
def test_joined_segments_take_the_place_of_small_ones(moment: tuple[int, int]) -> None:
    """Whenever a compaction comes, all entries from the plan's first one are read."""
    store = MemoryStore()
    put(store, *THREE)
    wanted = stretch(store, 0, 9)

    def compact() -> None:
        put(store, (0, 9))
        remove(store, *THREE)

    store.fault = once(key_of(*moment), compact)
    found = seconds_of(store, wanted)
    assert list(range(1, 10)) == sorted(set(found))


@pytest.mark.parametrize("moment", THREE)
def test_joined_segments_are_found_before_the_feed_begins(moment: tuple[int, int]) -> None:
    """So that what is missing is told before hours of loading, and not after them."""
    store = MemoryStore()
    put(store, *THREE)
    wanted = stretch(store, 0, 9)
    assert wanted == archive(store).renewed(wanted)
    put(store, (0, 9))
    remove(store, moment)
    renewed = archive(store).renewed(wanted)
    assert list(range(1, 10)) == sorted(set(seconds_of(store, renewed)))
    remove(store, (0, 9))
    with pytest.raises(PermanentError) as caught:
        archive(store).renewed(wanted)
    assert ("object_missing", key_of(*moment)) == (
        caught.value.code,
        caught.value.facts["key"],
    )


def cut(store: MemoryStore, key: str) -> None:
    """Take the end of an object away."""
    store.objects[key] = store.objects[key][:-1]


def empty(store: MemoryStore, key: str) -> None:
    """Leave nothing of an object."""
    store.objects[key] = b""


def swap(store: MemoryStore, key: str) -> None:
    """Put another segment's entries into an object."""
    store.objects[key] = body_of(0, 2)


def lose(store: MemoryStore, key: str) -> None:
    """Take an object away."""
    del store.objects[key]


HARMS = [MemoryStore.damage, cut, empty, swap, lose]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_harmed_segment_ends_the_feed_with_its_key_and_the_time_before(
    harm: Callable[[MemoryStore, str], None],
) -> None:
    """Nothing of it is handed over, and everything before it is."""
    store = MemoryStore()
    put(store, *THREE)
    wanted = stretch(store, 0, 9)
    harm(store, key_of(3, 6))
    found: list[ClusterTime] = []
    with (
        pytest.raises(PermanentError) as caught,
        closing(archive(store).feed(wanted, Stop())) as feed,
    ):
        found += [each.segment.last for each in feed]
    error = caught.value
    assert error.code == ("object_missing" if harm is lose else "damaged_object")
    assert (key_of(3, 6), str(at(3))) == (error.facts["key"], error.facts["reached"])
    assert key_of(3, 6) in error.message
    assert "Timestamp(1003, 1)" in error.hint


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_harmed_segment_is_gone_around_where_others_hold_the_same(
    harm: Callable[[MemoryStore, str], None],
) -> None:
    """Two archivers, or the window of a backup, may have stored the same entries twice."""
    store = MemoryStore()
    put(store, *THREE, (2, 5), (5, 8))
    wanted = stretch(store, 0, 9)
    harm(store, key_of(3, 6))
    assert list(range(1, 10)) == sorted(set(seconds_of(store, wanted)))


def test_what_a_manifest_seals_must_have_its_digest() -> None:
    """A segment of a backup's own window is compared with the manifest, not only with itself."""
    store = MemoryStore()
    put(store, (0, 3))
    body = store.objects[key_of(0, 3)]
    sealed = Segment(
        key=key_of(0, 3),
        begin=at(0),
        last=at(3),
        entries=3,
        bytes=1,
        stored_bytes=len(body),
        sha256=sha256(b"another body"),
    )
    strict = Archive(
        store=store, replset=REPLSET, replset_id=REPLSET_ID, sealed={sealed.key: sealed}
    )
    with (
        pytest.raises(PermanentError) as caught,
        closing(strict.feed(stretch(store, 0, 3), Stop())) as feed,
    ):
        list(feed)
    assert "damaged_object" == caught.value.code


def test_no_more_than_one_segment_is_fetched_ahead() -> None:
    """Memory holds the one in use and the next one."""
    store = MemoryStore()
    put(store, *((n, n + 1) for n in range(10)))
    wanted = stretch(store, 0, 10)
    store.calls.clear()
    with closing(archive(store).feed(wanted, Stop())) as feed:
        for number, _ in enumerate(feed, 1):
            assert len([1 for method, _ in store.calls if method == "get"]) <= number + 1


def test_a_feed_ends_when_it_is_told_to() -> None:
    """Also while it waits for the storage's next object."""
    store = MemoryStore()
    put(store, *THREE)
    stop = Stop()
    store.fault = once(key_of(3, 6), lambda: stop.set("canceled"))
    with pytest.raises(Stopped):
        seconds_of(store, stretch(store, 0, 9), stop)


def test_a_storage_that_stays_away_is_not_taken_for_damage() -> None:
    """Its error passes through as it is."""
    store = MemoryStore()
    put(store, *THREE)
    wanted = stretch(store, 0, 9)

    def fault(_call: int, method: str, _key: str) -> None:
        if method == "get":
            raise unreachable()

    store.fault = fault
    with pytest.raises(TransientError):
        seconds_of(store, wanted)


ranges = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), min_size=1, max_size=15)


@given(ranges, st.data())
def test_whatever_is_covered_is_read_whole(
    segments: Iterable[tuple[int, int]], data: st.DataObject
) -> None:
    """However segments overlap, and whichever of them vanish where others hold the same."""
    store = MemoryStore()
    for begin, length in segments:
        put(store, (begin, begin + length))
    begin = data.draw(st.integers(0, 39))
    last = data.draw(st.integers(begin + 1, 41))
    with suppress(PermanentError):
        wanted = stretch(store, begin, last)
        gone = data.draw(st.sampled_from(sorted(store.objects)))
        del store.objects[gone]
        found = seconds_of(store, wanted)
        assert set(range(begin + 1, last + 1)) <= set(found)
        return
    with pytest.raises(PermanentError):
        stretch(store, begin, last)
