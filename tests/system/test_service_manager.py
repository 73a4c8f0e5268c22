"""An agent and the service manager that started it."""

import signal
from pathlib import Path

import pytest

from tests.system.storages import DirectoryStorage
from tests.testbed.agents import Agent, AgentSpec
from tests.testbed.manager import NotifySocket
from tests.testbed.process import remove_directory
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually


@pytest.mark.timeout(180)
def test_systemd_is_told_all_along(replica_set: ReplicaSet, directory: DirectoryStorage) -> None:
    """Waiting, ready, alive also without its node, and stopping, in this order."""
    node = replica_set.secondaries()[0]
    node.kill()
    with NotifySocket(abstract=True) as listener:
        environment = {"NOTIFY_SOCKET": listener.address}
        agent = Agent.start(
            AgentSpec(node=node, storage=directory.settings, environment=environment)
        )
        try:
            eventually(lambda: "waits for MongoDB" in listener.last_status(), 60)
            assert not listener.count("READY")
            assert listener.count("EXTEND_TIMEOUT_USEC")
            node.start()
            eventually(lambda: listener.count("READY") == 1, 60)
            eventually(lambda: listener.count("WATCHDOG") >= 2, 60)
            eventually(lambda: listener.last_status().startswith("secondary"), 60)
            node.kill()
            eventually(lambda: "no heartbeat" in listener.last_status(), 60)
            assert "WATCHDOG" in listener.words()[-1]
            assert 0 == agent.terminate()
            assert ["STOPPING"] == [name for name in listener.words()[-1] if name != "STATUS"]
            assert 1 == listener.count("READY")
        finally:
            agent.kill()
            remove_directory(agent.directory)


def test_what_a_watchdog_ends_says_where_it_stood(
    replica_set: ReplicaSet, directory: DirectoryStorage, tmp_path: Path
) -> None:
    """SIGABRT leaves a line of each thread's stack, so that a hang can be found.

    The agent has the address of its node as a credential alone.
    """
    node = replica_set.primary()
    (tmp_path / "backstay-mongodb-uri").write_text(node.uri)
    with NotifySocket() as listener:
        agent = Agent.start(
            AgentSpec(
                node=node,
                storage=directory.settings,
                settings={"mongodb": None},
                environment={
                    "NOTIFY_SOCKET": listener.address,
                    "CREDENTIALS_DIRECTORY": str(tmp_path),
                },
            )
        )
        try:
            eventually(lambda: listener.count("WATCHDOG") >= 1, 60)
            agent.send(signal.SIGABRT)
            status = agent.wait()
            assert "Fatal Python error: Aborted" in agent.text()
            # Python reads the stacks of threads that go on, and may fall over one of them.
            if status != -signal.SIGSEGV:
                assert -signal.SIGABRT == status
                assert "in _until_stopped" in agent.text()
        finally:
            agent.kill()
            remove_directory(agent.directory)
