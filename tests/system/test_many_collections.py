"""Thousands of small collections."""

import time
from collections.abc import Iterator

import pytest

from tests.system import bulk
from tests.system.protected import protected
from tests.system.storages import BucketStorage
from tests.testbed.hashes import contents, differences
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

_COUNT = 2000


@pytest.fixture
def single() -> Iterator[ReplicaSet]:
    """One node: making collections costs it enough."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1, cache_gb=0.5)) as replica_set:
        yield replica_set


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_thousand_small_collections(
    single: ReplicaSet, storage: BucketStorage, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of them are in the backup, and those that were lost come back."""
    client = single.client()
    bulk.build_many(client, _COUNT)
    before = contents(client)
    with protected(single, storage) as cluster:
        began = time.monotonic()
        result = cluster.done("backup")
        _print(capsys, f"backup of {_COUNT} collections", began)
        assert 3 * _COUNT == result["docs"]
        lost = [f"collection_{number:05}" for number in range(0, _COUNT, 10)]
        for name in lost:
            client["many"].drop_collection(name)

        began = time.monotonic()
        cluster.done(
            "restore", backup=result["backup"], namespaces=["many.collection_*0"], overwrite=True
        )
        _print(capsys, f"restore of {len(lost)} of them", began)

        assert [] == differences(before, contents(client))
        cluster.check_clean()


def _print(capsys: pytest.CaptureFixture[str], what: str, began: float) -> None:
    with capsys.disabled():
        print(f"\n{what}: {time.monotonic() - began:.1f} s")  # noqa: T201 - a figure for people
