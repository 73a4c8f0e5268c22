"""Every write to the control database, its answer lost after the server has applied it.

Each method of each board that writes runs undisturbed, and then once for each of its writes with
the answer of that one lost: once, which the driver mends by itself where the server knows the write
again, and twice, so that the whole method is repeated as agents repeat it. What stands in the
control database in the end, and what the method said, must be the same.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any, TypeVar

import pytest
from bson import ObjectId, Timestamp
from pymongo.synchronous.database import Database

from agent.core.clock import SystemClock
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.core.retry import persistent, retry
from agent.model.check import Finding
from agent.model.commands import CommandRecord
from agent.model.leases import Grant
from agent.model.outcome import Failure, Outcome
from agent.model.progress import Progress
from agent.model.states import State
from agent.model.tasks import Claim, TaskFailure
from agent.mongo import (
    backups,
    commands,
    console,
    control,
    events,
    leases,
    notes,
    questions,
    roles,
    schedules,
    status,
    tasks,
)
from agent.mongo.connect import Document, open_node
from agent.ports import Boards, RoleBoard
from agent.wiring.links import CONTROL_POLICY
from tests.contract.test_control import CLUSTER, agent_status, entry, verdict
from tests.contract.test_role_board import ARN, DENIED, wanted
from tests.contract.test_schedule_board import FIRST, NIGHTLY
from tests.contract.test_task_board import stored, task
from tests.testbed.mongo_proxy import MongoProxy
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

Port = TypeVar("Port")

A = Outcome(coordinator="a:1", result={"bytes": 2**40})
FOUND = Finding(test="list", outcome="ok", message="it may be listed", storage="main")
# A claim whose answer was lost comes to nobody until its time is over.
CLAIM_S = 0.3
MODULES = (
    backups,
    commands,
    console,
    events,
    leases,
    notes,
    questions,
    roles,
    schedules,
    status,
    tasks,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The boards over one connection, each call repeated as agents repeat it."""

    boards: Boards
    roles: RoleBoard
    database: Database[Document]


Picture = dict[str, list[Any]]
Given = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One method: `given` what it needs, `act` calls it, `seen` is what of the picture counts."""

    name: str
    act: Callable[[Control, Given], object]
    given: Callable[[Control], Given] = lambda _: None
    seen: Callable[[Picture], Picture] = lambda picture: picture


def _command(at: Control) -> CommandRecord:
    at.boards.commands.insert({"_id": "one", "command": "backup"})
    (record,) = at.boards.commands.open_commands()
    return record


def _running(at: Control) -> CommandRecord:
    record = _command(at)
    for state in (State.ACCEPTED, State.RUNNING):
        assert at.boards.commands.move(record, state, 1, A)
        record = replace(record, state=state)
    return record


def _ended(at: Control) -> None:
    at.boards.commands.move(_running(at), State.DONE, 1, A)


def _inserted(at: Control) -> object:
    try:
        return at.boards.commands.insert({"_id": "one", "command": "backup"})
    except PermanentError as error:
        # As whoever inserts under an _id of its own does: it is there, and that is as good.
        return "one" if error.code == "duplicate_key" else error.code


def _lease(at: Control) -> Grant:
    grant = at.boards.leases.acquire("coordinator", "a:1", 15)
    assert grant is not None
    return grant


def _claimed(at: Control) -> Claim:
    at.boards.tasks.publish([task(0)])
    return _claim(at)


def _claim(at: Control) -> Claim:
    return eventually(lambda: at.boards.tasks.claim("a:1"))


def _claimed_again(at: Control) -> object:
    claim = _claim(at)
    return claim.task, claim.holder, claim.records


def _recorded(at: Control) -> Claim:
    claim = _claimed(at)
    at.boards.tasks.record(claim, [stored(0)])
    return claim


def _role(at: Control) -> object:
    return at.roles.begin(wanted("a"), 7)


def _entries(at: Control) -> None:
    for each in (entry(1), entry(2), entry(3, "other")):
        at.boards.catalogue.put(each)


def _of_heads(picture: Picture) -> Picture:
    """Without what writers that began anew left behind: see `forget`."""
    heads = {each["body"] for each in picture["tasks"] if each.get("kind") in {"task", "notes"}}
    kept = [
        each for each in picture["tasks"] if each.get("kind") != "body" or each["body"] in heads
    ]
    return {**picture, "tasks": kept}


def _of_claims(picture: Picture) -> Picture:
    """A claim that nobody heard of was one, and fenced off what came before it."""
    kept = [
        {name: value for name, value in each.items() if name != "attempt"}
        for each in picture["tasks"]
        if each.get("kind") != "log" or each["records"]
    ]
    return {**picture, "tasks": kept}


CASES = (
    Case(name="commands.insert", act=lambda at, _: _inserted(at)),
    Case(
        name="commands.move",
        given=_running,
        act=lambda at, record: at.boards.commands.move(record, State.DONE, 1, A),
    ),
    Case(
        name="commands.report",
        given=_running,
        act=lambda at, record: at.boards.commands.report(
            record.command_id, 1, Progress(phase="reading", done_bytes=7), 1.5
        ),
    ),
    Case(
        name="commands.remove",
        given=_ended,
        act=lambda at, _: at.boards.commands.remove(["one", "other"]),
    ),
    Case(
        name="schedules.mark",
        given=lambda at: (
            at.database["schedules"].insert_one({**NIGHTLY}),
            at.boards.schedules.records(),
        )[1],
        act=lambda at, records: at.boards.schedules.mark(records[0], FIRST),
    ),
    Case(
        name="leases.acquire",
        act=lambda at, _: replace(_lease(at), token=0),
    ),
    Case(
        name="leases.renew",
        given=_lease,
        act=lambda at, grant: at.boards.leases.renew(grant, 20),
    ),
    Case(
        name="leases.release",
        given=_lease,
        act=lambda at, grant: at.boards.leases.release(grant),
    ),
    Case(
        name="notes.save",
        given=lambda at: at.boards.notes.save("job", 1, {"plan": "old"}),
        act=lambda at, _: at.boards.notes.save("job", 1, {"plan": "new"}),
        seen=_of_heads,
    ),
    Case(
        name="notes.forget",
        given=lambda at: at.boards.notes.save("job", 1, {"plan": "old"}),
        act=lambda at, _: at.boards.notes.forget("job"),
    ),
    Case(
        name="questions.ask",
        act=lambda at, _: at.boards.questions.ask("job", ["a:1", "b:1"], 1),
    ),
    Case(
        name="questions.answer",
        given=lambda at: at.boards.questions.ask("job", ["a:1", "b:1"], 1),
        act=lambda at, _: at.boards.questions.answer("job", "a:1", [FOUND]),
    ),
    Case(
        name="questions.remove",
        given=lambda at: at.boards.questions.ask("job", ["a:1", "b:1"], 1),
        act=lambda at, _: at.boards.questions.remove("job"),
    ),
    Case(
        name="tasks.publish",
        act=lambda at, _: at.boards.tasks.publish([task(0), task(1)]),
        seen=_of_heads,
    ),
    Case(
        name="tasks.claim",
        given=lambda at: at.boards.tasks.publish([task(0)]),
        act=lambda at, _: _claimed_again(at),
        seen=_of_claims,
    ),
    Case(
        name="tasks.renew",
        given=_claimed,
        act=lambda at, claim: at.boards.tasks.renew(claim),
    ),
    Case(
        name="tasks.record",
        given=_recorded,
        act=lambda at, claim: at.boards.tasks.record(claim, [stored(0), stored(1)]),
    ),
    Case(
        name="tasks.finish",
        given=_recorded,
        act=lambda at, claim: at.boards.tasks.finish(claim),
    ),
    Case(
        name="tasks.give_back",
        given=_recorded,
        act=lambda at, claim: at.boards.tasks.give_back(
            claim, TaskFailure(number=0, code="c", message="m", hint="h"), not_before_s=60
        ),
    ),
    Case(
        name="tasks.remove",
        given=_recorded,
        act=lambda at, _: at.boards.tasks.remove("job"),
        seen=_of_heads,
    ),
    Case(
        name="status.write_agent",
        act=lambda at, _: at.boards.status.write_agent(agent_status("a:1")),
    ),
    Case(
        name="status.write_cluster",
        act=lambda at, _: at.boards.status.write_cluster(CLUSTER, 7),
    ),
    Case(name="backups.put", act=lambda at, _: at.boards.catalogue.put(entry(1))),
    Case(
        name="backups.remove",
        given=_entries,
        act=lambda at, _: at.boards.catalogue.remove(entry(1).backup_id, "main"),
    ),
    Case(
        name="backups.replace",
        given=_entries,
        act=lambda at, _: at.boards.catalogue.replace("main", [entry(2, note="new"), entry(4)]),
    ),
    Case(
        name="backups.judge",
        given=_entries,
        act=lambda at, _: at.boards.catalogue.judge(
            entry(1).backup_id, "main", verdict(1, "objects")
        ),
    ),
    Case(
        name="events.write",
        act=lambda at, _: at.boards.events.write("warning", "code", "message", bytes=7),
    ),
    Case(
        name="roles.begin",
        act=lambda at, _: at.roles.begin(wanted("a"), 7).authorization,
    ),
    Case(
        name="roles.authorize",
        given=_role,
        act=lambda at, _: at.roles.authorize("a", ARN, 7),
    ),
    Case(
        name="roles.refuse",
        given=_role,
        act=lambda at, _: at.roles.refuse(
            "a", Failure(code=DENIED.code, message=DENIED.message, hint=DENIED.hint), 7
        ),
    ),
    Case(name="roles.remove", given=_role, act=lambda at, found: at.roles.remove(found, 7)),
)


@pytest.fixture(scope="module")
def direct() -> Iterator[Database[Document]]:
    """The control database of a set of one, undisturbed."""
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set,
        open_node(replica_set.nodes[0].uri) as client,
    ):
        control.prepare(client["backstay"])
        yield client["backstay"]


@pytest.fixture(scope="module")
def proxy(direct: Database[Document]) -> Iterator[MongoProxy]:
    """What loses answers, before the same server."""
    address = direct.client.address
    assert address is not None
    with MongoProxy(address[1]) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def disturbed(proxy: MongoProxy) -> Iterator[Database[Document]]:
    """The same control database through the proxy."""
    with open_node(f"mongodb://{proxy.address}/") as client:
        yield client["backstay"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_write_whose_answer_was_lost_is_made_once(
    case: Case, direct: Database[Document], proxy: MongoProxy, disturbed: Database[Document]
) -> None:
    """Whichever of the method's writes it was, and whether the driver could mend it or not."""
    quiet, through = _control(direct), _control(disturbed)
    expected = _run(case, quiet, quiet)
    proxy.forget()
    assert expected == _run(case, quiet, through)
    count = sum(each.is_write for each in proxy.commands())
    assert count, "a method that writes nothing has no place here"
    for number, times in ((0, 1), *((each, 2) for each in range(count))):
        loss = proxy.lose(skip=number, times=times)
        found = _run(case, quiet, through)
        proxy.lose_nothing()
        assert loss.lost, "the answer was lost"
        assert expected == found, f"the answer of {loss.lost[0].name} was lost {times} times"


def test_what_writers_that_began_anew_left_goes_with_the_job(
    direct: Database[Document], proxy: MongoProxy, disturbed: Database[Document]
) -> None:
    """Bodies that no head names: of tasks, and of notes."""
    quiet, through = _control(direct), _control(disturbed)
    _empty(direct)
    proxy.lose(lambda each: each.name == "insert", times=2)
    through.boards.tasks.publish([task(0), task(1)])
    proxy.lose(lambda each: each.name == "insert", times=2)
    through.boards.notes.save("job", 1, {"plan": "new"})
    proxy.lose_nothing()
    proxy.lose(lambda each: each.name == "delete")
    through.boards.tasks.remove("job")
    proxy.lose_nothing()
    assert {"kind": "body"}.items() <= (direct["tasks"].find_one({"kind": "body"}) or {}).items()
    assert 0 == direct["tasks"].count_documents({"kind": {"$in": ["task", "log"]}})
    quiet.boards.notes.forget("job")
    assert [] == list(direct["tasks"].find())


def test_a_command_without_a_name_is_inserted_once(
    direct: Database[Document], proxy: MongoProxy, disturbed: Database[Document]
) -> None:
    """As people insert it: the driver knows the write again."""
    _empty(direct)
    board = commands.MongoCommands(disturbed)
    loss = proxy.lose(lambda each: each.name == "insert")
    command_id = board.insert({"command": "check"})
    proxy.lose_nothing()
    assert 1 == len(loss.lost)
    assert [command_id] == [each.command_id for each in board.open_commands()]


def test_the_control_database_is_prepared_over_lost_answers(
    direct: Database[Document], proxy: MongoProxy, disturbed: Database[Document]
) -> None:
    """Collections, validators and indexes; the server knows none of these commands again."""
    expected = _shape(direct)
    proxy.forget()
    direct.client.drop_database(direct)
    control.prepare(disturbed)
    count = sum(each.is_write for each in proxy.commands())
    assert count > 7
    for number in range(count):
        direct.client.drop_database(direct)
        loss = proxy.lose(skip=number)
        retry(lambda: control.prepare(disturbed), policy=CONTROL_POLICY, stop=Stop())
        proxy.lose_nothing()
        assert 1 == len(loss.lost)
        assert expected == _shape(direct)
        assert [] == control.outdated(direct)


def test_no_method_that_writes_is_left_out() -> None:
    """Of any class over the control database, found by the calls of pymongo in it."""
    writers = {
        f"{module.__name__.rpartition('.')[2]}.{method}"
        for module in MODULES
        for method in _writers(module)
    }
    assert {case.name for case in CASES} == writers


# What of pymongo's collections changes something.
_CHANGES = {
    "insert_one",
    "insert_many",
    "update_one",
    "update_many",
    "replace_one",
    "delete_one",
    "delete_many",
    "bulk_write",
    "find_one_and_update",
    "find_one_and_replace",
    "find_one_and_delete",
    "drop",
    "rename",
}
# Of other modules, by which boards write.
_ELSEWHERE = {"bodies.remove", "log.append"}


def _writers(module: ModuleType) -> Iterator[str]:
    """Yield the public methods of the module's boards that reach a change."""
    tree = ast.parse(inspect.getsource(module))
    for board in (each for each in tree.body if isinstance(each, ast.ClassDef)):
        if not board.name.startswith("Mongo"):
            continue
        calls = {
            method.name: {
                ast.unparse(call.func).removeprefix("self.")
                for call in ast.walk(method)
                if isinstance(call, ast.Call)
            }
            for method in board.body
            if isinstance(method, ast.FunctionDef)
        }
        yield from (name for name in calls if not name.startswith("_") and _reaches(name, calls))


def _reaches(name: str, calls: Mapping[str, set[str]]) -> bool:
    called = calls[name]
    return any(
        each.rpartition(".")[2] in _CHANGES
        or each in _ELSEWHERE
        or (each in calls and _reaches(each, calls))
        for each in called
    )


def _control(database: Database[Document]) -> Control:
    """Return the boards as jobs have them; leases, events and roles are repeated alike."""

    def patient(port: Port) -> Port:
        return persistent(port, policy=CONTROL_POLICY, stop=Stop())

    return Control(
        boards=Boards(
            commands=patient(commands.MongoCommands(database)),
            tasks=patient(tasks.MongoTasks(database, claim_s=CLAIM_S)),
            notes=patient(notes.MongoNotes(database)),
            questions=patient(questions.MongoQuestions(database)),
            status=patient(status.MongoStatus(database)),
            catalogue=patient(backups.MongoBackups(database)),
            events=patient(events.MongoEvents(database, "a:1")),
            leases=patient(leases.MongoLeases(database)),
            schedules=patient(schedules.MongoSchedules(database)),
        ),
        roles=patient(roles.MongoRoles(database)),
        database=database,
    )


def _run(case: Case, quiet: Control, through: Control) -> object:
    """Return what the method said, and what counts of what stands there then."""
    _empty(quiet.database)
    given = case.given(quiet)
    said = case.act(through, given)
    return said, _plainly(case.seen(_picture(quiet.database)))


def _empty(database: Database[Document]) -> None:
    for name in ("commands", "schedules", "status", "backups", "tasks", "leases"):
        database[name].delete_many({})
    if database["events"].find_one() is not None:
        database["events"].drop()
        control.prepare(database)


def _picture(database: Database[Document]) -> Picture:
    names = ("commands", "schedules", "status", "backups", "events", "tasks", "leases")
    return {name: list(database[name].find()) for name in names}


def _plainly(picture: Picture) -> Picture:
    """Show times, tokens and ids made at random only as what they are."""
    now = SystemClock().now()
    plain: Picture = {}
    for name, found in picture.items():
        ids: dict[ObjectId, str] = {}
        in_order = sorted(found, key=lambda each: repr(_plain(each, None, now)))
        plain[name] = [_plain(each, ids, now) for each in in_order]
    return plain


def _plain(value: Any, ids: dict[ObjectId, str] | None, now: datetime) -> Any:
    match value:
        case dict():
            return {name: _plain(each, ids, now) for name, each in sorted(value.items())}
        case list():
            return [_plain(each, ids, now) for each in value]
        case ObjectId():
            return "id" if ids is None else ids.setdefault(value, f"id {len(ids)}")
        case Timestamp():
            return "timestamp"
        case datetime():
            # A time that the test gave is one; others are of the server.
            return "now" if abs(now - value) < timedelta(minutes=10) else value
        case int() if value > 2**45:
            return "token"
    return value


def _shape(database: Database[Document]) -> object:
    return {
        each["name"]: (
            {name: value for name, value in each["options"].items() if name != "uuid"},
            sorted(map(str, database[each["name"]].list_indexes())),
        )
        for each in database.list_collections()
    }
