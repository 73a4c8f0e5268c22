"""Wherever an agent dies, another one goes on: done and exact, and nothing is left over.

A choice of the points; `make crashes` plays them all.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.core.crash import Point
from tests.system.crashing import SCENES, Stage, play, stage
from tests.system.storages import DirectoryStorage
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

# Dying between the renames of a switch is the worst of all: that one always.
_ALWAYS = (Point.SWITCH_RENAMED, Point.MANIFEST_STORED, Point.CHUNK_STORED)
_CHOSEN = 8


def chosen(seed: int) -> list[Point]:
    """Return the points of a seed, in a fixed order."""
    others = [point for point in SCENES if point not in _ALWAYS]
    return sorted([*_ALWAYS, *random.Random(seed).sample(others, _CHOSEN - len(_ALWAYS))])


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two nodes, two agents, one of which is to die again and again."""
    path: Path = tmp_path_factory.mktemp("storage")
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=2, priorities=(2, 1))) as replica_set,
        stage(replica_set, DirectoryStorage(path)) as made,
    ):
        yield made


@pytest.mark.parametrize("point", chosen(4))
def test_another_agent_goes_on_after_a_death_at(on: Stage, point: Point) -> None:
    """The command ends done, what it made is exact, and no trace of the dead is left."""
    play(on, point)
