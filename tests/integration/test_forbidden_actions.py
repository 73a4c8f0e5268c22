"""What the users of `backstay init` may not do, action by action, on a server that asks."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from agent.cli.grants import Purpose, script
from tests.testbed.clients import Client, Document
from tests.testbed.hashes import contents, differences
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.shell import run_mongosh

_PASSWORD = "the-users-password"
_UNAUTHORIZED = 13
_USERS: dict[Purpose, str] = {"backup": "backer", "restore": "restorer"}

Action = tuple[str, Document]


@pytest.fixture(scope="module")
def guarded() -> Iterator[ReplicaSet]:
    """One node with both users, somebody's data, and the control database."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, auth=True)) as replica_set:
        for purpose, user in _USERS.items():
            text = script(purpose, user=user, control="backstay")
            text = text.replace("passwordPrompt()", json.dumps(_PASSWORD))
            done = run_mongosh(replica_set.uri, text)
            assert 0 == done.exit_status, done.stdout + done.stderr
        with replica_set.client() as root:
            root["shop"]["orders"].insert_one({"_id": 1})
            root["shop"]["orders"].create_index("state")
            root["shop"].create_collection("open", viewOn="orders", pipeline=[])
            root["shop"].create_collection("readings", timeseries={"timeField": "at"})
            root["shop"]["system.js"].insert_one({"_id": "f", "value": 1})
            root["shop"].command("createUser", "ada", pwd="p", roles=["read"])
            root["shop"].command("createRole", "clerk", privileges=[], roles=[])
            root["backstay"]["commands"].insert_one({"_id": 1})
        yield replica_set


# Of a database, whosever it is.
def _writes(database: str, collection: str) -> Iterator[Action]:
    index = {"key": {"a": 1}, "name": "a"}
    for command in (
        {"insert": collection, "documents": [{"_id": -1}]},
        {"update": collection, "updates": [{"q": {}, "u": {"$set": {"x": 1}}}]},
        {"delete": collection, "deletes": [{"q": {}, "limit": 1}]},
        {"findAndModify": collection, "query": {}, "remove": True},
        {"create": "made"},
        {"create": "view", "viewOn": collection, "pipeline": []},
        {"create": "series", "timeseries": {"timeField": "at"}},
        {"drop": collection},
        {"dropDatabase": 1},
        {"createIndexes": collection, "indexes": [index]},
        {"dropIndexes": collection, "index": "*"},
        {"collMod": collection, "validator": {}},
        {"convertToCapped": collection, "size": 4096},
        {"aggregate": collection, "pipeline": [{"$out": "stolen"}], "cursor": {}},
        {
            "aggregate": collection,
            "pipeline": [{"$out": {"db": "other", "coll": "stolen"}}],
            "cursor": {},
        },
        {"aggregate": collection, "pipeline": [{"$merge": "stolen"}], "cursor": {}},
        {
            "mapReduce": collection,
            "map": "function() {}",
            "reduce": "function() {}",
            "out": "stolen",
        },
    ):
        yield database, command


_WRITES: Sequence[Action] = (
    *_writes("shop", "orders"),
    *_writes("shop", "system.js"),
    *_writes("elsewhere", "anything"),
    ("shop", {"insert": "readings", "documents": [{"at": 1}]}),
    ("shop", {"insert": "system.buckets.readings", "documents": [{"_id": 1}]}),
    ("shop", {"drop": "open"}),
    # What moves data from here to there, or from there to here.
    ("admin", {"renameCollection": "shop.orders", "to": "shop.stolen"}),
    ("admin", {"renameCollection": "shop.orders", "to": "backstay.stolen"}),
    ("admin", {"renameCollection": "backstay.commands", "to": "shop.stolen"}),
    ("admin", {"renameCollection": "backstay.commands", "to": "shop.orders", "dropTarget": True}),
    ("backstay", {
        "aggregate": "commands",
        "pipeline": [{"$out": {"db": "shop", "coll": "stolen"}}],
        "cursor": {},
    }),
    ("admin", {"applyOps": []}),
    ("admin", {"applyOps": [{"op": "i", "ns": "backstay.commands", "o": {"_id": 9}}]}),
    ("admin", {"applyOps": [{"op": "i", "ns": "shop.orders", "o": {"_id": 9}}]}),
)  # fmt: skip
_OF_USERS: Sequence[Action] = (
    ("shop", {"createUser": "eve", "pwd": "p", "roles": []}),
    ("admin", {"createUser": "eve", "pwd": "p", "roles": ["root"]}),
    ("backstay", {"createUser": "eve", "pwd": "p", "roles": []}),
    ("shop", {"updateUser": "ada", "pwd": "q"}),
    ("admin", {"updateUser": "root", "pwd": "q"}),
    ("shop", {"dropUser": "ada"}),
    ("shop", {"dropAllUsersFromDatabase": 1}),
    ("admin", {"grantRolesToUser": "backer", "roles": ["root"]}),
    ("admin", {"revokeRolesFromUser": "root", "roles": ["root"]}),
    ("shop", {"createRole": "thief", "privileges": [], "roles": []}),
    ("admin", {"createRole": "thief", "privileges": [], "roles": ["root"]}),
    ("backstay", {"createRole": "thief", "privileges": [], "roles": []}),
    ("admin", {"updateRole": "backstayBackup", "roles": ["root"]}),
    ("admin", {"grantRolesToRole": "backstayBackup", "roles": ["root"]}),
    ("admin", {
        "grantPrivilegesToRole": "backstayBackup",
        "privileges": [{"resource": {"anyResource": True}, "actions": ["anyAction"]}],
    }),
    ("shop", {"dropRole": "clerk"}),
    ("shop", {"dropAllRolesFromDatabase": 1}),
    ("admin", {"insert": "system.users", "documents": [{"_id": "admin.eve"}]}),
    ("admin", {"update": "system.users", "updates": [{"q": {}, "u": {"$set": {"x": 1}}}]}),
    ("admin", {"delete": "system.users", "deletes": [{"q": {}, "limit": 0}]}),
    ("admin", {"insert": "system.roles", "documents": [{"_id": "admin.thief"}]}),
    ("admin", {"drop": "system.users"}),
)  # fmt: skip
_OF_THE_SERVER: Sequence[Action] = (
    ("admin", {"shutdown": 1}),
    ("admin", {"replSetStepDown": 1}),
    ("admin", {"replSetFreeze": 1}),
    ("admin", {"replSetMaintenance": 1}),
    ("admin", {"replSetSyncFrom": "127.0.0.1:1"}),
    ("admin", {"replSetReconfig": {"_id": "rs0", "version": 99, "members": []}, "force": True}),
    ("admin", {"replSetInitiate": {}}),
    ("admin", {"replSetResizeOplog": 1, "size": 990.0}),
    ("admin", {"setParameter": 1, "logLevel": 1}),
    ("admin", {"setFeatureCompatibilityVersion": "5.0"}),
    ("admin", {"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": 1}}),
    ("admin", {"fsync": 1, "lock": True}),
    ("admin", {"fsyncUnlock": 1}),
    ("admin", {"logRotate": 1}),
    ("admin", {"killOp": 1, "op": 1}),
    ("admin", {"killAllSessions": []}),
    ("admin", {"setClusterParameter": {"changeStreamOptions": {}}}),
    ("admin", {"rotateCertificates": 1}),
    ("admin", {"compact": "system.users"}),
    # The keys with which members sign their cluster times.
    ("admin", {"find": "system.keys"}),
    ("admin", {"insert": "system.keys", "documents": [{"_id": 1}]}),
)
# Built-in roles for restores may write there.
_OF_THE_SERVERS_DATA: Sequence[Action] = (
    ("local", {"insert": "mine", "documents": [{"_id": 1}]}),
    ("local", {"delete": "oplog.rs", "deletes": [{"q": {}, "limit": 0}]}),
    ("local", {"drop": "oplog.rs"}),
    ("local", {"dropDatabase": 1}),
    ("config", {"drop": "transactions"}),
    ("config", {"delete": "transactions", "deletes": [{"q": {}, "limit": 0}]}),
)

_FORBIDDEN: dict[Purpose, Sequence[Action]] = {
    "backup": (*_WRITES, *_OF_USERS, *_OF_THE_SERVER, *_OF_THE_SERVERS_DATA),
    "restore": _OF_THE_SERVER,
}


@pytest.mark.parametrize("purpose", _USERS)
def test_nothing_but_the_users_own_work_is_allowed(guarded: ReplicaSet, purpose: Purpose) -> None:
    """Each is refused for want of a privilege, not for another fault, and nothing is changed."""
    with guarded.client() as root:
        before = contents(root), _accounts(root)
        with closing(_client_of(guarded, purpose)) as client:
            outcomes = [(action, _outcome(client, action)) for action in _FORBIDDEN[purpose]]
        allowed = [each for each in outcomes if each[1] != _UNAUTHORIZED]
        after = contents(root), _accounts(root)
    assert [] == allowed
    assert [] == differences(before[0], after[0])
    assert before[1] == after[1]


def _client_of(guarded: ReplicaSet, purpose: Purpose) -> Client:
    (node,) = guarded.nodes
    uri = f"mongodb://{_USERS[purpose]}:{_PASSWORD}@{node.address}/?authSource=admin"
    return MongoClient[Document](uri, directConnection=True)


def _outcome(client: Client, action: Action) -> int | None:
    """Return the code with which a command is refused; None if it is not."""
    database, command = action
    try:
        client[database].command(command)
    except OperationFailure as error:
        return error.code
    return None


def _accounts(root: Client) -> list[Document]:
    return [
        each
        for name in ("system.users", "system.roles")
        for each in root["admin"][name].find(sort=[("_id", 1)])
    ]
