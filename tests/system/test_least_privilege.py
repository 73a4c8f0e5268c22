"""The database user that `backstay init` proposes is enough for everything."""

import json
from collections.abc import Iterator

import pytest

from tests.system import dataset
from tests.system.ddl import restless
from tests.system.observed import different, observe
from tests.system.protected import protected
from tests.system.storages import DirectoryStorage
from tests.system.writer import Writer, busy, seed_documents
from tests.testbed.agents import Agent, AgentSpec
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.shell import run_mongosh

_USER, _PASSWORD = "backstay", "a-password-for-the-agent"


@pytest.fixture
def guarded() -> Iterator[ReplicaSet]:
    """One node that asks for a password."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, auth=True, oplog_size_mb=256)) as replica_set:
        yield replica_set


def _make_user(guarded: ReplicaSet, directory: DirectoryStorage) -> str:
    """Run the script that `init` prints, and return the address that the agent gets."""
    (node,) = guarded.nodes
    console = Agent(AgentSpec(node=node, storage=directory.settings))
    printed = console.verb("init", "--for", "restore", "--user", _USER, "--print-only").stdout
    assert "passwordPrompt()" in printed
    done = run_mongosh(guarded.uri, printed.replace("passwordPrompt()", json.dumps(_PASSWORD)))
    assert 0 == done.exit_status, done.stderr
    return f"mongodb://{_USER}:{_PASSWORD}@{node.address}/?authSource=admin"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_proposed_user_may_back_up_and_restore_everything(
    guarded: ReplicaSet, directory: DirectoryStorage
) -> None:
    """Data of every kind, with changes to replay, comes back; the agent's own user stays."""
    client = guarded.client()
    dataset.build(client)
    seed_documents(client)
    settings = {"mongodb": {"uri": _make_user(guarded, directory)}}
    resting = ["values", "kinds", "series", "views", "rules", "indexes", "names", "javascript"]
    with protected(guarded, directory, settings) as cluster:
        before = observe(client, databases=resting)
        with Writer(guarded.uri, busy(), 1), Writer(guarded.uri, restless(), 1):
            backup = cluster.done("backup")
        dataset.damage(client)

        result = cluster.done("restore", backup=backup["backup"], overwrite=True)

        assert [] == different(before, observe(client, databases=resting))
        assert result["replayed_ops"] > 0, "nothing was replayed"
        cluster.check_clean()
        assert "done" == cluster.run("backup")["state"]
