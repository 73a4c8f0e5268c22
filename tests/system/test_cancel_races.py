"""A cancel says what is true of its target, though whoever coordinates dies in between.

A choice of the races; `make crashes` plays them all.
"""

from collections.abc import Iterator

import pytest

from tests.system.cancelling import race
from tests.system.crashing import Stage, stage
from tests.system.storages import DirectoryStorage
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two nodes, two agents, one of which is to die again and again."""
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=2, priorities=(2, 1))) as replica_set,
        stage(replica_set, DirectoryStorage(tmp_path_factory.mktemp("storage"))) as made,
    ):
        yield made


@pytest.mark.parametrize("name", ["together", "backup, then taken", "restore switches"])
def test_a_cancel_and_its_target_agree(on: Stage, name: str) -> None:
    """What is cancelled has done nothing and left nothing; what is not comes to its end."""
    race(on, name)
