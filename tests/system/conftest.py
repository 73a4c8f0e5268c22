"""Storages of a test's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.storages import BucketStorage, DirectoryStorage
from tests.testbed.s3 import Bucket


@pytest.fixture
def storage(bucket: Bucket) -> Iterator[BucketStorage]:
    """A prefix of the test's own on a real S3 server."""
    storage = BucketStorage(bucket)
    yield storage
    storage.close()


@pytest.fixture
def directory(tmp_path: Path) -> DirectoryStorage:
    """A directory of the test's own, for tests in which the storage plays no part."""
    path = tmp_path / "storage"
    path.mkdir()
    return DirectoryStorage(path)
