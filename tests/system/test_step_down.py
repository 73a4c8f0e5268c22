"""Elections in the middle of a job are a pause, nothing more."""

import pytest

from tests.system.faults import slow_inserts, slow_reads
from tests.system.protected import protected
from tests.system.second_replay import live_picture, note, replayed_picture
from tests.system.storages import DirectoryStorage
from tests.system.writer import Writer, busy, seed_documents
from tests.testbed.replica_set import ReplicaSet


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_step_down_during_backup_and_restore(
    replica_set: ReplicaSet, directory: DirectoryStorage
) -> None:
    """With a new primary in the middle of each, both end done and the copy is exact."""
    client = replica_set.client()
    begin = note(client)
    seed_documents(client, 8000)
    with protected(replica_set, directory) as cluster:
        with Writer(replica_set.uri, busy(8000), 5):
            with slow_reads(replica_set.nodes, "shop.items", 500):
                order = cluster.order("backup")
                cluster.reaches(order, "reading")
                replica_set.step_down()
            result = cluster.end_of(order)
        assert "done" == result["state"], result
        moment = result["result"]["consistent_at"]
        expected = replayed_picture(client, ["shop"], begin, moment)

        with slow_inserts(replica_set.nodes):
            order = cluster.order("restore", backup=result["result"]["backup"], overwrite=True)
            cluster.reaches(order, "loading")
            replica_set.step_down()

        document = cluster.end_of(order)
        assert "done" == document["state"], document
        assert [] == expected.differences(live_picture(client, ["shop"]))
        cluster.check_clean()
