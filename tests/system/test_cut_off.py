"""An agent that cannot reach MongoDB gives up its rights by its own clock, and begins anew."""

import pytest

from tests.system.exactness import restore_and_compare, shop
from tests.system.faults import end_slow_reads, slow_reads
from tests.system.protected import WITHOUT_ARCHIVE, protected, result_of
from tests.system.storages import DirectoryStorage
from tests.system.writer import seed_documents
from tests.testbed.mongo_proxy import ProxiedReplicaSet
from tests.testbed.replica_set import ReplicaSetSpec
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_an_agent_that_is_cut_off_stops_and_goes_on_when_it_is_back(
    directory: DirectoryStorage,
) -> None:
    """Nobody tells it that its lease has ended; the backup is done under a new one, and exact."""
    with ProxiedReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        seed_documents(replica_set.nodes[0].client(), 3000)
        (proxy,) = replica_set.proxies
        with protected(replica_set, directory, WITHOUT_ARCHIVE) as cluster:
            (agent,) = cluster.agents.all
            before = shop(cluster)

            def has_given_up() -> bool:
                told = [line["event"] for line in agent.logs()]
                return {
                    "lease not handed back; it ends by itself",
                    "job left to another coordinator",
                } <= {*told}

            with slow_reads(replica_set.nodes, "shop.items", 500):
                order = cluster.order("backup")
                cluster.reaches(order, "reading")
                first = cluster.document(order)["lease_token"]
                proxy.cut()
                try:
                    eventually(has_given_up, 60, message="it has given up")
                    assert agent.is_running
                finally:
                    proxy.mend()
                eventually(
                    lambda: cluster.document(order)["lease_token"] > first,
                    90,
                    message="it goes on under another lease",
                )
                end_slow_reads(replica_set.nodes)
            result = result_of(cluster.end_of(order))
            restore_and_compare(cluster, result["backup"], before)
            cluster.check_clean()
