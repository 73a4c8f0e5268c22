"""What Prometheus is told by real agents."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial

import pytest

from agent.metrics.catalogue import ALL, PREFIX, REPLSET
from tests.system.protected import QUICK, Protected
from tests.system.storages import BucketStorage, Storage
from tests.system.writer import seed_documents
from tests.testbed.agents import Agent, Agents, AgentSpec
from tests.testbed.clients import Document
from tests.testbed.loopback import HOST, free_port
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import Bucket, FastS3Server
from tests.testbed.scraping import Scraped, fetch, scrape, serves
from tests.testbed.waiting import eventually

# What needs an event that is not part of every story.
_SELDOM = {
    "backstay_credentials_expiry_timestamp_seconds",
    "backstay_problems",
    "backstay_running_progress_ratio",
}

pytestmark = pytest.mark.timeout(180)


class Watched(Protected):
    """Agents, each of which serves its metrics at a port of its own."""

    def all_metrics(self) -> dict[str, Scraped]:
        """Ask every agent, by its name."""
        return {each.spec.node.address: self.metrics(each) for each in self.agents.all}

    def metrics(self, agent: Agent) -> Scraped:
        """Ask one agent."""
        return scrape(port_of(agent))


def port_of(agent: Agent) -> int:
    """Return where an agent serves its metrics."""
    listen: str = agent.spec.settings["metrics"]["listen"]
    return int(listen.rpartition(":")[2])


@contextmanager
def watched(replica_set: ReplicaSet, storage: Storage) -> Iterator[Watched]:
    """Run an agent beside each node."""
    specs = [
        AgentSpec(
            node=node,
            storage=storage.settings,
            settings={
                **QUICK,
                "oplog": {"upload_interval_s": 1},
                "metrics": {"listen": f"{HOST}:{free_port()}"},
            },
        )
        for node in replica_set.data_nodes()
    ]
    with Agents(replica_set, [Agent.start(spec) for spec in specs]) as agents:
        agents.wait_until_reporting()
        for agent in agents.all:
            eventually(partial(serves, port_of(agent)), 30, message="metrics are served")
        yield Watched(replica_set, agents, storage)


@pytest.fixture(scope="module")
def alone() -> Iterator[ReplicaSet]:
    """One node, for agents whose number plays no part."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        yield replica_set


def test_after_a_backup_and_a_verify_the_figures_are_those_of_the_status(
    replica_set: ReplicaSet, storage: BucketStorage
) -> None:
    """The coordinator tells of the cluster, every agent of itself, and a successor goes on."""
    seed_documents(replica_set.client(), 2000)
    begun_at = time.time()
    with watched(replica_set, storage) as cluster:
        backup = cluster.done("backup")
        verify = cluster.done("verify", backup=backup["backup"], depth="content")
        # An archive with nothing to store advances but once a minute.
        second = backup["consistent_at"].time
        eventually(lambda: time.time() > second + 2, 10)
        cluster.client["shop"]["items"].insert_one({})
        leader = cluster.coordinator()

        def told() -> Scraped | None:
            """Return what is told once the archive and the verdict are part of it."""
            found = cluster.metrics(leader)
            wanted = {"backstay_last_verify_sound", "backstay_oplog_headroom_seconds"}
            reaches = found.total("backstay_recoverable_seconds") > 0
            return found if reaches and wanted <= found.names else None

        found = eventually(told, 60, message="the coordinator tells everything")
        _is_of_backup(found, backup, cluster)
        assert 1 == found.value("backstay_last_verify_sound", depth="content")
        assert found.value("backstay_last_verify_timestamp_seconds") > begun_at - 1
        assert found.value("backstay_last_backup_duration_seconds") < time.time() - begun_at
        _is_of_status(cluster, leader)
        every = eventually(lambda: _one_of_each(cluster.all_metrics()), 30, message="one of each")
        _is_of_agents(every, leader)
        _is_of_work(every, backup)
        results = {"backup": backup["bytes"], "verify": verify["bytes"]}
        _is_of_commands(every[leader.spec.node.address], results)
        _is_all_of_the_catalogue(every)

        assert 0 == leader.terminate()
        others = [each for each in cluster.agents.all if each is not leader]

        def heirs() -> list[Scraped]:
            found = [cluster.metrics(each) for each in others]
            return [each for each in found if each.value("backstay_coordinator")]

        (heir,) = eventually(heirs, 60, message="another agent tells of the cluster")
        _is_of_backup(heir, backup, cluster)


def _is_of_backup(found: Scraped, backup: Document, cluster: Watched) -> None:
    """What is told of the newest backup is what its command and the catalogue say."""
    entry = cluster.control["backups"].find_one({"backup": backup["backup"]})
    assert entry is not None
    assert entry["consistent_at"].time == found.value("backstay_last_backup_timestamp_seconds")
    assert backup["bytes"] == found.value("backstay_last_backup_size_bytes", storage="main")
    assert backup["stored_bytes"] == found.value("backstay_last_backup_stored_bytes")
    assert 1 == found.value("backstay_backups", storage="main")
    assert 0 == found.value("backstay_backups_damaged")


def _is_of_status(cluster: Watched, leader: Agent) -> None:
    """The status was written before the question, so what only grows is not less."""
    levels = {"ok": 0, "warning": 1, "error": 2}

    def agreeing() -> tuple[Document, Scraped] | None:
        status = cluster.control["status"].find_one({"_id": "cluster"})
        assert status is not None
        found = cluster.metrics(leader)
        is_same = (levels[status["state"]], len(status["problems"])) == (
            found.value("backstay_cluster_state"),
            found.total("backstay_problems"),
        )
        return (status, found) if is_same else None

    status, found = eventually(agreeing, 30, message="status and metrics tell the same problems")
    assert len(status["oplog"]["gaps"]) == found.value("backstay_archive_gaps") == 0
    archived_to = status["oplog"]["archived_to"].time
    assert archived_to <= found.value("backstay_archive_last_timestamp_seconds")
    (span,) = status["recoverable"]
    assert span["from"].time == found.value("backstay_recoverable_begin_timestamp_seconds")
    assert span["to"].time <= found.value("backstay_recoverable_end_timestamp_seconds")
    assert abs(found.value("backstay_status_updated_timestamp_seconds") - time.time()) < 60
    assert {status["replset"]} == {each.labels.get(REPLSET) for each in found.samples}


def _one_of_each(every: dict[str, Scraped]) -> dict[str, Scraped] | None:
    """Return what was told if one agent coordinates and one archives: they may be changing over."""
    names = ("backstay_coordinator", "backstay_archiver")
    counts = {sum(each.value(name) for each in every.values()) for name in names}
    return every if counts == {1} else None


def _is_of_agents(every: dict[str, Scraped], leader: Agent) -> None:
    for name, each in every.items():
        assert 1 == each.value("backstay_agent_info", agent=name)
        assert 1 == each.value("backstay_storage_up", storage="main")
        is_leader = name == leader.spec.node.address
        assert is_leader == ("backstay_cluster_state" in each.names)


def _is_of_work(every: dict[str, Scraped], backup: Document) -> None:
    def total(name: str, **labels: str) -> float:
        return sum(each.total(name, **labels) for each in every.values())

    done = total("backstay_task_duration_seconds_count", end="done")
    assert total("backstay_tasks_claimed_total") == done > 0
    assert total("backstay_storage_written_bytes_total") >= backup["stored_bytes"]
    # The coordinator verified, and so read everything.
    assert total("backstay_storage_read_bytes_total") >= backup["stored_bytes"]
    puts = total("backstay_s3_requests_total", operation="PutObject", status="2xx")
    assert puts >= backup["chunks"] + 1


def _is_of_commands(found: Scraped, sizes: dict[str, int]) -> None:
    for command, size_bytes in sizes.items():
        labels = {"command": command, "state": "done"}
        assert 1 == found.value("backstay_command_duration_seconds_count", **labels)
        processed = found.value("backstay_command_processed_bytes_total", command=command)
        assert size_bytes == processed


def _is_all_of_the_catalogue(every: dict[str, Scraped]) -> None:
    exported = {name for each in every.values() for name in each.names}
    served = {each.full_name + ("_count" if each.kind == "histogram" else "") for each in ALL}
    assert set() == served - exported - _SELDOM
    # And nothing is served that no document names.
    parts = {
        each.full_name + part
        for each in ALL
        for part in (("_count", "_sum", "_bucket") if each.kind == "histogram" else ("",))
    }
    assert {name for name in exported if name.startswith(PREFIX)} <= parts


def test_an_outage_of_the_storage_is_counted(alone: ReplicaSet) -> None:
    """Requests without an answer, retries, and a storage that is down; then it is up again."""
    with FastS3Server.start() as server:
        bucket = Bucket(server=server, name=server.create_bucket(), prefix="cluster")
        with (
            closing(BucketStorage(bucket, checksums="when_required")) as storage,
            watched(alone, storage) as cluster,
        ):
            (agent,) = cluster.agents.all
            eventually(
                lambda: cluster.metrics(agent).total("backstay_archiver"), 40, message="an archive"
            )
            assert 0 == cluster.metrics(agent).total("backstay_storage_retries_total")
            server.kill()
            cluster.client["shop"]["items"].insert_one({})
            order = cluster.order("backup")

            def seen() -> bool:
                found = cluster.metrics(agent)
                return (
                    found.total("backstay_s3_requests_total", status="none") > 0
                    and found.value("backstay_storage_retries_total", storage="main") > 1
                    and found.total("backstay_problems", code="archive_failing") == 1
                )

            eventually(seen, 60, message="the outage shows")
            server.start_again()
            assert "done" == cluster.end_of(order)["state"]
            eventually(
                lambda: cluster.metrics(agent).value("backstay_storage_up"), 90, message="it is up"
            )


def test_a_port_that_is_taken_costs_the_figures_alone(
    alone: ReplicaSet, directory: Storage
) -> None:
    """The agent works, its log says why nothing is served, and it serves once the port is free."""
    port = free_port()
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        settings = {**QUICK, "metrics": {"listen": f"{HOST}:{port}"}}
        with Agents.start(alone, directory.settings, settings=settings) as agents:
            cluster = Protected(alone, agents, directory)
            cluster.done("backup")
            (agent,) = agents.all
            (line,) = (each for each in agent.logs() if each.get("code") == "metrics_not_served")
            assert "warning" == line["level"]
            assert f"{HOST}:{port}" in line["reason"]
            other.close()
            eventually(lambda: serves(port), 40, message="the metrics are served")
            assert "backstay_agent_info" in fetch(port)
            assert 0 == agent.terminate()


def test_an_address_that_is_none_is_named(alone: ReplicaSet, directory: Storage) -> None:
    """A mistake in the settings ends the agent at its start, as any other."""
    spec = AgentSpec(
        node=alone.nodes[0],
        storage=directory.settings,
        settings={"metrics": {"listen": "9216"}},
    )
    agent = Agent.start(spec)
    try:
        assert 78 == agent.wait()
        assert "metrics.listen must be host:port" in agent.text()
    finally:
        Agents(alone, [agent]).stop()
