"""Make the store that a storage block describes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.core.errors import ConfigError, TransientError
from agent.core.flow import Stop
from agent.core.retry import RetryPolicy
from agent.ports import NO_INSTRUMENTS, Instruments, ObjectStore
from agent.settings import RetrySettings, S3Settings, StorageSettings
from agent.storage.counting import CountingStore
from agent.storage.filesystem import FilesystemStore
from agent.storage.retrying import OnRetry, RetryingStore
from agent.storage.s3 import S3Store

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


def open_store(
    settings: StorageSettings,
    *,
    connect: "Callable[[S3Settings], S3Client]",
    stop: Stop,
    on_retry: OnRetry | None = None,
    is_patient: bool = True,
    instruments: Instruments = NO_INSTRUMENTS,
) -> ObjectStore:
    """Return the store of a storage, which waits out passing failures until ``stop`` is set.

    Without patience every failure shows at once, for whoever only wants to know.

    Nothing is sent or read yet: ``connect`` is called at the first use. Raises: ConfigError, for
    a block that was not checked at load.
    """
    store = open_plain(settings, connect, instruments)
    if not is_patient:
        return store
    return with_patience(store, settings, stop=stop, on_retry=on_retry, instruments=instruments)


def open_plain(
    settings: StorageSettings,
    connect: "Callable[[S3Settings], S3Client]",
    instruments: Instruments = NO_INSTRUMENTS,
) -> ObjectStore:
    """Return the store of a storage, whose failures all show at once. As ``open_store`` says."""
    store: ObjectStore
    if settings.s3 is not None:
        s3 = settings.s3
        store = S3Store(s3, lambda: connect(s3), instruments)
    elif settings.filesystem is not None:
        store = FilesystemStore(settings.filesystem.path)
    else:
        raise ConfigError(
            "config_missing", f"the storage {settings.label} has no block for its type"
        )
    return CountingStore(store, settings.label, instruments)


def with_patience(
    store: ObjectStore,
    settings: StorageSettings,
    *,
    stop: Stop,
    on_retry: OnRetry | None = None,
    instruments: Instruments = NO_INSTRUMENTS,
) -> ObjectStore:
    """Return a store that waits out the passing failures of another, which any number may share."""

    def retried(error: TransientError, number: int) -> None:
        instruments.count_retry(settings.label)
        if on_retry is not None:
            on_retry(error, number)

    retries = RetrySettings() if settings.s3 is None else settings.s3.retries
    return RetryingStore(store, _policy(retries), stop, retried)


def _policy(retries: RetrySettings) -> RetryPolicy:
    return RetryPolicy(
        limit_s=retries.limit_s,
        first_wait_s=retries.first_wait_s,
        longest_wait_s=retries.longest_wait_s,
    )
