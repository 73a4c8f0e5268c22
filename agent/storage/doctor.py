"""Tests of a configured storage, whatever its type."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agent.core.clock import Clock
from agent.core.errors import ConfigError
from agent.core.flow import Stop
from agent.model.check import Finding
from agent.settings import S3Settings, StorageSettings
from agent.storage import s3_transport
from agent.storage.bucket_check import BucketCheck
from agent.storage.directory_check import check_directory
from agent.storage.object_check import Site
from agent.storage.open import open_store

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Somebody waits for the answer: a server that takes longer is as good as away.
_CONNECT_S: Final = 3.0
_ANSWER_S: Final = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Who tests; ``name`` is another one for each test: letters and digits."""

    replset: str
    agent: str
    name: str
    clock: Clock


def check_storage(
    settings: StorageSettings, by: Examiner, connect: "Callable[[S3Settings], S3Client]"
) -> Iterator[Finding]:
    """Yield what the tests of a storage find; each request is tried once, and not for long."""
    hurried = _hurried(settings)
    client: S3Client | None = None
    if hurried.s3 is not None:
        try:
            client = connect(hurried.s3)
        except ConfigError as error:
            yield Finding(
                test="region",
                outcome="failed",
                message=error.message,
                storage=settings.label,
                hint=error.hint,
            )
            return
        s3_transport.prepare(client)

    def connected(of: S3Settings) -> "S3Client":
        return client or connect(of)

    site = Site(
        label=settings.label,
        store=open_store(hurried, connect=connected, stop=Stop(), is_patient=False),
        replset=by.replset,
        agent=by.agent,
        name=by.name,
        clock=by.clock,
    )
    if hurried.s3 is not None:
        s3 = hurried.s3
        yield from BucketCheck(site, s3, lambda: connected(s3)).findings()
    elif hurried.filesystem is not None:
        yield from check_directory(site, hurried.filesystem.path)


def _hurried(settings: StorageSettings) -> StorageSettings:
    if settings.s3 is None:
        return settings
    s3 = settings.s3.model_copy(
        update={
            "connect_timeout_s": min(settings.s3.connect_timeout_s, _CONNECT_S),
            "read_timeout_s": min(settings.s3.read_timeout_s, _ANSWER_S),
        }
    )
    return settings.model_copy(update={"s3": s3})
