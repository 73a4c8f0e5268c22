"""What anybody puts into the control database, past every validator, ends no agent."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import Code, DatetimeMS, Int64, MinKey, encode

from tests.property.hostile import ODD
from tests.system.protected import END_STATES, WITHOUT_ARCHIVE, Protected, error_of, protected
from tests.system.storages import DirectoryStorage
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

SEED = 20261122
COUNT = 200
_A_WHILE = timedelta(seconds=3)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    """One node and its agent, for all tests here: it must live through all of them."""
    storage = DirectoryStorage(Path(tmp_path_factory.mktemp("storage")))
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set,
        protected(replica_set, storage, WITHOUT_ARCHIVE) as cluster,
    ):
        cluster.done("backup")
        yield cluster


def _put(cluster: Protected, collection: str, *documents: dict[str, Any]) -> None:
    """Insert documents around the validator."""
    for each in documents:
        cluster.control.command({
            "insert": collection,
            "documents": [each],
            "bypassDocumentValidation": True,
        })


def _check_alive(cluster: Protected) -> None:
    """See that the same process still leads, tells of itself, and does what it is asked."""
    (agent,) = cluster.agents.all
    names = ("cluster", f"agent:{agent.spec.node.address}")
    before = {name: _told_at(cluster, name) for name in names}

    def all_told() -> bool:
        assert agent.is_running, agent.text()[-2000:]
        return all(_told_at(cluster, name) > before[name] + _A_WHILE for name in names)

    eventually(all_told, 30, message="cluster and agent are told of")
    cluster.done("resync")


def _told_at(cluster: Protected, name: str) -> datetime:
    found = cluster.control["status"].find_one({"_id": name}) or {}
    told_at: datetime = found["updated_at"]
    return told_at


ODD_COMMANDS = [
    pytest.param({"command": "check", "state": ["accepted"]}, "state", id="state in a list"),
    pytest.param({"command": "check", "state": "waiting"}, "state", id="no such state"),
    pytest.param({"command": "check", "state": 5}, "state", id="state that is a number"),
    pytest.param({"command": "check", "lease_token": "x"}, "lease_token", id="token of text"),
    pytest.param(
        {"command": "check", "lease_token": float("nan")}, "lease_token", id="token not a number"
    ),
    pytest.param(
        {"command": "check", "lease_token": Int64(2**62)}, "lease_token", id="token of no time"
    ),
    pytest.param({"command": "check", "progress": 5}, "progress", id="progress of a number"),
    pytest.param({"command": Code("backup")}, "no command", id="name that is code"),
    pytest.param({"command": "x" * 10_000_000}, "no command", id="name of 10 MB"),
    pytest.param({"command": "backup", "x" * 1_000_000: 1}, "no option", id="option of 1 MB"),
    pytest.param({"command": "verify", "backup": Code("x")}, "backup", id="option that is code"),
    pytest.param({"command": "restore", "to": DatetimeMS(2**62)}, "to", id="date of no year"),
    pytest.param({"command": "verify", "backup": "../../x"}, "../../x", id="id that is a path"),
    pytest.param({"command": "delete", "backup": "..", "force": True}, "..", id="delete a path"),
]


@pytest.mark.parametrize(("document", "named"), ODD_COMMANDS)
def test_odd_command_is_rejected_by_name(
    cluster: Protected, document: dict[str, Any], named: str
) -> None:
    """The reason names what is wrong, and the agent goes on."""
    order = f"odd {random.Random(repr(document)[:200]).random()}"
    _put(cluster, "commands", {"_id": order, **document})

    is_rejected = {"_id": order, "state": "rejected"}
    document = eventually(
        lambda: cluster.control["commands"].find_one(is_rejected, {"state": 1, "error": 1}),
        60,
        message="it is rejected",
    )
    code, message, _ = error_of(document, "rejected")

    assert code
    assert named in message
    assert len(message) < 20_000


@pytest.mark.parametrize("order", [{"a": 1}, {"a": [{"b": 2}]}, 5.5, b"x", None])
def test_a_command_may_have_any_id(cluster: Protected, order: object) -> None:
    """A validator cannot hold back an `_id`, and a document is no worse than a number."""
    _put(cluster, "commands", {"_id": order, "command": "check"})

    eventually(
        lambda: cluster.control["commands"].find_one({"_id": {"$eq": order}, "state": "done"}),
        60,
        message="the command is done",
    )


FULL_BYTES = 16 * 1024 * 1024


def _filled(order: str, left_bytes: int, **fields: Any) -> dict[str, Any]:
    """Return a verify of which a server takes no more than so many bytes more."""
    document = {"_id": order, "command": "verify", "backup": "", **fields}
    room = FULL_BYTES - left_bytes - len(encode(document))
    return {**document, "backup": "x" * room}


@pytest.mark.parametrize(
    ("left_bytes", "state"),
    [
        pytest.param(400_000, None, id="room for an answer"),
        pytest.param(10, None, id="no room for a state"),
        # Enough to say that it runs, and too little to say how it ended.
        pytest.param(200, "accepted", id="no room for an end"),
    ],
)
def test_a_command_without_room_for_its_answer_is_rejected_or_told(
    cluster: Protected, left_bytes: int, state: str | None
) -> None:
    """It never ends the agent nor holds up others; it goes when somebody deletes it."""
    order = f"full {left_bytes}"
    fields = {} if state is None else {"state": state}
    _put(cluster, "commands", _filled(order, left_bytes, **fields))
    commands = cluster.control["commands"]

    def told() -> str:
        status = cluster.control["status"].find_one({"_id": "cluster"}) or {}
        problems = status.get("problems", ())
        return "".join(p["hint"] for p in problems if p["code"] == "command_cannot_end")

    if left_bytes > FULL_BYTES // 100:
        is_rejected = {"_id": order, "state": "rejected", "error.code": "command_too_large"}
        eventually(lambda: commands.count_documents(is_rejected), 60, message="it is rejected")
    else:
        eventually(lambda: order in told(), 60, message="the status names it, and the mend")
    _check_alive(cluster)
    commands.delete_one({"_id": order})
    eventually(lambda: not told(), 30, message="the problem is gone")


SOUND: tuple[dict[str, Any], ...] = (
    {"command": "backup", "namespaces": ["shop.*"], "tags": {"a": "b"}, "note": "x"},
    {"command": "restore", "backup": "20200101T000000Z", "rename": [{"from": "a.*", "to": "b.*"}]},
    {"command": "cancel", "target": "nothing"},
    {"command": "verify", "backup": "20200101T000000Z", "depth": "content"},
    {"command": "delete", "backup": "20200101T000000Z", "dry_run": True},
    {"command": "prune", "dry_run": True},
    {"command": "authorize_role", "storage": "main"},
    {"command": "deauthorize_role", "authorization": "x"},
)


def _changed(chance: random.Random, sound: dict[str, Any]) -> dict[str, Any]:
    """Return a command of which one field that operators write is of another type, or new."""
    name = chance.choice([*sound, "zz", "$where", "storage"])
    return {**sound, name: chance.choice(ODD)}


def test_two_hundred_changed_commands_come_to_an_end(cluster: Protected) -> None:
    """None stays open, none ends the agent, and what makes no sense says what and why."""
    chance = random.Random(SEED)
    changed = [_changed(chance, chance.choice(SOUND)) for _ in range(COUNT)]
    _put(cluster, "commands", *({"_id": f"c{n}", **each} for n, each in enumerate(changed)))

    def ended() -> bool:
        ids = {"$in": [f"c{n}" for n in range(COUNT)]}
        left = cluster.control["commands"].count_documents({
            "_id": ids,
            "state": {"$nin": list(END_STATES)},
        })
        assert cluster.agents.all[0].is_running, cluster.agents.all[0].text()[-2000:]
        return left == 0

    eventually(ended, 100, message="all of them have ended")
    refused = list(cluster.control["commands"].find({"_id": {"$regex": "^c"}, "state": "rejected"}))
    assert len(refused) > COUNT / 2
    assert all(each["error"]["code"] and each["error"]["message"] for each in refused)
    _check_alive(cluster)


def test_status_and_catalogue_written_by_hand_end_no_agent(cluster: Protected) -> None:
    """What is not as agents write it is as if it were not there, whatever its fields hold."""
    control = cluster.control
    agent = control["status"].find_one({"kind": "agent"}) or {}
    backup = control["backups"].find_one({"_id": {"$exists": True}}) or {}
    odd = [*ODD, MinKey(), datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
    for n, value in enumerate(odd):
        for name in ("updated_at", "node_lag_s", "priority", "access", "archive", "storage"):
            other = {**agent, "name": f"{name}{n}:1", name: value}
            _put(cluster, "status", {**other, "_id": f"agent:{name}{n}"})
        for name in ("bucket", "label", "ok", "error"):
            other = {**agent, "name": f"s{name}{n}:1", "storage": {**agent["storage"], name: value}}
            _put(cluster, "status", {**other, "_id": f"agent:s{name}{n}"})
        for name in ("backup", "consistent_at", "finished_at", "nodes", "tags", "verified"):
            _put(cluster, "backups", {**backup, "_id": {"id": f"{name}{n}"}, name: value})
    try:
        _check_alive(cluster)
    finally:
        control["status"].delete_many({"_id": {"$nin": ["cluster", agent["_id"]]}})
        control["backups"].delete_many({"_id": {"$ne": backup["_id"]}})


def test_changed_schedules_end_no_agent(cluster: Protected) -> None:
    """Each that cannot be understood is a problem by itself, and the agent goes on."""
    sound: dict[str, Any] = {
        "cron": "0 3 * * *",
        "timezone": "UTC",
        "command": {"command": "check"},
        "enabled": True,
        "seen_as": "0 3 * * * UTC on",
        "handled_to": datetime(2026, 11, 22, tzinfo=UTC),
    }
    odd = [*ODD, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)]
    _put(
        cluster,
        "schedules",
        *(
            {"_id": f"{name}{n}", **sound, name: value}
            for name in (*sound, "retention", "storage", "zz")
            for n, value in enumerate(odd)
        ),
    )
    try:
        _check_alive(cluster)
    finally:
        cluster.control["schedules"].delete_many({})
