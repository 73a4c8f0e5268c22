"""What an operator sees in a real mongosh when a command is inserted."""

from agent.model.commands import REQUESTS
from agent.mongo.connect import open_cluster, open_node, own_node
from agent.mongo.control import prepare
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.shell import type_into_mongosh

# What is inserted, and what the shell then has to say.
MISTAKES: dict[str, tuple[str, ...]] = {
    '{command: "bakup"}': ("command", ", ".join(sorted(REQUESTS))),
    '{comand: "backup"}': ("comand", "missingProperties: [ 'command' ]"),
    '{command: "backup", namespace: ["shop.*"]}': ("additionalProperties: [ 'namespace' ]",),
    '{command: "backup", namespaces: "shop.*"}': ("propertyName: 'namespaces'", "[ 'array' ]"),
    '{command: "backup", namespaces: []}': ("propertyName: 'namespaces'", "minItems"),
    '{command: "backup", namespaces: [7]}': ("propertyName: 'namespaces'", "itemIndex: 0"),
    '{command: "backup", keep: "yes"}': ("propertyName: 'keep'", "retention never deletes"),
    '{command: "backup", keep: 1}': ("propertyName: 'keep'", "[ 'bool' ]"),
    '{command: "backup", tags: {why: 7}}': ("propertyName: 'tags'", "failingProperty: 'why'"),
    '{command: "backup", overwrite: true}': (
        "conditionalProperty: 'overwrite'",
        "overwrite is no option of this command; it is of: restore",
    ),
    '{command: "restore", to: "yesterday"}': ("propertyName: 'to'", 'a Timestamp or "latest"'),
    '{command: "restore", to: 1795302427}': ("propertyName: 'to'", "'timestamp'"),
    '{command: "restore", rename: [{form: "a.*", to: "b.*"}]}': (
        "propertyName: 'rename'",
        "additionalProperties: [ 'form' ]",
        "missingProperties: [ 'from' ]",
    ),
    '{command: "restore", keep: true, dry_run: "no"}': (
        "keep is no option of this command; it is of: backup",
        "propertyName: 'dry_run'",
    ),
    '{command: "cancel"}': ("target is missing; needed by: cancel",),
    '{command: "cancel", target: 7}': ("propertyName: 'target'", "'objectId'"),
    '{command: "delete", force: true}': ("backup is missing; needed by: delete, verify",),
    '{command: "verify", backup: "20261121T201512Z", depth: "all"}': (
        "propertyName: 'depth'",
        "'content'",
    ),
    '{command: "resync", dry_run: true}': ("dry_run is no option of this command",),
    '{command: "authorize_role", role_arn: 7}': ("propertyName: 'role_arn'", "'string'"),
    '{command: "deauthorize_role", role_name: "x"}': (
        "role_name is no option of this command; it is of: authorize_role",
    ),
    '{command: "backup", state: "stopped"}': ("propertyName: 'state'",),
}

CORRECT = (
    '{command: "backup"}',
    '{command: "backup", namespaces: ["shop.*"], storage: "main", tags: {why: "x"}, keep: true}',
    '{command: "backup", note: "before the release"}',
    '{_id: "nightly", command: "backup"}',
    '{command: "restore"}',
    '{command: "restore", backup: "20261121T201512Z", namespaces: ["shop.*"], dry_run: true}',
    '{command: "restore", rename: [{from: "shop.*", to: "shop2.*"}], overwrite: false}',
    '{command: "restore", users_and_roles: true, hold_ttl: false, storage: "main"}',
    '{command: "restore", to: "latest"}',
    '{command: "restore", to: ISODate("2026-11-21T20:15:12Z")}',
    '{command: "restore", to: Timestamp({t: 1795302427, i: 3})}',
    '{command: "cancel", target: ObjectId("6b022222222222222222222a")}',
    '{command: "cancel", target: "nightly"}',
    '{command: "delete", backup: "20261121T201512Z", dry_run: true, force: true}',
    '{command: "verify", backup: "20261121T201512Z"}',
    '{command: "verify", backup: "20261121T201512Z", depth: "content", storage: "main"}',
    '{command: "check"}',
    '{command: "resync"}',
    '{command: "resync", storage: "main"}',
    '{command: "authorize_role"}',
    '{command: "authorize_role", storage: "main", role_arn: "arn:aws:iam::123456789012:role/r"}',
    '{command: "authorize_role", authorization: "5f0c2a91", role_name: "backstay-prod"}',
    '{command: "deauthorize_role", authorization: "5f0c2a91"}',
)


def test_mistakes_fail_at_the_insert_and_name_the_field(replica_set: ReplicaSet) -> None:
    """Misspelt fields, wrong types, options of other commands, unknown commands."""
    prepare_control(replica_set)
    answers = type_into_mongosh(
        shell_uri(replica_set), [f"db.commands.insertOne({document})" for document in MISTAKES]
    )
    for (document, expected), answer in zip(MISTAKES.items(), answers, strict=True):
        assert "Document failed validation" in answer, document
        for each in expected:
            assert each in answer, (document, answer)
    assert replica_set.client()["backstay"]["commands"].count_documents({}) == 0


def test_correct_commands_of_every_kind_are_taken(replica_set: ReplicaSet) -> None:
    """Just as the documents show them."""
    prepare_control(replica_set)
    answers = type_into_mongosh(
        shell_uri(replica_set), [f"db.commands.insertOne({document})" for document in CORRECT]
    )
    for document, answer in zip(CORRECT, answers, strict=True):
        assert "acknowledged: true" in answer, (document, answer)


def test_an_update_of_a_command_is_held_to_the_validator_too(replica_set: ReplicaSet) -> None:
    """An operator cannot turn a correct command into a wrong one."""
    prepare_control(replica_set)
    answers = type_into_mongosh(
        shell_uri(replica_set),
        [
            'db.commands.insertOne({_id: "x", command: "backup"})',
            'db.commands.updateOne({_id: "x"}, {$set: {namespace: "shop.*"}})',
        ],
    )
    assert "acknowledged: true" in answers[0]
    assert "additionalProperties: [ 'namespace' ]" in answers[1]


def shell_uri(replica_set: ReplicaSet) -> str:
    """Return where an operator's shell would be opened."""
    return replica_set.uri.replace("/?", "/backstay?")


def prepare_control(replica_set: ReplicaSet) -> None:
    """Create the control database as an agent does at its start."""
    uri = replica_set.nodes[0].uri
    with open_node(uri) as node:
        own = own_node(node)
    with open_cluster(uri, own.hosts, own.replset) as cluster:
        prepare(cluster["backstay"])
