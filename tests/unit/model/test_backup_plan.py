"""How a backup is cut into tasks."""

from agent.model.backup_plan import (
    MOST_MEMBERS,
    SMALL_BYTES,
    TaskOrigin,
    plan_tasks,
    range_count,
)
from agent.model.catalogue import Size
from agent.model.cluster_time import ClusterTime
from tests.fakes.catalogue import collection

ORIGIN = TaskOrigin(
    job="job", backup_id="20261121T201512Z", storage="main", read_at=ClusterTime(100, 1)
)
GIB = 1024**3


def _size(size_bytes: int) -> Size:
    return Size(docs=max(1, size_bytes // 400), bytes=size_bytes)


def test_every_collection_is_in_exactly_one_task() -> None:
    """Small ones, views and empty ones too: the tasks are the catalogue of the backup."""
    everything = [collection(f"shop.c{number}") for number in range(250)]
    everything.append(collection("shop.view", kind="view"))
    tasks = plan_tasks(ORIGIN, everything, {one.uuid: _size(1000) for one in everything}, {})
    planned = [member.collection for task in tasks for member in task.members]
    assert sorted(map(str, (one.namespace for one in everything))) == sorted(
        str(one.namespace) for one in planned
    )
    assert all(len(task.members) <= MOST_MEMBERS for task in tasks)


def test_ranges_join_without_a_hole() -> None:
    """Each range begins where the one before it ends; the outer ends are open."""
    big = collection("shop.big")
    bounds = [b"a", b"b", b"c"]
    tasks = plan_tasks(ORIGIN, [big], {big.uuid: _size(GIB)}, {big.uuid: bounds})
    ranges = [member.range for task in tasks for member in task.members]
    edges = sorted((one.lower or b"", one.upper or b"~") for one in ranges if one is not None)
    assert [(b"", b"a"), (b"a", b"b"), (b"b", b"c"), (b"c", b"~")] == edges


def test_largest_tasks_come_first_and_capped_before_all() -> None:
    """Capped collections are read at a time of their own, which should be soon."""
    small, large = collection("shop.small"), collection("shop.large")
    capped = collection("shop.capped", capped=True)
    sizes = {small.uuid: _size(10), large.uuid: _size(SMALL_BYTES * 3), capped.uuid: _size(5)}
    tasks = plan_tasks(ORIGIN, [small, large, capped], sizes, {})
    names = [str(task.members[0].collection.namespace) for task in tasks]
    assert ["shop.capped", "shop.large", "shop.small"] == names
    assert [0, 1, 2] == [task.number for task in tasks]


def test_capped_and_small_collections_are_not_cut() -> None:
    """A capped collection must be read in its own order, a small one is not worth it."""
    assert range_count(collection("a.b", capped=True), _size(10 * GIB)) == 1
    assert range_count(collection("a.b"), _size(SMALL_BYTES)) == 1
    assert range_count(collection("a.b"), _size(10 * GIB)) > 8
    assert range_count(collection("a.b"), Size(docs=2, bytes=10 * GIB)) == 2
