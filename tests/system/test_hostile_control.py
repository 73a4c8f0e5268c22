"""What people make of the agents' own documents ends no agent, and blocks nothing for ever."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from bson import Int64, MaxKey, MinKey, ObjectId, Timestamp

from agent.core.errors import PermanentError, TransientError
from agent.model.catalogue import Size
from agent.model.cluster_time import ClusterTime
from agent.model.tasks import Ended, Member, Task
from agent.mongo.connect import PLAIN
from agent.mongo.leases import MongoLeases
from agent.mongo.notes import MongoNotes
from agent.mongo.questions import MongoQuestions
from agent.mongo.tasks import MongoTasks
from tests.fakes.catalogue import collection
from tests.property.hostile import ODD
from tests.system.protected import END_STATES, Protected, error_of, protected
from tests.system.storages import DirectoryStorage
from tests.testbed.clients import Document
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

_TOKENS_PER_S: Final = 1_000_000
_HOUR_S: Final = 3_600
FAR: Final = datetime(9999, 12, 31, tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Protected]:
    """One node and its agent, for all tests here: it must live through all of them."""
    storage = DirectoryStorage(Path(tmp_path_factory.mktemp("storage")))
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set,
        protected(replica_set, storage) as cluster,
    ):
        cluster.client.shop.orders.insert_one({"_id": 1})
        cluster.done("backup")
        yield cluster


def _check_leads(cluster: Protected) -> None:
    """See that the same process leads on: it tells of the cluster and does what it is asked."""
    (agent,) = cluster.agents.all
    since = cluster.client.admin.command("hello")["localTime"]

    def told() -> bool:
        assert agent.is_running, agent.text()[-2000:]
        status = cluster.control["status"].find_one({"_id": "cluster"}) or {}
        at = status.get("updated_at")
        return isinstance(at, datetime) and at > since + timedelta(seconds=1)

    eventually(told, 40, message="the cluster is told of")
    assert cluster.done("check")


def _token_ahead(cluster: Protected, seconds: int) -> Int64:
    """Return the token that the cluster's clock would give in so many seconds."""
    now = int(cluster.client.admin.command("hello")["localTime"].timestamp())
    return Int64((now + seconds - 1_600_000_000) * _TOKENS_PER_S)


@pytest.mark.parametrize(
    "fields",
    [
        {"lease_token": "x"},
        {"lease_token": float("nan")},
        {"lease_token": Int64(2**62)},
        {"lease_token": None},
        {"lease_token": [Int64(2**62)]},
        {"problems": 5, "told": 5},
        {"problems": [5, {"code": 5}], "told": {"code": 5}},
    ],
    ids=str,
)
def test_the_clusters_status_is_written_again(cluster: Protected, fields: dict[str, Any]) -> None:
    """A token in it that no agent can have keeps nobody from leading."""
    cluster.control["status"].update_one({"_id": "cluster"}, {"$set": fields})
    cluster.control["leases"].update_one({"_id": "coordinator"}, {"$set": {"holder": None}})

    _check_leads(cluster)


@pytest.mark.parametrize("seconds", [_HOUR_S, 400 * 24 * _HOUR_S])
def test_a_token_of_the_future_in_the_status_is_named(cluster: Protected, seconds: int) -> None:
    """Nobody could write there until then; the log says which document it was."""
    token = _token_ahead(cluster, seconds)
    cluster.control["status"].update_one({"_id": "cluster"}, {"$set": {"lease_token": token}})

    _check_leads(cluster)
    text = cluster.agents.all[0].text()
    assert f"lease_token of the document 'cluster' was {token}" in text


@pytest.mark.parametrize("state", [None, "accepted", "running"])
def test_a_command_with_a_token_of_the_future_comes_to_an_end(
    cluster: Protected, state: str | None
) -> None:
    """It stands in the way of no other."""
    order = f"future {state}"
    token = _token_ahead(cluster, 30 * 24 * _HOUR_S)
    document: Document = {"_id": order, "command": "check", "lease_token": token}
    if state is not None:
        document["state"] = state
    cluster.control.command({
        "insert": "commands",
        "documents": [document],
        "bypassDocumentValidation": True,
    })

    assert cluster.end_of(order)["state"] in END_STATES
    _check_leads(cluster)


ODD_LEASES: Final[tuple[dict[str, Any], ...]] = (
    {"renewed_at": FAR},
    {"renewed_at": "x"},
    {"renewed_at": None},
    {"renewed_at": MaxKey()},
    {"renewed_at": Timestamp(2**32 - 1, 1)},
    {"duration_ms": "x"},
    {"duration_ms": Int64(2**62)},
    {"duration_ms": float("nan")},
    {"duration_ms": float("inf")},
    {"duration_ms": -5},
    {"duration_ms": None, "token": "x"},
    {"duration_ms": {"$add": 1}, "token": Timestamp(2**32 - 1, 1)},
)


def _held_by_another(cluster: Protected, fields: dict[str, Any]) -> Document:
    now = cluster.client.admin.command("hello")["localTime"]
    return {"holder": "other:1", "renewed_at": now, "duration_ms": 15_000, **fields}


@pytest.mark.parametrize("fields", ODD_LEASES, ids=str)
def test_a_lease_that_nobody_can_hold_is_over(cluster: Protected, fields: dict[str, Any]) -> None:
    """However it says so, and one that is held is not."""
    database = cluster.client.get_database("scratch", codec_options=PLAIN)
    try:
        database["leases"].insert_one({"_id": "odd", **_held_by_another(cluster, fields)})
        database["leases"].insert_one({"_id": "held", **_held_by_another(cluster, {})})
        leases = MongoLeases(database)

        assert leases.holder("odd") is None
        assert leases.acquire("odd", "a:1", 15.0) is not None
        assert "a:1" == leases.holder("odd")
        assert leases.acquire("held", "a:1", 15.0) is None
    finally:
        cluster.client.drop_database("scratch")


def test_agents_take_leases_that_nobody_can_hold(cluster: Protected) -> None:
    """Coordinator and archiver are there again."""
    (agent,) = cluster.agents.all
    fields = {"renewed_at": FAR, "duration_ms": "x"}
    for name in ("coordinator", "archiver"):
        held = _held_by_another(cluster, fields)
        cluster.control["leases"].replace_one({"_id": name}, held)

    def held_again() -> bool:
        assert agent.is_running, agent.text()[-2000:]
        found = {each["holder"] for each in cluster.control["leases"].find()}
        return found == {agent.spec.node.address}

    eventually(held_again, 40, message="both leases are held")


def test_tasks_written_by_hand_end_no_agent(cluster: Protected) -> None:
    """Each is failed, and says that it cannot be read; backups go on."""
    tasks = cluster.control["tasks"]
    sound = _documents_of_a_task(cluster)
    head = next(each for each in sound if each["kind"] == "task")
    body = next(each for each in sound if each["kind"] == "body")
    names = sorted(set(head) - {"_id", "state", "kind"})
    documents: list[Document] = [{"_id": "bare", "state": "todo"}]
    for number, value in enumerate([*ODD, MinKey(), MaxKey(), FAR]):
        for name in names:
            own: Document = {**head, "_id": f"{name} {number}", "job": f"{name} {number}"}
            documents.append({**own, name: value, "attempt": value if name == "attempt" else 0})
        own = {"_id": f"lapsed {number}", "job": f"lapsed {number}", "state": "running"}
        documents.append({**head, **own, "renewed_at": value})
        documents.append({"_id": f"question {number}", "kind": "question", "agent": value})
        documents.append({"_id": f"notes {number}", "kind": "notes", "token": value})
        log = {"kind": "log", "job": f"token {number}", "number": 0, "records": value}
        documents.append({**log, "position": value, "token": value})
        documents.append({**head, "_id": f"log {number}", "job": f"token {number}"})
    documents += [{**body, "_id": ObjectId()}]
    try:
        tasks.insert_many(documents)

        def settled() -> bool:
            (agent,) = cluster.agents.all
            assert agent.is_running, agent.text()[-2000:]
            return tasks.count_documents({"_id": "bare", "state": "failed"}) == 1

        eventually(settled, 60, message="a task of nothing is failed")
        cluster.done("backup")
        _check_leads(cluster)
        failed = list(tasks.find({"state": "failed"}))
        assert all("bad_task" == each["failure"]["code"] for each in failed)
        assert len(failed) > len(ODD)
    finally:
        tasks.delete_many({})


def _documents_of_a_task(cluster: Protected) -> list[Document]:
    """Return what agents write of one task."""
    scratch = cluster.client.get_database("scratch", codec_options=PLAIN)
    size = Size(docs=1, bytes=1)
    member = Member(collection=collection("shop.orders"), range=None, size=size)
    task = Task(
        job="forged",
        backup_id="20200101T000000Z",
        storage="main",
        number=0,
        read_at=ClusterTime(1, 1),
        members=(member,),
    )
    MongoTasks(scratch).publish([task])
    found = list(scratch["tasks"].find())
    cluster.client.drop_database("scratch")
    return found


@pytest.mark.parametrize("body", [None, "x", ObjectId()])
def test_a_job_whose_notes_cannot_be_read_fails(cluster: Protected, body: object) -> None:
    """It is not tried for ever: what it did before cannot be known."""
    order = f"noted {body!r}"
    head = {"_id": {"notes": order}, "kind": "notes", "job": order, "token": Int64(1), "body": body}
    if body is None:
        del head["body"]
    cluster.control["tasks"].insert_one(head)
    document = {"_id": order, "command": "restore", "to": "latest", "state": "running"}
    cluster.control.command({
        "insert": "commands",
        "documents": [document],
        "bypassDocumentValidation": True,
    })

    code, message, hint = error_of(cluster.end_of(order), "failed")

    assert "bad_notes" == code
    assert order in message
    assert hint


@pytest.mark.parametrize("token", ["x", Int64(2**62), float("nan"), None])
def test_notes_and_questions_under_no_token_are_written_again(
    cluster: Protected, token: object
) -> None:
    """The first try says what was wrong, the second goes through."""
    database = cluster.client.get_database("scratch", codec_options=PLAIN)
    notes, questions = MongoNotes(database), MongoQuestions(database)
    own = _token_ahead(cluster, 0)
    try:
        notes.save("job", own, {"a": 1})
        questions.ask("job", ["a:1"], own)
        database["tasks"].update_many({"token": {"$exists": True}}, {"$set": {"token": token}})
        writes: list[Callable[[], None]] = [
            lambda: notes.save("job", own, {"a": 2}),
            lambda: questions.ask("job", ["a:1"], own),
        ]
        for write in writes:
            with pytest.raises(TransientError) as caught:
                write()
            assert "token_mended" == caught.value.code
            write()
        assert {"a": 2} == notes.load("job")
    finally:
        cluster.client.drop_database("scratch")


def test_a_log_that_makes_no_sense_fails_its_task(cluster: Protected) -> None:
    """What is recorded there cannot be believed."""
    database = cluster.client.get_database("scratch", codec_options=PLAIN)
    tasks = MongoTasks(database)
    try:
        database["tasks"].insert_many(_documents_of_a_task(cluster))
        claim = tasks.claim("a:1")
        assert claim is not None
        database["tasks"].update_one({"kind": "log"}, {"$set": {"records": [5], "docs": "x"}})
        with pytest.raises(PermanentError) as caught:
            tasks.reports("forged")
        assert "bad_task" == caught.value.code
        database["tasks"].update_one({"kind": "log"}, {"$set": {"position": "x"}})
        record = Ended(member=0, since=claim.task.read_at, read_at=claim.task.read_at, gone_at=None)
        with pytest.raises(PermanentError) as caught:
            tasks.record(claim, [record])
        assert "bad_task" == caught.value.code
    finally:
        cluster.client.drop_database("scratch")
