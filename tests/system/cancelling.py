"""A cancel that meets its target in each state, while whoever coordinates dies."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.core.crash import Point
from tests.system.crashing import Stage, check_tidy
from tests.system.exactness import shop
from tests.system.faults import slow_reads
from tests.system.protected import error_of
from tests.system.torture import held
from tests.testbed.clients import Document
from tests.testbed.hashes import differences
from tests.testbed.waiting import eventually

Dies = tuple[Point, int]

# Some seconds of reading, where reads are slow.
_DOCUMENTS: Final = 3000


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A command to cancel; ``unharmed`` sees that it did nothing, ``whole`` that it did all."""

    order: object
    unharmed: Callable[[], None]
    whole: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Where the first agent dies before the cancel is inserted, and where after that.

    Without the first death both commands are there before anybody looks.
    """

    begin: Callable[[Stage], Target]
    first: Dies | None = None
    then: Dies | None = None
    is_late: bool = False


def race(on: Stage, name: str) -> None:
    """Cancel, die, go on, and see that target and cancel say what is true. Raises: AssertionError.

    What is cancelled has left nothing; what is not has come to its end.
    """
    found = RACES[name]
    nodes = on.cluster.replica_set.nodes
    on.serial += 1
    with slow_reads(nodes, "shop.cancelled", 300):
        try:
            on.stand_still()
            target = found.begin(on)
            if found.first is not None:
                on.die(*found.first)
            cancel = on.cluster.order("cancel", target=target.order)
            if found.then is not None:
                on.die(*found.then)
        finally:
            on.go_on()
        ends = on.cluster.end_of(target.order), on.cluster.end_of(cancel)
    _agree(*ends, is_late=found.is_late)
    if found.first is None:
        assert "started_at" not in ends[0], "it has never begun"
    (target.whole if found.is_late else target.unharmed)()
    on.cluster.check_clean()
    check_tidy(on)


def _agree(target: Document, cancel: Document, *, is_late: bool) -> None:
    if is_late:
        assert "done" == target["state"], target
        code, _, _ = error_of(cancel, cancel["state"])
        assert "too_late_to_cancel" == code
        return
    assert ("canceled", "done") == (target["state"], cancel["state"]), (target, cancel)


def _backup(on: Stage) -> Target:
    documents = on.client["shop"]["cancelled"]
    if documents.estimated_document_count() == 0:
        documents.insert_many([{"_id": n} for n in range(_DOCUMENTS)])
    known = list(on.control["backups"].find())

    def unharmed() -> None:
        assert known == list(on.control["backups"].find())

    order = on.cluster.order("backup", namespaces=["shop.cancelled"])
    return Target(order=order, unharmed=unharmed, whole=unharmed)


def _restore(on: Stage) -> Target:
    database = on.client["shop"]
    database["orders"].update_many({}, {"$set": {"n": on.serial}})
    database["extra"].insert_one({"_id": on.serial})
    harmed = shop(on.cluster)

    def unharmed() -> None:
        assert [] == differences(harmed, shop(on.cluster))

    def whole() -> None:
        assert [] == differences(on.expected, held(on.client))

    order = on.cluster.order("restore", to=on.at, overwrite=True)
    return Target(order=order, unharmed=unharmed, whole=whole)


def _delete(on: Stage) -> Target:
    on.go_on()
    backup = on.cluster.done("backup", namespaces=["shop.items"])["backup"]
    on.stand_still()

    def is_gone() -> bool:
        left = [key for key in on.cluster.storage.list() if f"/{backup}/" in key]
        return not left and on.control["backups"].find_one({"backup": backup}) is None

    def whole() -> None:
        eventually(is_gone, 20, message="the whole backup is gone")

    order = on.cluster.order("delete", backup=backup)
    return Target(order=order, unharmed=whole, whole=whole)


RACES: Final = {
    "together": Race(begin=_restore),
    "together, then taken": Race(begin=_restore, then=(Point.COMMAND_RUNNING, 1)),
    "backup, then seen": Race(
        begin=_backup, first=(Point.BACKUP_BEGUN, 1), then=(Point.COMMAND_ACCEPTED, 1)
    ),
    "backup, then taken": Race(
        begin=_backup, first=(Point.BACKUP_BEGUN, 1), then=(Point.COMMAND_RUNNING, 1)
    ),
    "backup, then tasks gone": Race(
        begin=_backup, first=(Point.TASK_RECORDED, 1), then=(Point.BACKUP_TASKS_GONE, 1)
    ),
    "backup, then cleaning": Race(
        begin=_backup, first=(Point.BACKUP_BEGUN, 1), then=(Point.BACKUP_CLEANING, 1)
    ),
    "backup, then canceled": Race(
        begin=_backup, first=(Point.BACKUP_BEGUN, 1), then=(Point.COMMAND_ENDED, 1)
    ),
    "backup, then both": Race(
        begin=_backup, first=(Point.BACKUP_BEGUN, 1), then=(Point.COMMAND_ENDED, 2)
    ),
    "restore loads": Race(begin=_restore, first=(Point.RESTORE_LOADED, 2)),
    "restore loads, then cleaning": Race(
        begin=_restore, first=(Point.RESTORE_LOADED, 2), then=(Point.RESTORE_CLEANING, 1)
    ),
    "restore switches": Race(begin=_restore, first=(Point.SWITCH_RENAMED, 2), is_late=True),
    "restore switches, then again": Race(
        begin=_restore,
        first=(Point.SWITCH_RENAMED, 1),
        then=(Point.SWITCH_ALL_RENAMED, 1),
        is_late=True,
    ),
    "delete": Race(begin=_delete, first=(Point.DELETE_MANIFEST_GONE, 1), is_late=True),
}
"""By name: the target, and after the comma what the second death follows."""
