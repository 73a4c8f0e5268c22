"""What an operator sees in a real mongosh when a schedule is inserted, on each kind of server."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from agent.model.schedules import SCHEDULED, Mark
from agent.mongo.connect import open_cluster, open_node, own_node
from agent.mongo.control import outdated, prepare
from agent.mongo.schedules import MongoSchedules
from tests.integration.test_validators import prepare_control, shell_uri
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.shell import type_into_mongosh

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
_BACKUP = 'cron: "0 3 * * *", command: {command: "backup"}'

# What is inserted, and what the shell then has to say; 5.0 does not tell what is in words.
_NAMES = ", ".join(sorted(SCHEDULED))
IN_WORDS = {
    _NAMES,
    "letters, digits",
    "minute, hour, day, month, weekday",
    "storage is an option within command",
    "cron and command are missing",
    "retention is missing",
    "backup is missing",
    "overwrite is no option of this command; it is of: restore",
}
MISTAKES: dict[str, tuple[str, ...]] = {
    f"{{{_BACKUP}}}": ("propertyName: '_id'", "letters, digits"),
    f'{{_id: "", {_BACKUP}}}': ("propertyName: '_id'", "letters, digits"),
    f'{{_id: "a@b", {_BACKUP}}}': ("propertyName: '_id'", "letters, digits"),
    f'{{_id: "x", {_BACKUP}, colour: "red"}}': ("additionalProperties: [ 'colour' ]",),
    f'{{_id: "x", {_BACKUP}, enabled: 1}}': ("propertyName: 'enabled'", "[ 'bool' ]"),
    f'{{_id: "x", {_BACKUP}, timezone: "Europe Vienna"}}': ("propertyName: 'timezone'",),
    f'{{_id: "x", {_BACKUP}, storage: "main"}}': (
        "conditionalProperty: 'storage'",
        "storage is an option within command",
    ),
    '{_id: "x", cron: "0 25 * * *", command: {command: "backup"}}': (
        "propertyName: 'cron'",
        "minute, hour, day, month, weekday",
    ),
    '{_id: "x", cron: "0 3 * *", command: {command: "backup"}}': ("propertyName: 'cron'",),
    '{_id: "x", cron: "@daily", command: {command: "backup"}}': ("propertyName: 'cron'",),
    '{_id: "x", cron: "0 3 * * *"}': (
        "conditionalProperty: 'cron'",
        "missingProperties: [ 'command' ]",
    ),
    '{_id: "x", command: {command: "backup"}}': (
        "conditionalProperty: 'command'",
        "missingProperties: [ 'cron' ]",
    ),
    '{_id: "x"}': (
        "missingProperties: [ 'command' ]",
        "missingProperties: [ 'retention' ]",
        "cron and command are missing",
        "retention is missing",
    ),
    '{_id: "x", cron: "0 3 * * *", command: "backup"}': (
        "propertyName: 'command'",
        "[ 'object' ]",
    ),
    '{_id: "x", cron: "0 3 * * *", command: {comand: "backup"}}': (
        "propertyName: 'command'",
        "additionalProperties: [ 'comand' ]",
        "missingProperties: [ 'command' ]",
    ),
    '{_id: "x", cron: "0 3 * * *", command: {command: "cancel", target: "y"}}': (
        "propertyName: 'command'",
        _NAMES,
    ),
    '{_id: "x", cron: "0 3 * * *", command: {command: "backup", namespaces: "shop.*"}}': (
        "propertyName: 'namespaces'",
        "[ 'array' ]",
    ),
    '{_id: "x", cron: "0 3 * * *", command: {command: "backup", overwrite: true}}': (
        "conditionalProperty: 'overwrite'",
        "overwrite is no option of this command; it is of: restore",
    ),
    '{_id: "x", cron: "0 3 * * *", command: {command: "verify"}}': (
        "propertyName: 'command'",
        "missingProperties: [ 'backup' ]",
        "backup is missing",
    ),
    '{_id: "x", cron: "0 3 * * *", command: {command: "backup", state: "done"}}': (
        "additionalProperties: [ 'state' ]",
    ),
    '{_id: "x", retention: {}}': ("propertyName: 'retention'", "minProperties"),
    '{_id: "x", retention: {keep_last: 0}}': ("propertyName: 'keep_last'", "minimum"),
    '{_id: "x", retention: {keep_last: 1.5}}': ("propertyName: 'keep_last'", "'int'"),
    '{_id: "x", retention: {keep_within_days: 36501}}': (
        "propertyName: 'keep_within_days'",
        "maximum",
    ),
    '{_id: "x", retention: {keep: 1}}': ("additionalProperties: [ 'keep' ]",),
    '{_id: "x", retention: 7}': ("propertyName: 'retention'", "[ 'object' ]"),
}

CORRECT = (
    '{_id: "nightly", cron: "0 3 * * *", command: {command: "backup"}}',
    (
        '{_id: "a.b-c_1", cron: "*/15 0-6,22 1,15 jan-mar MON-FRI", timezone: "Europe/Vienna",'
        ' command: {command: "backup", namespaces: ["shop.*"], tags: {why: "x"}, storage: "main"},'
        " retention: {keep_last: 3, keep_daily: 7, keep_weekly: 4, keep_monthly: 12,"
        " keep_within_days: 3, recovery_window_days: 7}, enabled: false}"
    ),
    (
        '{_id: "drill", cron: "0 4 * * 0", timezone: "America/Argentina/Buenos_Aires", command:'
        ' {command: "restore", to: "latest", dry_run: true, rename: [{from: "a.*", to: "b.*"}]}}'
    ),
    '{_id: "check", cron: "30 6 * * *", timezone: "Etc/GMT+5", command: {command: "check"}}',
    '{_id: "keeping", retention: {recovery_window_days: NumberLong(30)}, storage: "far"}',
    (
        '{_id: "marked", cron: "0 3 * * *", command: {command: "check"},'
        ' seen_as: "0 3 * * * UTC on", handled_to: ISODate("2026-11-22T03:00:00Z")}'
    ),
    # What only a parse can tell is told as a problem.
    '{_id: "never", cron: "0 3 30 2 *", command: {command: "backup"}}',
    '{_id: "nowhere", cron: "0 3 * * *", timezone: "Europe/Wienna", command: {command: "backup"}}',
)


@pytest.fixture(scope="module")
def old_server() -> Iterator[ReplicaSet]:
    """One node of 5.0."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, version="5.0")) as replica_set:
        yield replica_set


@pytest.fixture(params=["6.0", "5.0"])
def server(request: pytest.FixtureRequest) -> Iterator[ReplicaSet]:
    """A replica set with a control database as an agent prepares it, without any schedule."""
    name = "replica_set" if request.param == "6.0" else "old_server"
    replica_set: ReplicaSet = request.getfixturevalue(name)
    prepare_control(replica_set)
    yield replica_set
    replica_set.client()["backstay"]["schedules"].delete_many({})


def test_mistakes_fail_at_the_insert_and_name_the_field(server: ReplicaSet) -> None:
    """Of the schedule, of the command in it, and of its retention."""
    answers = type_into_mongosh(
        shell_uri(server), [f"db.schedules.insertOne({document})" for document in MISTAKES]
    )
    for (document, expected), answer in zip(MISTAKES.items(), answers, strict=True):
        assert "Document failed validation" in answer, (document, answer)
        for each in expected:
            is_told = server.spec.version == "6.0" or each not in IN_WORDS
            assert not is_told or each in answer, (document, answer)
    assert server.client()["backstay"]["schedules"].count_documents({}) == 0


def test_correct_schedules_are_taken_edited_and_marked(server: ReplicaSet) -> None:
    """Just as the documents show them; an edit is held to the validator too."""
    answers = type_into_mongosh(
        shell_uri(server),
        [
            *(f"db.schedules.insertOne({document})" for document in CORRECT),
            'db.schedules.updateOne({_id: "nightly"}, {$set: {enabled: false}})',
            'db.schedules.updateOne({_id: "nightly"}, {$set: {cron: "0 25 * * *"}})',
        ],
    )
    *inserts, good, bad = answers
    for document, answer in zip(CORRECT, inserts, strict=True):
        assert "acknowledged: true" in answer, (document, answer)
    assert "modifiedCount: 1" in good
    assert "propertyName: 'cron'" in bad
    uri = server.nodes[0].uri
    with open_node(uri) as node:
        own = own_node(node)
    with open_cluster(uri, own.hosts, own.replset) as cluster:
        board = MongoSchedules(cluster["backstay"])
        records = {str(each.schedule_id): each for each in board.records()}
        faulty = {name for name, each in records.items() if each.fault is not None}
        assert {"never", "nowhere"} == faulty
        for record in records.values():
            assert board.mark(record, Mark(seen_as="x", handled_to=NOON)), record


def test_a_validator_of_another_version_is_replaced(server: ReplicaSet) -> None:
    """As that of the commands is; a schedule from before it can still be marked."""
    client = server.client()
    database = client["backstay"]
    database.command("collMod", "schedules", validator={})
    database["schedules"].insert_one({"_id": "odd", "older": 1})
    uri = server.nodes[0].uri
    with open_node(uri) as node:
        own = own_node(node)
    with open_cluster(uri, own.hosts, own.replset) as cluster:
        assert ["the validator of schedules is not of this version"] == outdated(
            cluster["backstay"]
        )
        prepare(cluster["backstay"])
        assert [] == outdated(cluster["backstay"])
        (record,) = MongoSchedules(cluster["backstay"]).records()
        mark = Mark(seen_as="x", handled_to=NOON)
        assert MongoSchedules(cluster["backstay"]).mark(record, mark)
