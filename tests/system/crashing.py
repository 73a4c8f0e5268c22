"""An agent that dies at a named point, and another one that goes on where it died."""

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from bson.code import Code
from bson.timestamp import Timestamp

from agent.core.crash import CRASH_VARIABLE, Point
from agent.model import keys
from agent.model.cluster_time import ClusterTime
from agent.model.schedules import Run
from tests.system.exactness import restore_and_compare, shop
from tests.system.observed import of_users
from tests.system.protected import END_STATES, QUICK, Protected, result_of
from tests.system.storages import Storage, manifest_keys
from tests.system.torture import held, users
from tests.system.writer import seed_documents
from tests.testbed.agents import Agent, Agents, AgentSpec
from tests.testbed.clients import Client, Document
from tests.testbed.hashes import differences
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

_LONG_AGO: Final = datetime(1970, 1, 2, tzinfo=UTC)
_SETTINGS: Final = {
    **QUICK,
    "oplog": {"upload_interval_s": 0.5},
    "backup": {"use_primary": "always"},
}
_YEARLY: Final = "0 0 1 1 *"
_COUNT: Final = 300


class Stage:
    """Two agents: one that is to die, and one that lives on and stands still meanwhile."""

    def __init__(self, cluster: Protected, mortal: Agent, survivor: Agent) -> None:
        self.cluster = cluster
        self.client = cluster.client
        self.control = cluster.control
        self._mortal = mortal
        self._survivor = survivor
        self._plain = mortal.spec
        self.serial = 0
        _prepare(self.client)
        self.base = str(cluster.done("backup", keep=True)["backup"])
        self.client["shop"]["orders"].update_many({"_id": {"$lt": 50}}, {"$set": {"after": 1}})
        self.client["shop"]["log"].insert_many([{"_id": f"late {n}"} for n in range(50)])
        self.at = self.mark()
        self.expected = held(self.client)
        self.users = users(self.client)
        self.wait_for_archive(self.at)

    def mark(self) -> Timestamp:
        """Write something, and return its cluster time."""
        with self.client.start_session() as session:
            marks = self.client["shop"]["marks"]
            marks.update_one({"_id": 1}, {"$set": {"n": 1}}, upsert=True, session=session)
            marks.update_one({"_id": 1}, {"$unset": {"n": 1}}, session=session)
            assert session.operation_time is not None
            return session.operation_time

    def wait_for_archive(self, at: Timestamp) -> None:
        """Wait until everything up to a time is in the archive."""
        wanted = ClusterTime(at.time, at.inc)

        def is_archived() -> bool:
            found = (keys.parse_segment(key) for key in self.cluster.storage.list())
            return any(each[3] >= wanted for each in found if each is not None)

        eventually(is_archived, 60, message="it is archived")

    def stand_still(self) -> None:
        """Let nobody act any more, and everything lapse that anybody held."""
        self._survivor.send(signal.SIGSTOP)
        self._lapse()

    def die(self, point: Point, nth: int = 1) -> None:
        """Start the agent that is to die at a point, and see it die there."""
        arms = {CRASH_VARIABLE: f"{point}:{nth}"}
        self._mortal.spec = replace(self._plain, environment=arms)
        self._mortal.restart()
        status = self._mortal.wait(90)
        log = self._mortal.logs()
        last = [line for line in log if line["event"] == "crash point reached"][-1:]
        assert -signal.SIGKILL == status, self._mortal.text()[-3000:]
        assert [point.value] == [line["point"] for line in last]
        self._lapse()

    def go_on(self) -> None:
        """Let the other agent act again."""
        self._survivor.send(signal.SIGCONT)

    def _lapse(self) -> None:
        """Let the time pass that it takes until a dead agent's rights end."""
        past = {"$set": {"renewed_at": _LONG_AGO}}
        self.control["leases"].update_many({}, past)
        self.control["tasks"].update_many({"state": "running"}, past)
        dead = {"_id": f"agent:{self._plain.node.address}"}
        self.control["status"].update_one(dead, {"$set": {"updated_at": _LONG_AGO}})


def _prepare(client: Client) -> None:
    seed_documents(client, _COUNT)
    database = client["shop"]
    database["tail"].insert_many([{"_id": n} for n in range(20)])
    database.create_collection("seen", viewOn="orders", pipeline=[{"$match": {"n": 0}}])
    database.create_collection("readings", timeseries={"timeField": "t"}, expireAfterSeconds=10**9)
    now = _now(client)
    database["readings"].insert_many([{"t": now + timedelta(seconds=n), "v": n} for n in range(20)])
    database["system.js"].insert_one({"_id": "one", "value": Code("function() { return 1 }")})
    database.command("createUser", "reader", pwd="secret-of-a-test", roles=["read"])


@contextmanager
def stage(replica_set: ReplicaSet, storage: Storage) -> Iterator[Stage]:
    """Put two agents beside the nodes of a replica set of two."""
    primary, secondary = replica_set.primary(), replica_set.secondaries()[0]
    specs = [
        AgentSpec(node=node, storage=storage.settings, settings=_SETTINGS)
        for node in (primary, secondary)
    ]
    mortal, survivor = (Agent(spec) for spec in specs)
    with Agents(replica_set, [mortal, survivor]) as agents:
        survivor.restart()
        yield Stage(Protected(replica_set, agents, storage), mortal, survivor)


def _now(client: Client) -> datetime:
    found: datetime = client.admin.command("hello")["localTime"]
    return found.replace(tzinfo=UTC)


# ------------------------------------------------------------------ what is going on

Check = Callable[[Document], None]
"""Looks at the command that has ended, and at everything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """A command by its `_id`, if there is one, and what is true after it, and after the death.

    What happens between the first death and the one at a point is up to ``between``.
    """

    order: object
    check: Check
    between: Callable[[Point], None] = lambda _point: None
    meanwhile: Callable[[Point], None] = lambda _point: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What passes a point; ``first`` is a death that must come before that one."""

    begin: Callable[[Stage], Act]
    first: Point | None = None
    nth: int = 1


def play(on: Stage, point: Point) -> None:
    """Die at a point, go on, and see that the promise holds. Raises: AssertionError."""
    scene = SCENES[point]
    on.serial += 1
    act = scene.begin(on)
    order = act.order
    try:
        if scene.first is not None:
            on.die(scene.first)
            act.between(point)
        on.die(point, scene.nth)
        _is_told(on, order, point)
        act.meanwhile(point)
    finally:
        on.go_on()
    document = on.cluster.end_of(order) if order is not None else {}
    act.check(document)
    on.cluster.check_clean()
    check_tidy(on)


def _is_told(on: Stage, order: object, point: Point) -> None:
    """What is not ended says so: nobody takes half of something for the whole."""
    if order is None or point in _AFTER_THE_END:
        return
    found = on.control["commands"].find_one({"_id": order})
    if found is None:
        assert point is Point.SCHEDULE_DUE
    else:
        assert found.get("state") not in END_STATES


def check_tidy(on: Stage) -> None:
    """Wait until the storage has the archive, and what manifests name or verify wrote, alone."""
    storage = on.cluster.storage

    def is_tidy() -> bool:
        manifests = manifest_keys(storage)
        named = "".join(storage.read(key).decode() for key in manifests)
        kept = {key.rpartition("/")[0] for key in manifests}
        for key in storage.list():
            if key in manifests or key in named or "/oplog/" in key:
                continue
            root, _, rest = key.partition("/verified/")
            assert rest, f"{key} is left"
            assert root in kept, f"{key} is left"
        return True

    eventually(is_tidy, 30, message="every object is named")


def _backup(on: Stage) -> Act:
    on.client["shop"]["rounds"].insert_one({"_id": on.serial})
    before = shop(on.cluster)
    known = {each["backup"] for each in on.control["backups"].find()}
    on.stand_still()

    def check(document: Document) -> None:
        made = result_of(document)["backup"]
        listed = {each["backup"] for each in on.control["backups"].find()}
        assert {made} == listed - known
        assert any(f"/{made}/" in key for key in manifest_keys(on.cluster.storage))
        restore_and_compare(on.cluster, made, before)

    return Act(order=on.cluster.order("backup", namespaces=["shop.*"]), check=check)


def _restore(on: Stage) -> Act:
    database = on.client["shop"]
    database["orders"].update_many({}, {"$set": {"n": on.serial}})
    database["items"].drop()
    database["extra"].insert_one({"_id": on.serial})
    database["another"].insert_one({"_id": on.serial})
    harmed = shop(on.cluster)
    on.stand_still()

    def meanwhile(point: Point) -> None:
        if point.startswith("restore.") and point is not Point.RESTORE_CLEANING:
            assert [] == differences(harmed, shop(on.cluster)), "nothing is touched yet"
        elif point is Point.SWITCH_RENAMED:
            told = on.cluster.document(order)
            assert ("running", "switching") == (told["state"], told["progress"]["phase"])
            found = of_users(held(on.client))
            assert differences(harmed, found), "some collections are new"
            assert differences(on.expected, found), "and others are not"

    def check(document: Document) -> None:
        result = result_of(document)
        assert on.at == result["target"], "whoever ends it tells of times alike"
        assert result["restored_to"] <= on.at
        assert [] == differences(on.expected, held(on.client))
        assert on.users == users(on.client)

    order = on.cluster.order("restore", to=on.at, overwrite=True)
    return Act(order=order, check=check, meanwhile=meanwhile)


def _restore_over_a_view(on: Stage) -> Act:
    """Old views go before new ones come: only one that somebody makes meanwhile is in the way."""
    database = on.client["shop"]
    database["seen"].drop()

    def between(_point: Point) -> None:
        database["seen"].drop()
        database.create_collection("seen", viewOn="items", pipeline=[])

    return replace(_restore(on), between=between)


def _verify(on: Stage) -> Act:
    on.stand_still()

    def check(document: Document) -> None:
        assert 0 == result_of(document)["bad_objects"]
        entry = on.control["backups"].find_one({"backup": on.base}) or {}
        assert "sound" in str(entry) or "is_sound" in str(entry), entry
        found = [key for key in on.cluster.storage.list() if f"{on.base}/verified/" in key]
        assert 1 == len(found)

    return Act(order=on.cluster.order("verify", backup=on.base), check=check)


def _delete(on: Stage) -> Act:
    backup = on.cluster.done("backup", namespaces=["shop.*"])["backup"]
    on.stand_still()

    def check(document: Document) -> None:
        result_of(document)
        assert not [key for key in on.cluster.storage.list() if f"/{backup}/" in key]
        assert on.control["backups"].find_one({"backup": backup}) is None

    return Act(order=on.cluster.order("delete", backup=backup), check=check)


def _prune(on: Stage) -> Act:
    older, newest = (on.cluster.done("backup")["backup"] for _ in range(2))
    schedule = {"_id": "keep", "retention": {"keep_last": 1}}
    on.control["schedules"].insert_one(schedule)
    on.stand_still()

    def check(document: Document) -> None:
        on.control["schedules"].delete_one({"_id": "keep"})
        assert 0 == result_of(document)["left"]
        found = (keys.parse_manifest(key) for key in manifest_keys(on.cluster.storage))
        left = {each[1] for each in found if each is not None}
        assert left == {each["backup"] for each in on.control["backups"].find()}
        assert {on.base, newest} <= left
        assert older not in left

    return Act(order=on.cluster.order("prune"), check=check)


def _resync(on: Stage) -> Act:
    before = {each["backup"] for each in on.control["backups"].find()}
    on.stand_still()
    on.control["backups"].delete_many({"backup": {"$ne": on.base}})

    def check(document: Document) -> None:
        result_of(document)
        assert before == {each["backup"] for each in on.control["backups"].find()}

    return Act(order=on.cluster.order("resync"), check=check)


def _examine(on: Stage) -> Act:
    on.stand_still()

    def check(document: Document) -> None:
        # The dead agent is told of; whatever else it says, nobody is waited for any more.
        assert document["state"] in {"done", "failed"}
        assert document["result"]["rows"]

    return Act(order=on.cluster.order("check"), check=check)


def _scheduled(on: Stage) -> Act:
    name = f"yearly-{on.serial}"
    schedules = on.control["schedules"]
    options: Mapping[str, object] = {"command": "backup", "namespaces": ["shop.items"]}
    schedules.insert_one({"_id": name, "cron": _YEARLY, "command": dict(options)})
    marked = {"_id": name, "handled_to": {"$exists": True}}
    eventually(lambda: schedules.find_one(marked), 30, message="the schedule is seen")
    on.stand_still()
    year = _now(on.client).year
    schedules.update_one(
        {"_id": name}, {"$set": {"handled_to": datetime(year - 1, 7, 1, tzinfo=UTC)}}
    )

    def check(document: Document) -> None:
        result_of(document)
        runs = on.control["commands"].count_documents({"_id": {"$regex": f"^{name}@"}})
        assert 1 == runs
        mark = (schedules.find_one({"_id": name}) or {})["handled_to"]
        assert mark.year == year
        schedules.delete_one({"_id": name})

    run = Run(schedule_id=name, due_at=datetime(year, 1, 1, tzinfo=UTC))
    return Act(order=run.command_id, check=check)


def _archive(on: Stage) -> Act:
    on.stand_still()
    at = on.mark()

    def has_no_gap() -> bool:
        status = on.control["status"].find_one({"_id": "cluster"}) or {}
        oplog = status.get("oplog") or {}
        return [] == oplog.get("gaps")

    def check(_document: Document) -> None:
        on.wait_for_archive(at)
        on.wait_for_archive(on.mark())
        eventually(has_no_gap, 30, message="the status has no gap")

    return Act(order=None, check=check)


_AFTER_THE_END: Final = frozenset({
    Point.COMMAND_ENDED,
    Point.COMMAND_TASKS_GONE,
    Point.COORDINATOR_SWEEPING,
    Point.NOTES_EMPTIED,
    Point.TASK_REMOVING,
})
_FIRST: Final = {
    Point.COORDINATOR_SWEEPING: Point.COMMAND_ENDED,
    Point.COMMAND_TAKEN_OVER: Point.BACKUP_BEGUN,
    Point.BACKUP_TASKS_GONE: Point.BACKUP_PUBLISHED,
    Point.BACKUP_CLEANING: Point.BACKUP_PUBLISHED,
    # Whoever goes on with a backup that is half removed counts it first of all.
    Point.PRUNE_COUNTED: Point.PRUNE_MANIFEST_GONE,
    # Twice in one switch: the second one comes back to a half, and dies in it too.
    Point.SWITCH_VIEW_PUT: Point.SWITCH_RENAMED,
    Point.SWITCH_VIEW_DROPPED: Point.SWITCH_VIEW_PUT,
    Point.SWITCH_BEFORE_END_NOTED: Point.SWITCH_RENAMED,
    Point.RESTORE_CLEANING: Point.SWITCH_ALL_RENAMED,
}
_NTH: Final = {
    Point.SWITCH_RENAMED: 2,
    Point.SWITCH_BEFORE_RENAME: 2,
    Point.RESTORE_CREATED: 3,
    # A plan removes what an earlier one may have left; then come those of the end.
    Point.TASK_REMOVING: 2,
}
_BEGINS: Final[Mapping[str, Callable[[Stage], Act]]] = {
    "coordinator": _backup,
    "command": _backup,
    "notes": _backup,
    "schedule": _scheduled,
    "backup": _backup,
    "task": _backup,
    "chunk": _backup,
    "restore": _restore,
    "switch": _restore,
    "verify": _verify,
    "delete": _delete,
    "prune": _prune,
    "resync": _resync,
    "check": _examine,
    "archiver": _archive,
    "archive": _archive,
}
_BEGINS_AT: Final = {Point.SWITCH_VIEW_DROPPED: _restore_over_a_view}

ELSEWHERE: Final[Mapping[str, str]] = {
    "control": "the control database is there",
    "hook": "hooks are programs that tell how often they ran",
    "compaction": "segments are joined when they are an hour old",
    "segment": "a segment is replaced where one is damaged",
    "role": "roles need an S3 server that has them",
}
"""Groups of points that other tests have an agent, or a process of its own, die at; and why."""

SCENES: Final = {
    point: Scene(
        begin=_BEGINS_AT.get(point) or _BEGINS[point.partition(".")[0]],
        first=_FIRST.get(point),
        nth=_NTH.get(point, 1),
    )
    for point in Point
    if point.partition(".")[0] not in ELSEWHERE
}
