"""A backup that outlasts the server's memory of its moment goes on at a newer one."""

import json
from collections.abc import Iterator

import pytest

from tests.system.faults import slow_reads
from tests.system.protected import protected
from tests.system.second_replay import live_picture, note, replayed_picture
from tests.system.storages import DirectoryStorage, manifest_keys
from tests.system.writer import Writer, busy
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec


@pytest.fixture
def forgetful() -> Iterator[ReplicaSet]:
    """Three nodes that remember one second."""
    parameters = {"minSnapshotHistoryWindowInSeconds": 1}
    with ReplicaSet.start(ReplicaSetSpec(parameters=parameters, oplog_size_mb=256)) as replica_set:
        yield replica_set


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_backup_with_several_moments_is_exact(
    forgetful: ReplicaSet, directory: DirectoryStorage
) -> None:
    """What was read before and after is made one by the oplog that is kept with the backup."""
    client = forgetful.client()
    begin = note(client)
    count = 12_000
    for name in ("orders", "items", "log"):
        client["shop"][name].insert_many([{"_id": n, "text": "x" * 900} for n in range(count)])
    client["shop"].create_collection("tail", capped=True, size=200_000)
    with protected(forgetful, directory) as cluster:
        with Writer(forgetful.uri, busy(count), 3), slow_reads(forgetful.nodes, "shop.items", 500):
            result = cluster.done("backup")
        moment = result["consistent_at"]
        expected = replayed_picture(client, ["shop"], begin, moment)
        (key,) = manifest_keys(directory)
        manifest = json.loads(directory.read(key))
        assert manifest["window"] is not None
        items = next(each for each in manifest["collections"] if each["namespace"] == "shop.items")
        assert len(items["read_at"]) > 1, "the first moment was never too old"

        cluster.done("restore", backup=result["backup"], overwrite=True)

        assert [] == expected.differences(live_picture(client, ["shop"]))
        cluster.check_clean()
