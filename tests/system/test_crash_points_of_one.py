"""A lone agent dies where others of the crash points do not lie, and comes back."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from agent.core.crash import CRASH_VARIABLE, Point
from agent.mongo.control import outdated
from tests.system.protected import QUICK, WITHOUT_ARCHIVE, Protected, result_of
from tests.system.storages import DirectoryStorage
from tests.system.writer import seed_documents
from tests.testbed.agents import Agent, Agents
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


_NAMES = ("before_backup", "after_backup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A cluster of one agent, and the file in which its hooks tell what they do."""

    cluster: Protected
    told: Path


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """One node, one agent, and hooks around its backups that take a moment."""
    place = tmp_path_factory.mktemp("hooks")
    told, hook = place / "told", place / "hook"
    hook.write_text(
        "#!/bin/sh\n"
        f'echo "$BACKSTAY_EVENT begins" >>{told}; sleep 1; echo "$BACKSTAY_EVENT ends" >>{told}\n'
    )
    hook.chmod(0o755)
    storage = DirectoryStorage(tmp_path_factory.mktemp("storage"))
    settings = {**QUICK, **WITHOUT_ARCHIVE, "hooks": {name: [str(hook)] for name in _NAMES}}
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        seed_documents(replica_set.client(), 100)
        with Agents.start(replica_set, storage.settings, settings=settings) as agents:
            yield Ground(cluster=Protected(replica_set, agents, storage), told=told)


def _dies(cluster: Protected, point: Point, nth: int = 1) -> Agent:
    """Have the agent begin again, and die at a point; return it, to be started as it was."""
    (agent,) = cluster.agents.all
    plain = agent.spec
    agent.spec = replace(plain, environment={CRASH_VARIABLE: f"{point}:{nth}"})
    agent.restart()
    assert -signal.SIGKILL == agent.wait(60)
    assert point == agent.logs()[-1]["point"]
    agent.spec = plain
    return agent


@pytest.mark.parametrize(
    ("point", "before", "after"),
    [(Point.HOOK_STARTED, 1, 1), (Point.HOOK_BEFORE_ENDED, 1, 1), (Point.HOOK_AFTER_ENDED, 1, 2)],
)
def test_a_job_is_done_though_its_agent_dies_at_a_hook(
    ground: Ground, point: Point, before: int, after: int
) -> None:
    """The first program runs once, even if its agent is gone; the last one at least once."""
    cluster = ground.cluster
    ground.told.unlink(missing_ok=True)
    (agent,) = cluster.agents.all
    agent.terminate()
    order = cluster.order("backup")
    agent = _dies(cluster, point)
    assert "running" == cluster.document(order)["state"]
    agent.restart()
    result_of(cluster.end_of(order))
    expected = [f"{name} {what}" for what in ("begins", "ends") for name in _NAMES]
    counts = dict.fromkeys(expected, before) | dict.fromkeys(expected[1::2], after)

    def has_run() -> bool:
        lines = ground.told.read_text().splitlines()
        assert counts == {line: lines.count(line) for line in lines}
        return True

    eventually(has_run, 20, message="every program has ended")
    cluster.check_clean()


def test_a_control_database_that_was_half_made_is_made_whole(ground: Ground) -> None:
    """A collection without its indexes, and those that are missing, are found at the next start."""
    cluster = ground.cluster
    (agent,) = cluster.agents.all
    agent.terminate()
    cluster.client.drop_database("backstay")
    agent = _dies(cluster, Point.CONTROL_CREATED, 4)
    assert [] != outdated(cluster.control)
    agent.restart()
    assert cluster.done("backup")["docs"]
    assert [] == outdated(cluster.control)
