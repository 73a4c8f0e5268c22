"""Compaction of an archive on a real S3 server."""

from collections.abc import Callable

import pytest

from agent.aws.session import Access
from agent.core import log
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.jobs.archive.compaction import Compacted, CompactionPorts, Compactor
from agent.jobs.archive.ports import Tenure
from agent.model.coverage import chain, spans
from agent.ports import ObjectStore
from agent.storage.s3 import S3Store
from tests.contract.test_object_store import s3_settings
from tests.fakes import archive
from tests.fakes.archive import IDENTITY, listed, moment, numbers_in, ranges, time
from tests.fakes.control import MemoryEvents
from tests.testbed.s3 import Bucket

LAST = 60
LATE = moment(LAST + 100)


@pytest.fixture
def store(bucket: Bucket) -> ObjectStore:
    """A prefix of the test's own, with an archive of ten hours in small segments."""
    settings = s3_settings(bucket)
    store = S3Store(settings, lambda: Access(settings, {}).connect())
    for number in range(-1, LAST):
        archive.archive(store, number, number + 1)
    # What a second archiver stored while its lease was lost: each holds three small ones.
    for number in range(0, LAST - 3, 7):
        archive.archive(store, number, number + 3)
    return store


def compactor(store: ObjectStore, events: MemoryEvents, *, level: int = 1) -> Compactor:
    """Return the compactor of an agent."""
    return Compactor(
        CompactionPorts(identity=IDENTITY, store=store, events=events, level=level, log=log.get())
    )


def tenure(held: Callable[[], None] = lambda: None) -> Tenure:
    """Return a lease that ends as ``held`` says."""
    return Tenure(stop=Stop(), held=held)


def test_an_archive_is_compacted(store: ObjectStore) -> None:
    """One segment an hour is left, and a restore still reads every entry once."""
    events = MemoryEvents()
    before = spans(listed(store))
    way = chain(listed(store), time(-1), time(LAST))
    first = compactor(store, events).run(LATE, tenure())
    assert Compacted(joined=10, removed=27) == first
    assert before == spans(listed(store))
    then = compactor(store, events).run(LATE, tenure())
    assert then.joined == 0
    assert Compacted(joined=0, removed=0) == compactor(store, events).run(LATE, tenure())
    assert 11 == len(ranges(store))
    assert before == spans(listed(store))
    with pytest.raises(PermanentError) as caught:
        numbers_in(store, way[0])
    assert "object_missing" == caught.value.code
    read: list[int] = []
    for each in chain(listed(store), time(-1), time(LAST)):
        read += [number for number in numbers_in(store, each) if number > (read or [-1])[-1]]
    assert list(range(LAST + 1)) == read
    assert [] == events.written


def test_an_agent_that_dies_at_any_change_is_followed_by_another(store: ObjectStore) -> None:
    """Coverage is whole after each change, and the end is the same."""
    before = spans(listed(store))
    while True:
        left = 1

        def dies_later() -> None:
            nonlocal left
            if left == 0:
                raise TransientError("storage_unreachable", "the agent dies here")
            left -= 1

        try:
            done = compactor(store, MemoryEvents()).run(LATE, tenure(dies_later))
        except TransientError:
            assert before == spans(listed(store))
            continue
        if done == Compacted(joined=0, removed=0):
            break
    assert before == spans(listed(store))
    assert 11 == len(ranges(store))


def test_two_agents_with_other_compression_agree(store: ObjectStore) -> None:
    """The server keeps the first object; the second agent finds the same entries in it."""
    events = MemoryEvents()
    stored: dict[str, Compacted] = {}

    def another_first() -> None:
        if not stored:
            stored.update({"done": compactor(store, events, level=19).run(LATE, tenure())})

    assert 10 == compactor(store, events).run(LATE, tenure(another_first)).joined
    assert stored["done"].joined == 10
    assert [] == events.written
