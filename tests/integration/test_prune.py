"""Pruning real storages: a directory, S3 servers, versioned and locked buckets."""

import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from agent.aws import policy
from agent.aws.session import Access
from agent.core.clock import SystemClock
from agent.model import keys
from agent.ports import JobError, ObjectStore, OldVersions
from agent.settings import S3Settings, StorageSettings
from agent.storage.filesystem import FilesystemStore
from agent.storage.s3 import S3Store
from agent.storage.versions import old_versions
from tests.contract.test_object_store import s3_settings
from tests.fakes.pruning import REPLSET, Cellar, id_of
from tests.testbed.aws import AwsServer, allow
from tests.testbed.s3 import REGION, Bucket, S3Endpoint

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

DAY = timedelta(days=1)


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """A storage of the test's own."""
    if request.param == "directory":
        return FilesystemStore(tmp_path)
    bucket: Bucket = request.getfixturevalue("bucket")
    settings = s3_settings(bucket)
    return S3Store(settings, lambda: Access(settings, {}).connect())


def filled(store: ObjectStore) -> Cellar:
    """Put a cellar's objects into a storage; they are all new there."""
    cellar = Cellar()
    cellar.backup(1, window=(0.9, 1))
    cellar.leftover(2, age=DAY)
    for key, body in cellar.store.objects.items():
        store.put(key, body)
    cellar.now = SystemClock().now()
    return cellar


def held(store: ObjectStore) -> dict[str, int]:
    """Return the sizes of all objects by key."""
    return {each.key: each.size_bytes for each in store.list("")}


def test_a_prune_does_what_its_dry_run_told(store: ObjectStore) -> None:
    """The bytes are those that are gone; what stays is what was there, and readable."""
    cellar = filled(store)
    before = held(store)
    told = cellar.run(dry_run=True, store=store)
    assert before == held(store)
    assert {**told, "dry_run": False} == cellar.run(store=store)
    after = held(store)
    assert told["bytes"] == sum(before.values()) - sum(after.values())
    manifests = {keys.parse_manifest(key) for key in after} - {None}
    assert {(REPLSET, id_of(3)), (REPLSET, id_of(4))} == manifests
    assert (3, 0) == (told["backups"], told["orphans"])
    cellar.notes.forget("c")
    assert 0 == cellar.run(store=store)["bytes"]


def test_what_a_dead_job_left_goes_when_the_storage_says_that_it_is_old(store: ObjectStore) -> None:
    """By the time that its listing tells."""
    cellar = filled(store)
    cellar.now += timedelta(hours=23)
    assert 0 == cellar.run(store=store)["orphans"]
    cellar.now += timedelta(hours=2)
    assert 1 == cellar.run(store=store)["orphans"]
    ours = {id_of(3), id_of(4)}
    assert ours == {keys.backup_of(key) for key in held(store)} - {None}


# -- versions and locks


@dataclass(kw_only=True)
class Site:
    """A bucket of a test's own, as its owner sees it, and a storage in it."""

    server: S3Endpoint
    client: "S3Client"
    bucket: str

    @classmethod
    def of(cls, server: S3Endpoint, *, locked: bool = False) -> "Site":
        """Make a bucket."""
        client, bucket = server.client(), f"prune-{secrets.token_hex(5)}"
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=locked)
        return cls(server=server, client=client, bucket=bucket)

    @property
    def s3(self) -> S3Settings:
        """The settings of the storage."""
        return S3Settings(
            region=REGION,
            bucket=self.bucket,
            prefix="prod",
            endpoint_url=self.server.endpoint_url,
        )

    def store(self, client: "S3Client | None" = None) -> S3Store:
        """Return the storage, by the keys of its owner or of another client."""
        return S3Store(self.s3, lambda: client or self.client)

    def versions(self, client: "S3Client | None" = None) -> OldVersions:
        """Return what becomes of deleted objects, as far as a client may know."""
        block = StorageSettings(label="main", type="s3", s3=self.s3)
        return old_versions(block, REPLSET, lambda _: client or self.client)

    def keep_versions(self) -> None:
        """Turn versioning on."""
        self.client.put_bucket_versioning(
            Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"}
        )

    def old_keys(self) -> set[str]:
        """Return the keys of noncurrent versions, below the prefix."""
        found = self.client.list_object_versions(Bucket=self.bucket)
        old = (each for each in found.get("Versions", ()) if not each["IsLatest"])
        return {each["Key"].removeprefix("prod/") for each in old}


@pytest.mark.parametrize("server", ["aws_server", "s3_server"])
def test_under_an_object_lock_what_goes_stays_as_a_version(
    request: pytest.FixtureRequest, server: str
) -> None:
    """A plain deletion succeeds; the result says that versions stay, and nothing was refused."""
    site = Site.of(request.getfixturevalue(server), locked=True)
    site.client.put_object_lock_configuration(
        Bucket=site.bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}},
        },
    )
    store = site.store()
    cellar = filled(store)
    cellar.versions = site.versions()
    before = set(held(store))
    result = cellar.run(store=store)
    assert (3, 0, "kept") == (result["backups"], result["left"], result["old_versions"])
    gone = before - set(held(store))
    assert gone
    assert gone == site.old_keys()


def test_it_is_told_what_becomes_of_deleted_objects(aws_server: AwsServer) -> None:
    """Gone, kept for ever, or until a rule about our prefix ends them; or nobody may look."""
    site = Site.of(aws_server)
    assert "none" == site.versions()
    site.keep_versions()
    assert "kept" == site.versions()

    def rule(prefix: str) -> None:
        site.client.put_bucket_lifecycle_configuration(
            Bucket=site.bucket,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "old",
                        "Status": "Enabled",
                        "Filter": {"Prefix": prefix},
                        "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
                    }
                ]
            },
        )

    rule("other/")
    assert "kept" == site.versions()
    rule("prod/")
    assert "expire" == site.versions()
    lister = aws_server.create_user(allow("s3:ListBucket", on=f"arn:aws:s3:::{site.bucket}"))
    assert "unknown" == site.versions(aws_server.client(lister))


def test_what_a_policy_keeps_is_named_and_all_else_goes(aws_server: AwsServer) -> None:
    """In one request for many, S3 says of each what it did not delete."""
    site = Site.of(aws_server)
    cellar = filled(site.store())
    (chunk,) = (key for key in held(site.store()) if f"/{id_of(1)}/data/" in key)
    manifest = keys.manifest(REPLSET, id_of(2))
    printed = json.loads(policy.permissions(site.s3, REGION).text())
    arn = f"arn:aws:s3:::{site.bucket}/prod/"
    kept = {
        "Effect": "Deny",
        "Action": "s3:DeleteObject",
        "Resource": [f"{arn}{chunk}", f"{arn}{manifest}"],
    }
    agent = aws_server.create_user(printed, {"Version": "2012-10-17", "Statement": [kept]})
    store = site.store(aws_server.client(agent))
    with pytest.raises(JobError) as caught:
        cellar.run(store=store)
    result: dict[str, Any] = dict(caught.value.result)
    assert "prune_incomplete" == caught.value.code
    assert "s3:DeleteObject" in caught.value.hint
    assert [chunk, manifest] == [each["key"] for each in result["refused"]]
    assert (2, 2) == (result["backups"], result["left"])
    left = set(held(store))
    assert {manifest, chunk} <= left
    assert keys.manifest(REPLSET, id_of(1)) not in left
    listed = [each.backup_id for each in cellar.catalogue.entries()]
    assert [id_of(2), id_of(3), id_of(4)] == listed
