"""Every recorded moment of a cluster that is never left in peace comes back exactly."""

import random
from dataclasses import replace
from pathlib import Path

import click
import pytest

from tests.system.protected import Protected, protected, result_of
from tests.system.storages import DirectoryStorage
from tests.system.torture import Moment, disturb, held, prepare, quiet_moment, users, writing
from tests.testbed.hashes import differences
from tests.testbed.programs import MongodVersion
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.waiting import eventually

_ROUNDS = 10
_FEW_ROUNDS = 4
_ARCHIVE = {"oplog": {"upload_interval_s": 1}}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_recorded_moment_comes_back(directory: DirectoryStorage) -> None:
    """Hashes, options, indexes and users are those of the moment, in a replica set of its own."""
    torture(directory, seed=1, rounds=_ROUNDS)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_recorded_moment_of_5_0_comes_back(directory: DirectoryStorage) -> None:
    """The oldest server that is supported writes and takes other entries."""
    torture(directory, seed=2, rounds=_FEW_ROUNDS, version="5.0")


def torture(
    storage: DirectoryStorage, *, seed: int, rounds: int, version: MongodVersion = "6.0"
) -> None:
    """Live through some rounds, then bring each of their ends back. Raises: AssertionError."""
    click.echo(f"seed {seed}, mongod {version}")
    spec = ReplicaSetSpec(oplog_size_mb=2048, version=version)
    with (
        ReplicaSet.start(spec) as replica_set,
        protected(replica_set, storage, _ARCHIVE) as cluster,
    ):
        moments = _live(cluster, random.Random(seed), seed, rounds)
        last = moments[-1].at
        eventually(lambda: _archived_to(storage) >= (last.time, last.inc), 60)
    with (
        ReplicaSet.start(replace(spec, nodes=1)) as fresh,
        protected(fresh, storage, _ARCHIVE) as cluster,
    ):
        for number, moment in enumerate(moments):
            _check(cluster, moment, f"seed {seed}, round {number}")


def _live(cluster: Protected, rng: random.Random, seed: int, rounds: int) -> list[Moment]:
    prepare(cluster.client, cluster.replica_set.spec.version)
    moments: list[Moment] = []
    for number in range(rounds):
        with writing(cluster, seed * 1000 + number):
            order = cluster.order("backup") if number in {0, rounds // 2} else None
            deed = "nothing" if number == 0 else disturb(cluster, rng)
            click.echo(f"seed {seed}, round {number}: {deed}")
            ended = cluster.end_of(order) if order is not None else None
        # DDL without end may make a backup fail; the first one is what all else stands on.
        if ended is not None and number == 0:
            result_of(ended)
        moments.append(quiet_moment(cluster))
        gaps = [each["message"] for each in cluster.control["events"].find({"code": "oplog_gap"})]
        assert [] == gaps, f"seed {seed}, round {number}, {deed}: {gaps}"
    return moments


def _check(cluster: Protected, moment: Moment, where: str) -> None:
    document = cluster.end_of(cluster.order("restore", to=moment.at, overwrite=True), 180)
    assert "done" == document["state"], f"{where}: {document}"
    wrong = differences(moment.expected, held(cluster.client))
    assert [] == wrong, f"{where}: {wrong}"
    assert moment.users == users(cluster.client), where
    assert document["result"]["restored_to"] <= moment.at, where


def _archived_to(storage: DirectoryStorage) -> tuple[int, int]:
    """Return the latest time at which a segment ends, by the names alone."""
    names = [Path(key).name for key in storage.list() if "/oplog/" in key]
    last = max(name.removesuffix(".bson.zst").partition("_")[2] for name in names)
    seconds, _, increment = last.partition(".")
    return int(seconds), int(increment)
