"""Verifying a backup in real storages: a directory, and an S3 server."""

from pathlib import Path

import pytest

from agent.aws.session import Access
from agent.model.verdict import DEPTHS, Depth
from agent.storage.filesystem import FilesystemStore
from agent.storage.s3 import S3Store
from tests.contract.test_object_store import s3_settings
from tests.fakes import archive
from tests.fakes.stored_backup import BEGIN, END
from tests.fakes.verifying import DAMAGES, Damage, Verifying
from tests.testbed.s3 import Bucket


@pytest.fixture(params=["directory", "s3"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Verifying:
    """A sound backup in a storage of the test's own."""
    if request.param == "directory":
        return Verifying(FilesystemStore(tmp_path))
    bucket: Bucket = request.getfixturevalue("bucket")
    settings = s3_settings(bucket)
    return Verifying(S3Store(settings, lambda: Access(settings, {}).connect()))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.name)
def test_each_damage_is_named(site: Verifying, damage: Damage) -> None:
    """By a listing, where it shows there, and by reading everything; before that all is sound."""
    for depth in DEPTHS:
        assert 0 == site.run(depth)["bad_objects"]
    damage.do(site.stored)
    key = damage.key(site.stored)
    site.clock.move(1)
    assert damage.by_listing == (key in named(site, "objects"))
    site.clock.move(1)
    assert damage.what in named(site, "content")[key]
    (entry,) = site.catalogue.entries()
    assert entry.is_damaged


@pytest.mark.parametrize("depth", DEPTHS)
def test_what_compaction_joined_is_sound(site: Verifying, depth: Depth) -> None:
    """The backup's own segments are gone, and one that holds the same is there."""
    archive.archive(site.store, BEGIN, END)
    site.store.delete([each.key for each in site.stored.segments])
    assert {} == named(site, depth)


def test_the_newest_verdict_of_each_depth_is_kept(site: Verifying) -> None:
    """However often a backup is verified."""
    for _ in range(3):
        for depth in DEPTHS:
            site.clock.move(1)
            assert {} == named(site, depth)
    kept = [each.key for each in site.store.list("") if "/verified/" in each.key]
    assert 2 == len(kept)
    assert b'"bad_objects": 0' in site.store.get(kept[0])


def named(site: Verifying, depth: Depth) -> dict[str, str]:
    """Return what a verify says of which object."""
    return {each["key"]: each["what"] for each in site.run(depth)["bad"]}
