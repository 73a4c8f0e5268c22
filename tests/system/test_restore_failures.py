"""A restore that cannot be sound says why, and touches nothing."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.system.observed import of_users
from tests.system.protected import Protected, error_of, protected
from tests.system.storages import BucketStorage, chunk_keys, manifest_keys
from tests.testbed.hashes import Contents, contents, differences
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import Bucket, S3Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A cluster with one backup, and data that is not what the backup holds."""

    cluster: Protected
    storage: BucketStorage
    backup: str
    data: Contents

    def check_untouched(self) -> None:
        """Raise AssertionError if anything is not as it was."""
        assert [] == differences(self.data, of_users(contents(self.cluster.client)))
        self.cluster.check_clean()


@pytest.fixture(scope="module")
def scene(shared_replica_set: ReplicaSet, s3_server: S3Server) -> Iterator[Scene]:
    """One for all tests here, since none of them may change anything."""
    client = shared_replica_set.client()
    shop = client["shop"]
    shop["orders"].insert_many([{"_id": n, "text": "x" * 500} for n in range(3000)])
    shop["items"].insert_many([{"_id": n} for n in range(10)])
    shop.create_collection("view", viewOn="items", pipeline=[])
    bucket = s3_server.create_bucket()
    storage = BucketStorage(Bucket(server=s3_server, name=bucket, prefix="failures"))
    with protected(shared_replica_set, storage) as cluster:
        backup = cluster.done("backup")["backup"]
        shop["orders"].delete_many({"_id": {"$lt": 7}})
        yield Scene(cluster=cluster, storage=storage, backup=backup, data=contents(client))
    storage.close()
    client.drop_database("shop")
    client.drop_database("backstay")


REFUSED = [
    pytest.param({"backup": "20200101T000000Z"}, "20200101T000000Z", id="unknown backup"),
    pytest.param({}, "shop.orders", id="target exists"),
    pytest.param({"namespaces": ["nothing.*"]}, "nothing.*", id="pattern that matches nothing"),
    pytest.param({"namespaces": ["shop.Orders"]}, "shop.Orders", id="pattern in other letters"),
    pytest.param({"namespaces": ["shop"]}, "'shop'", id="pattern without a dot"),
    pytest.param(
        {"rename": [{"from": "shop.*", "to": "shop.one"}]}, "stars", id="stars do not fit"
    ),
    pytest.param(
        {
            "rename": [
                {"from": "shop.orders", "to": "new.same"},
                {"from": "shop.items", "to": "new.same"},
            ]
        },
        "new.same",
        id="renames collide",
    ),
    pytest.param(
        {"rename": [{"from": "shop.orders", "to": "local.orders"}]}, "local.orders", id="to local"
    ),
    pytest.param(
        {"rename": [{"from": "shop.*", "to": "backstay.*"}]}, "backstay", id="to control database"
    ),
    pytest.param({"rename": [{"from": "shop.*", "to": "SHOP.*"}]}, "case", id="differs in case"),
    pytest.param({"to": "latest", "backup": "x"}, "backup", id="both backup and to"),
    pytest.param({"storage": "elsewhere"}, "elsewhere", id="unknown storage"),
]


@pytest.mark.parametrize(("options", "named"), REFUSED)
def test_senseless_restore_is_rejected(
    scene: Scene, options: dict[str, object], named: str
) -> None:
    """It ends as `rejected` with a code, a message that names the culprit, and a hint."""
    document = scene.cluster.run("restore", **options)

    code, message, hint = error_of(document, "rejected")
    assert code
    assert named in message
    assert hint
    scene.check_untouched()


def test_time_outside_every_range_is_rejected_and_names_the_nearest(scene: Scene) -> None:
    """A time that no backup stands for is refused with the times that can be had."""
    entry = scene.cluster.control["backups"].find_one({"_id": {"$exists": True}})
    assert entry is not None
    early = entry["started_at"].replace(year=2020)

    code, message, _ = error_of(scene.cluster.run("restore", to=early), "rejected")

    assert "not_recoverable" == code
    assert scene.backup in message
    scene.check_untouched()


def _flipped(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


DAMAGES = [
    pytest.param(_flipped, id="one bit"),
    pytest.param(lambda body: body[:-1], id="one byte short"),
    pytest.param(lambda _: b"", id="empty"),
    pytest.param(lambda body: body + b"\0", id="one byte long"),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_chunk_fails_the_restore_before_the_switch(
    scene: Scene, damage: Callable[[bytes], bytes]
) -> None:
    """The object is named, and the data stays as it is."""
    key = _largest_chunk(scene.storage)
    sound = scene.storage.read(key)
    scene.storage.write(key, damage(sound))
    try:
        document = scene.cluster.run("restore", backup=scene.backup, overwrite=True)
    finally:
        scene.storage.write(key, sound)

    code, message, _ = error_of(document, "failed")
    assert code
    assert key in message
    scene.check_untouched()


def test_missing_chunk_fails_the_restore_before_the_switch(scene: Scene) -> None:
    """The object is named, and the data stays as it is."""
    key = _largest_chunk(scene.storage)
    sound = scene.storage.read(key)
    scene.storage.remove(key)
    try:
        document = scene.cluster.run("restore", backup=scene.backup, overwrite=True)
    finally:
        scene.storage.write(key, sound)

    code, message, _ = error_of(document, "failed")
    assert "object_missing" == code
    assert key in message
    scene.check_untouched()


MANIFESTS = [
    pytest.param(lambda body: body[: len(body) // 2], id="cut in half"),
    pytest.param(lambda _: b"{}", id="of something else"),
    pytest.param(lambda body: _with_version(body, 99), id="of a format to come"),
]


@pytest.mark.parametrize("damage", MANIFESTS)
def test_unreadable_manifest_fails_the_restore(
    scene: Scene, damage: Callable[[bytes], bytes]
) -> None:
    """A manifest that cannot be trusted is refused by name."""
    (key,) = manifest_keys(scene.storage)
    sound = scene.storage.read(key)
    scene.storage.write(key, damage(sound))
    try:
        document = scene.cluster.run("restore", backup=scene.backup, overwrite=True)
    finally:
        scene.storage.write(key, sound)

    assert document["state"] in {"failed", "rejected"}, document
    assert scene.backup in document["error"]["message"]
    scene.check_untouched()


def test_dry_run_shows_the_plan_and_does_nothing(scene: Scene) -> None:
    """The plan names what would be replaced and how much is read."""
    plan = scene.cluster.done("restore", backup=scene.backup, overwrite=True, dry_run=True)["plan"]

    assert {"shop.items", "shop.orders", "shop.view"} == set(plan["replace"])
    assert 3000 < plan["docs"]
    scene.check_untouched()


def _largest_chunk(storage: BucketStorage) -> str:
    return max(chunk_keys(storage), key=lambda key: len(storage.read(key)))


def _with_version(body: bytes, version: int) -> bytes:
    manifest = json.loads(body)
    return json.dumps({**manifest, "format_version": version}).encode()
