"""Everything that a replica set holds comes back as it was."""

from collections.abc import Iterator

import pytest
from pymongo.write_concern import WriteConcern

from tests.system import bulk, dataset
from tests.system.observed import Observed, different, observe
from tests.system.protected import protected
from tests.system.storages import BucketStorage
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def large_set() -> Iterator[ReplicaSet]:
    """Three nodes with an oplog that holds the whole data several times."""
    with ReplicaSet.start(ReplicaSetSpec(oplog_size_mb=1024, cache_gb=0.5)) as replica_set:
        yield replica_set


def test_everything_comes_back(large_set: ReplicaSet, storage: BucketStorage) -> None:
    """Each item is equal after a restore over damaged data, on every node, and in a new set."""
    client = large_set.client()
    dataset.build(client)
    bulk.build(client)
    before = observe(client)

    with protected(large_set, storage) as original:
        backup = original.done("backup")
        dataset.damage(client)
        bulk.damage(client)
        assert different(before, observe(client))

        original.done("restore", backup=backup["backup"], overwrite=True)

        assert [] == different(before, observe(client))
        original.check_clean()
    _every_node_holds(before, large_set)

    with (
        ReplicaSet.start(ReplicaSetSpec(name="rs0", nodes=1, oplog_size_mb=1024)) as new_set,
        protected(new_set, storage) as new,
    ):
        eventually(new.control["backups"].find_one, 30, message="it knows the backup")
        new.done("restore")
        assert [] == different(before, observe(new.client))
        new.check_clean()


def _every_node_holds(before: Observed, replica_set: ReplicaSet) -> None:
    client = replica_set.client()
    # Acknowledged by all, so that nothing before it is on its way any more.
    marked = client.get_database("mark", write_concern=WriteConcern(w=3))
    marked["mark"].insert_one({})
    marked.command("dropDatabase", writeConcern={"w": 3})
    for node in replica_set.secondaries():
        assert [] == different(before, observe(node.client())), node.address
