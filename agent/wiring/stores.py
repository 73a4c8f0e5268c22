"""The configured storages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from agent.aws.doctor import check_keys
from agent.aws.session import Access
from agent.core.clock import SystemClock
from agent.core.errors import PermanentError
from agent.core.flow import Stop
from agent.model.check import Finding
from agent.model.status import CredentialFacts
from agent.ports import (
    NO_INSTRUMENTS,
    Instruments,
    JobContext,
    ObjectStore,
    OldVersions,
)
from agent.settings import S3Settings, Settings
from agent.storage.clients import Clients
from agent.storage.doctor import Examiner, check_storage
from agent.storage.open import open_plain, open_store, with_patience
from agent.storage.versions import old_versions

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


class Stores:
    """The configured storages by label; ``access`` has those of type s3."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        stop: Stop,
        instruments: Instruments = NO_INSTRUMENTS,
    ) -> None:
        self.settings = settings
        self.environment = environment
        self._instruments = instruments
        self._stop = stop
        self._main = settings.storage.label
        self._settings = {one.label: one for one in settings.storages}
        # One for each bucket, so that all clients of it share keys and renew them once.
        self.access = {
            one.label: Access(one.s3, environment)
            for one in settings.storages
            if one.s3 is not None
        }
        # One client for all jobs: each would keep connections, and what AWS's protocol needs.
        self._plain = {
            label: open_plain(one, self._connect(label), instruments)
            for label, one in self._settings.items()
        }
        self._stores = {
            label: with_patience(store, self._settings[label], stop=stop, instruments=instruments)
            for label, store in self._plain.items()
        }
        self._asking = {label: Clients(self._connect(label)) for label in self._settings}

    def facts(self) -> CredentialFacts:
        """Return with whose keys the main storage is reached, as far as is known."""
        access = self.access.get(self._main)
        return CredentialFacts(source="none") if access is None else access.facts()

    def keep(self) -> None:
        """Renew the keys of every storage that soon end."""
        for access in self.access.values():
            access.keep()

    def identify(self) -> CredentialFacts:
        """Return with whose keys the main storage is reached; may ask STS."""
        access = self.access.get(self._main)
        return CredentialFacts(source="none") if access is None else access.identify()

    def open_hurried(self, *, answer_s: float | None = None) -> ObjectStore:
        """Return the main storage without patience.

        ``answer_s`` bounds the wait for an answer, seconds, where the settings allow more.
        """
        main = self._settings[self._main]
        if main.s3 is not None and answer_s is not None:
            s3 = main.s3.model_copy(
                update={"read_timeout_s": min(main.s3.read_timeout_s, answer_s)}
            )
            main = main.model_copy(update={"s3": s3})
        return open_store(
            main,
            connect=self._connect(self._main),
            stop=Stop(),
            is_patient=False,
            instruments=self._instruments,
        )

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

    def open_for(
        self, label: str, context: JobContext, *, ends_on_cancel: bool = True
    ) -> ObjectStore:
        """Return a storage that tries again only while a job may go on and its lease is held.

        One that a cancel does not end serves a job that looks for cancels between its steps.
        """
        return with_patience(
            self._plain[label],
            self._settings[label],
            stop=context.stop if ends_on_cancel else self._stop,
            on_retry=lambda _error, _number: context.held(),
            instruments=self._instruments,
        )

    def check(self, label: str, examiner: Callable[[], Examiner]) -> Iterator[Finding]:
        """Yield what the tests of a storage and of its keys find; one ``examiner`` for each run."""
        access = self.access.get(label)
        if access is not None and not (yield from check_keys(access, label, SystemClock())):
            return
        yield from check_storage(self._settings[label], examiner(), self._asking[label].client)

    def old_versions(self, label: str, replset: str) -> OldVersions:
        """Return what becomes of the objects of a replica set that are deleted in a storage."""
        return old_versions(self._settings[label], replset, self._asking[label].client)

    def labels(self) -> Sequence[str]:
        """Return all labels, the main storage's first."""
        return tuple(self._stores)

    def _connect(self, label: str) -> "Callable[[S3Settings], S3Client]":
        # Looked up late: a directory has no access, and is never connected to.
        def connect(settings: S3Settings) -> "S3Client":
            return self.access[label].connect(settings)

        return connect
