"""The control database when answers are lost, agents are late, or the server is old."""

from collections.abc import Iterator

import pytest
from pymongo.synchronous.database import Database

from agent.core.errors import LeaseLost, PermanentError, TransientError
from agent.model.outcome import Outcome
from agent.model.states import State
from agent.mongo.commands import MongoCommands
from agent.mongo.connect import Document
from agent.mongo.control import prepare
from agent.mongo.leases import MongoLeases
from agent.mongo.roles import MongoRoles
from agent.mongo.status import MongoStatus
from agent.mongo.task_log import TaskLog, entries, records_in
from agent.mongo.tasks import MongoTasks
from tests.contract.test_control import CLUSTER
from tests.contract.test_role_board import ARN as ROLE_ARN
from tests.contract.test_role_board import wanted
from tests.contract.test_task_board import stored, task
from tests.integration.test_control_documents import connect
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

A = Outcome(coordinator="a:1")


@pytest.fixture
def database(replica_set: ReplicaSet) -> Iterator[Database[Document]]:
    """The control database, prepared."""
    with connect(replica_set) as client:
        prepare(client["backstay"])
        yield client["backstay"]


class TestLostAnswers:
    """A write may be applied although its answer was an error: repeating it does no harm."""

    @pytest.fixture(autouse=True)
    def _unhurt(self, database: Database[Document]) -> Iterator[None]:
        yield
        answer_again(database)

    def test_a_lease_is_acquired_again_with_a_new_token(self, database: Database[Document]) -> None:
        """By the same holder; another does not get it meanwhile."""
        leases = MongoLeases(database)
        first = leases.acquire("coordinator", "a:1", 15)
        assert first is not None
        lose_answer(database, "findAndModify")
        with pytest.raises(TransientError):
            leases.acquire("coordinator", "a:1", 15)
        assert leases.acquire("coordinator", "b:1", 15) is None
        second = leases.acquire("coordinator", "a:1", 15)
        assert second is not None
        assert second.token > first.token

    def test_a_move_that_was_made_shows_as_made(self, database: Database[Document]) -> None:
        """Not as one that another made."""
        board = MongoCommands(database)
        board.insert({"command": "backup"})
        (record,) = board.open_commands()
        lose_answer(database, "update")
        with pytest.raises(TransientError):
            board.move(record, State.ACCEPTED, 1, A)
        assert board.move(record, State.ACCEPTED, 1, A)

    def test_a_record_counts_once(self, database: Database[Document]) -> None:
        """Chunks recorded twice would be restored twice."""
        tasks = MongoTasks(database)
        tasks.publish([task(0)])
        claim = tasks.claim("a:1")
        assert claim is not None
        lose_answer(database, "insert")
        with pytest.raises(TransientError):
            tasks.record(claim, [stored(0)])
        tasks.record(claim, [stored(0), stored(1)])
        (report,) = tasks.reports("job")
        assert report.records == (stored(0), stored(1))
        assert tasks.glance("job").done_bytes == 200

    def test_each_step_of_a_role_is_taken_once(self, database: Database[Document]) -> None:
        """Begin, authorize, remove: each again, as after any failure that passes."""
        roles = MongoRoles(database)
        lose_answer(database, "update")
        with pytest.raises(TransientError):
            roles.begin(wanted("a"), 7)
        found = roles.begin(wanted("b"), 7)
        assert found.authorization == "a"
        lose_answer(database, "update")
        with pytest.raises(TransientError):
            roles.authorize("a", ROLE_ARN, 7)
        assert roles.authorize("a", ROLE_ARN, 7)
        (found,) = roles.authorizations()
        lose_answer(database, "delete")
        with pytest.raises(TransientError):
            roles.remove(found, 7)
        assert roles.remove(found, 7)
        assert roles.authorizations() == []

    def test_tasks_are_published_once(self, database: Database[Document]) -> None:
        """And every one of them."""
        tasks = MongoTasks(database)
        lose_answer(database, "insert", skip=1)
        with pytest.raises(TransientError):
            tasks.publish([task(0), task(1)])
        answer_again(database)
        tasks.publish([task(0), task(1), task(2)])
        assert [task(0), task(1), task(2)] == [each.task for each in tasks.reports("job")]
        assert database["tasks"].count_documents({"kind": "body"}) == 3


class TestFences:
    """What a claim has read of a log is all there will ever be from before it."""

    def test_a_late_call_that_looked_before_the_fence_writes_nothing(
        self, database: Database[Document]
    ) -> None:
        """The position that it meant to take is the fence's."""
        tasks = database["tasks"]
        first = TaskLog(tasks, "job", 0, token=1, holder="a:1")
        first.fence()
        position = first._next_position()
        TaskLog(tasks, "job", 0, token=2, holder="b:1").fence()
        assert not first._insert(position, {"key": stored(0)})
        with pytest.raises(LeaseLost):
            first.append([stored(0)])
        assert records_in(list(entries(tasks, "job", 0))) == ()

    def test_an_earlier_claim_cannot_fence_off_a_later_one(
        self, database: Database[Document]
    ) -> None:
        """An agent that stalled between its claim and its fence is the one that lost."""
        tasks = database["tasks"]
        TaskLog(tasks, "job", 0, token=2, holder="b:1").fence()
        with pytest.raises(LeaseLost):
            TaskLog(tasks, "job", 0, token=1, holder="a:1").fence()

    def test_a_record_written_twice_for_want_of_an_index_is_read_once(
        self, database: Database[Document]
    ) -> None:
        """As after a drop of the control database under running agents."""
        database["tasks"].drop()
        log = TaskLog(database["tasks"], "job", 0, token=1, holder="a:1")
        log.fence()
        log.append([stored(0)])
        log.append([stored(0)])
        found = list(entries(database["tasks"], "job", 0))
        assert len(found) == 3
        assert records_in(found) == (stored(0),)


def lose_answer(database: Database[Document], command: str, skip: int = 0) -> None:
    """Apply the next such command, but answer it as if a majority had not been reached.

    After ``skip`` commands that are answered well, all are answered so.
    """
    database.client.admin.command(
        "configureFailPoint",
        "failCommand",
        mode={"times": 1} if not skip else {"skip": skip},
        data={
            "failCommands": [command],
            "writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"},
        },
    )


def answer_again(database: Database[Document]) -> None:
    """Answer all commands as they deserve."""
    database.client.admin.command("configureFailPoint", "failCommand", mode="off")


@pytest.fixture(scope="module")
def oldest() -> Iterator[Database[Document]]:
    """A control database on the oldest server that is supported."""
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1, version="5.0")) as replica_set,
        connect(replica_set) as client,
    ):
        prepare(client["backstay"])
        yield client["backstay"]


class TestOldestServer:
    """All other tests run on a newer server: what the stores need, 5.0 has."""

    def test_tokens_grow_across_a_dropped_control_database(
        self, oldest: Database[Document]
    ) -> None:
        """They come from the cluster's clock."""
        tokens = []
        for _ in range(3):
            grant = MongoLeases(oldest).acquire("coordinator", "a:1", 15)
            assert grant is not None
            tokens.append(grant.token)
            oldest.client.drop_database(oldest)
        prepare(oldest)
        assert tokens == sorted(set(tokens))

    def test_tasks_and_status_work(self, oldest: Database[Document]) -> None:
        """With pipelines in updates and the server's time in queries."""
        tasks = MongoTasks(oldest)
        tasks.publish([task(0)])
        claim = tasks.claim("a:1")
        assert claim is not None
        tasks.record(claim, [stored(0)])
        tasks.give_back(claim, None, not_before_s=0)
        again = tasks.claim("a:1")
        assert again is not None
        assert again.records == (stored(0),)
        tasks.finish(again)
        assert tasks.glance("job").done_count == 1
        MongoStatus(oldest).write_cluster(CLUSTER, 7)

    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({"command": "restore", "keep": True}, "keep"),
            ({"command": "delete"}, "backup"),
            ({"command": "backup", "namespace": ["a.*"]}, "namespace"),
            ({"command": "backup", "tags": {"a": 1}}, "tags"),
        ],
    )
    def test_the_validator_names_the_field(
        self, oldest: Database[Document], options: dict[str, object], field: str
    ) -> None:
        """Although this server does not repeat a rule's description."""
        with pytest.raises(PermanentError, match=field):
            MongoCommands(oldest).insert(options)
