"""Users and roles are merged by the names inside; a document that is called otherwise is none."""

from typing import Any

import bson

from agent.model.catalogue import Collection, Traits
from agent.model.names import Namespace, temporary
from agent.mongo.switch import MongoSwitch
from agent.mongo.target import MongoTarget
from tests.testbed.clients import Client
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec


def _place(target: MongoTarget, number: int, documents: list[dict[str, Any]]) -> Namespace:
    place = temporary("admin", 7, number, buckets=False)
    collection = Collection(
        namespace=place,
        kind="collection",
        uuid=b"u" * 16,
        options=bson.encode({}),
        indexes=(),
        traits=Traits(),
    )
    target.create(place, collection)
    data = b"".join(map(bson.encode, documents))
    target.load(place, data, in_order=False, again=False)
    return place


def _documents(client: Client, collection: str) -> dict[str, dict[str, Any]]:
    return {str(each["_id"]): each for each in client.admin[collection].find()}


def test_no_other_id_hides_the_agents_own_user_or_role() -> None:
    """It keeps its password and rights, and whoever is there his, if all is not replaced."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, auth=True)) as replica_set:
        client = replica_set.client()
        client.admin.command({"createRole": "own", "privileges": [], "roles": ["root"]})
        client.admin.command({"grantRolesToUser": "root", "roles": ["own"]})
        client.admin.command({"createUser": "old", "pwd": "x", "roles": ["read"]})
        users, roles = _documents(client, "system.users"), _documents(client, "system.roles")
        root, old, own = users["admin.root"], users["admin.old"], roles["admin.own"]
        forged_users = [
            {**root, "_id": "x", "credentials": old["credentials"], "roles": []},
            {**root, "_id": 5, "credentials": old["credentials"], "roles": []},
            {**old, "_id": "y", "credentials": root["credentials"]},
            {**old, "_id": "admin.new", "user": "new"},
            {**old, "_id": "z", "user": 5},
        ]
        forged_roles = [{**own, "_id": "x", "roles": []}]
        target, switch = MongoTarget(client), MongoSwitch(client)

        for replace in (False, True):
            places = _place(target, 0, forged_users), _place(target, 1, forged_roles)
            switch.merge_users(*places, replace=replace)
            after = _documents(client, "system.users")
            assert root == after["admin.root"]
            assert own == _documents(client, "system.roles")["admin.own"]
            expected = {"admin.root", "admin.new"} | (set() if replace else {"admin.old"})
            assert expected == set(after)
            assert replace or old == after["admin.old"]
