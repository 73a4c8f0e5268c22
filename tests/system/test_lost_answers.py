"""Agents whose answers are lost, again and again, after the server has applied what they wrote."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.system.protected import QUICK, protected
from tests.system.storages import DirectoryStorage
from tests.testbed.hashes import contents, differences
from tests.testbed.mongo_proxy import Command, ProxiedReplicaSet
from tests.testbed.replica_set import ReplicaSetSpec

pytestmark = [pytest.mark.timeout(300)]

SEED = 20261122


def test_commands_are_done_once_although_answers_are_lost(tmp_path: Path) -> None:
    """A backup and a restore over it, with about every sixth answer to a control write lost."""
    chance = random.Random(SEED)

    def is_lost(command: Command) -> bool:
        is_control = command.database == "backstay" and command.is_write
        return is_control and chance.random() < 1 / 6

    with ProxiedReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        client = replica_set.nodes[0].client()
        client["shop"]["items"].insert_many([{"_id": each, "n": 1} for each in range(500)])
        client["shop"]["items"].create_index("n")
        (proxy,) = replica_set.proxies
        with protected(replica_set, DirectoryStorage(tmp_path), QUICK) as cluster:
            before = contents(client, databases=["shop"])
            loss = proxy.lose(is_lost, times=10**6)
            backup = cluster.done("backup")["backup"]
            client["shop"]["items"].delete_many({"_id": {"$gte": 100}})
            cluster.done("restore", backup=backup, overwrite=True)
            verified = cluster.done("verify", backup=backup)
            proxy.lose_nothing()
            assert verified
            assert [] == differences(before, contents(client, databases=["shop"]))
            found = list(cluster.control["commands"].find())
            kinds = Counter(each["command"] for each in found)
            assert {"resync": 1, "backup": 1, "restore": 1, "verify": 1} == kinds
            assert {"done"} == {each["state"] for each in found}
            assert 1 == cluster.control["backups"].count_documents({})
            assert len(loss.lost) > 4, "answers were lost"
            cluster.check_clean()
