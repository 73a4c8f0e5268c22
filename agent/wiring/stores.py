"""The configured storages."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agent.aws.session import connect_s3
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.ports import (
    JobContext,
    ObjectStore,
)
from agent.settings import S3Settings, Settings
from agent.storage.open import open_store

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class Stores:
    """The configured storages by label."""

    def __init__(self, settings: Settings, environment: Mapping[str, str], stop: Stop) -> None:
        self._environment = environment
        self._main = settings.storage.label
        self._settings = {one.label: one for one in settings.storages}
        self._stores = {
            one.label: open_store(one, connect=self.connect, stop=stop) for one in settings.storages
        }

    def connect(self, settings: S3Settings) -> "S3Client":
        """Return a client for a bucket."""
        return connect_s3(settings, self._environment)

    def open(self, label: str | None) -> tuple[str, ObjectStore]:
        """Return a storage with its label; None is the main one.

        Raises: PermanentError ``unknown_storage``.
        """
        wanted = label or self._main
        if wanted not in self._stores:
            raise PermanentError(
                "unknown_storage",
                f"no storage is labelled {wanted!r}",
                hint=f"configured: {', '.join(sorted(self._stores))}",
            )
        return wanted, self._stores[wanted]

    def open_for(self, label: str, context: JobContext) -> ObjectStore:
        """Return a storage that tries again only while a job may go on and its lease is held."""
        return open_store(
            self._settings[label],
            connect=self.connect,
            stop=context.stop,
            on_retry=lambda _error, _number: context.held(),
        )

    def labels(self) -> Sequence[str]:
        """Return all labels, the main storage's first."""
        return tuple(self._stores)
