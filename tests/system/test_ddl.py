"""Definitions that change during a backup never make a wrong one."""

import pytest

from tests.system.ddl import DATABASES, restless
from tests.system.protected import Protected, protected, result_of
from tests.system.second_replay import live_picture, note, replayed_picture
from tests.system.storages import DirectoryStorage, manifest_keys
from tests.system.writer import Writer, busy, seed_documents
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.waiting import eventually

_ALL = (*DATABASES, "shop")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_backup_amid_changing_definitions_is_exact_or_fails(
    replica_set: ReplicaSet, directory: DirectoryStorage
) -> None:
    """Whatever is created, dropped and renamed meanwhile: the copy is one moment, or no copy is."""
    exact_count = 0
    with protected(replica_set, directory) as cluster:
        for seed in range(6):
            exact_count += _is_exact(cluster, seed)
    # Clean failures are allowed, but a backup that always fails proves nothing.
    assert exact_count >= 3


def _is_exact(cluster: Protected, seed: int) -> bool:
    client = cluster.client
    for database in _ALL:
        client.drop_database(database)
    begin = note(client)
    seed_documents(client, 500)
    uri = cluster.replica_set.uri
    with Writer(uri, restless(), seed) as definitions, Writer(uri, busy(500), seed):
        eventually(lambda: definitions.done_count > 20, 30, message="there are collections")
        before = len(manifest_keys(cluster.storage))
        document = cluster.run("backup")
    if document["state"] != "done":
        assert "failed" == document["state"], document
        assert before == len(manifest_keys(cluster.storage))
        return False
    result = result_of(document)
    expected = replayed_picture(client, _ALL, begin, result["consistent_at"])
    now = replayed_picture(client, _ALL, begin, note(client))
    errors = now.differences(live_picture(client, _ALL))
    assert [] == errors, f"the judge is wrong: {errors}"

    cluster.done("restore", backup=result["backup"], overwrite=True)

    wrong = expected.differences(live_picture(client, _ALL))
    assert [] == wrong, f"seed {seed}: {wrong}"
    cluster.check_clean()
    return True
