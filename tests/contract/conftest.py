"""The control database, in memory and on a real replica set."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from agent.core.clock import SystemClock
from agent.mongo.backups import MongoBackups
from agent.mongo.commands import MongoCommands
from agent.mongo.connect import open_cluster, open_node, own_node
from agent.mongo.control import prepare
from agent.mongo.events import MongoEvents
from agent.mongo.leases import MongoLeases
from agent.mongo.notes import MongoNotes
from agent.mongo.questions import MongoQuestions
from agent.mongo.roles import MongoRoles
from agent.mongo.schedules import MongoSchedules
from agent.mongo.status import MongoStatus
from agent.mongo.tasks import MongoTasks
from agent.ports import (
    BackupCatalogue,
    CommandBoard,
    EventLog,
    JobNotes,
    LeaseStore,
    QuestionBoard,
    RoleBoard,
    ScheduleBoard,
    StatusBoard,
    TaskBoard,
)
from tests.fakes.control import MemoryControl
from tests.fakes.roles import MemoryRoles
from tests.testbed.replica_set import ReplicaSet

CLAIM_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """All ports of one control database; a claim of a task lasts for `CLAIM_S`.

    `event_count` counts the events that were really written; `insert_schedule` inserts a schedule
    as an operator would.
    """

    leases: LeaseStore
    commands: CommandBoard
    notes: JobNotes
    questions: QuestionBoard
    tasks: TaskBoard
    status: StatusBoard
    backups: BackupCatalogue
    events: EventLog
    roles: RoleBoard
    schedules: ScheduleBoard
    insert_schedule: Callable[[Mapping[str, object]], object]
    event_count: Callable[[], int]
    drop: Callable[[], None]


@pytest.fixture(params=["memory", "mongo"])
def control(request: pytest.FixtureRequest) -> Iterator[Control]:
    """Every implementation of the control database, empty."""
    if request.param == "memory":
        memory = MemoryControl(SystemClock(), claim_s=CLAIM_S)
        yield Control(
            leases=memory.leases,
            commands=memory.commands,
            notes=memory.notes,
            questions=memory.questions,
            tasks=memory.tasks,
            status=memory.status,
            backups=memory.backups,
            events=memory.events,
            roles=MemoryRoles(SystemClock()),
            schedules=memory.schedules,
            insert_schedule=memory.schedules.insert,
            event_count=lambda: len(memory.events.written),
            drop=memory.drop,
        )
        return
    replica_set: ReplicaSet = request.getfixturevalue("replica_set")
    uri = replica_set.nodes[0].uri
    with open_node(uri) as node:
        own = own_node(node)
    with open_cluster(uri, own.hosts, own.replset) as cluster:
        database = cluster["backstay"]
        prepare(database)

        def drop() -> None:
            cluster.drop_database("backstay")
            prepare(database)

        yield Control(
            leases=MongoLeases(database),
            commands=MongoCommands(database),
            notes=MongoNotes(database),
            questions=MongoQuestions(database),
            tasks=MongoTasks(database, claim_s=CLAIM_S),
            status=MongoStatus(database),
            backups=MongoBackups(database),
            events=MongoEvents(database, "a:1"),
            roles=MongoRoles(database),
            schedules=MongoSchedules(database),
            insert_schedule=lambda each: database["schedules"].insert_one({**each}),
            event_count=lambda: database["events"].count_documents({}),
            drop=drop,
        )
