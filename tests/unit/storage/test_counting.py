"""What stores tell to those who count."""

from typing import TYPE_CHECKING

import pytest

from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.metrics.counts import Counts
from agent.settings import S3Settings, StorageSettings
from agent.storage.counting import CountingStore
from agent.storage.open import open_store
from tests.fakes.clock import VirtualClock
from tests.fakes.store import MemoryStore, denied, unreachable

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def value(counts: Counts, name: str) -> float | None:
    """Return what is counted for the storage "main"."""
    return counts.registry.get_sample_value(f"backstay_storage_{name}_total", {"storage": "main"})


def test_bytes_count_once_they_have_arrived() -> None:
    """Those of an upload that failed, or of an object that is not there, never did."""
    inner, counts = MemoryStore(), Counts(["main"], VirtualClock())
    store = CountingStore(inner, "main", counts)
    store.put("rs/one", b"12345")
    store.get("rs/one")
    store.get("rs/one")
    with pytest.raises(PermanentError):
        store.get("rs/two")
    with pytest.raises(PermanentError):
        store.put("rs/one", b"another")
    assert (5, 10) == (value(counts, "written_bytes"), value(counts, "read_bytes"))
    assert ["rs/one"] == [each.key for each in store.list("rs/")]
    store.delete(["rs/one"])
    assert [] == list(inner.list("rs/"))
    assert inner.describe() == store.describe()


def test_failures_that_are_tried_again_are_counted() -> None:
    """Once each; whoever else wants to know of them is told too."""
    faults: list[Exception] = [denied(), unreachable(), unreachable()]

    def connect(_settings: S3Settings) -> "S3Client":
        raise faults.pop()

    counts, told = Counts(["main"], VirtualClock()), list[int]()
    store = open_store(
        StorageSettings(type="s3", s3=S3Settings(bucket="bucket")),
        connect=connect,
        stop=Stop(),
        on_retry=lambda _error, number: told.append(number),
        instruments=counts,
    )
    with pytest.raises(PermanentError, match="refuses"):
        store.probe()
    assert [1, 2] == told
    assert 2 == value(counts, "retries")
