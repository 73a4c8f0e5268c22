"""From a storage block to a store."""

from pathlib import Path

import pytest

from agent.aws.session import Access
from agent.core.errors import Stopped
from agent.core.flow import Stop
from agent.settings import FilesystemSettings, S3Settings, StorageSettings
from agent.storage.open import open_store


def connect(settings: S3Settings) -> object:
    """Refuse: opening a store must not make a client yet."""
    raise AssertionError(settings.bucket)


def test_a_directory_is_opened(tmp_path: Path) -> None:
    """What was put is in the directory, and a stop ends the use of the store."""
    block = StorageSettings(type="filesystem", filesystem=FilesystemSettings(path=tmp_path))
    stop = Stop()
    store = open_store(block, connect=lambda settings: Access(settings, {}).connect(), stop=stop)
    store.put("rs/one", b"x")
    assert (tmp_path / "rs/one").read_bytes() == b"x"
    assert store.describe() == str(tmp_path)
    stop.set()
    with pytest.raises(Stopped):
        store.get("rs/one")


@pytest.mark.parametrize(("prefix", "name"), [("", "s3://bucket"), ("prod", "s3://bucket/prod")])
def test_a_bucket_is_opened_at_first_use(prefix: str, name: str) -> None:
    """Opening sends nothing, reads nothing, and makes no client."""
    block = StorageSettings(type="s3", s3=S3Settings(bucket="bucket", prefix=prefix))
    store = open_store(block, connect=connect, stop=Stop())  # type: ignore[arg-type]
    assert store.describe() == name
    with pytest.raises(AssertionError, match="bucket"):
        store.probe()
