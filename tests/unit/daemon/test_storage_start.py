"""What ends an agent at its start, and what may be mended while it runs."""

from collections.abc import Callable

import pytest

from agent.core import log
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.daemon.identities import SourceWatch
from agent.daemon.storage_watch import Credentials, StorageWatch
from agent.model.status import CredentialFacts, StorageAccess, StorageStatus
from tests.fakes.store import MemoryStore, denied, fail_from, unreachable


def watch_over(error: Exception, *, awaits_role: bool) -> StorageWatch:
    """Return the watch over a storage that fails, reached with keys of an instance."""
    first = StorageStatus(label="main", ok=True, bucket="b", credential_source="none")
    store = MemoryStore(fail_from(1, error))
    facts = CredentialFacts(source="instance profile")
    credentials = Credentials(facts=lambda: facts, identify=lambda: facts, keep=lambda: None)
    return StorageWatch(store, first, log.get(), credentials, awaits_role=awaits_role)


@pytest.mark.parametrize("make", [denied, unreachable])
def test_an_agent_that_awaits_a_role_starts_without(
    make: Callable[[], PermanentError | TransientError],
) -> None:
    """The role is set up with its help; the status has the error."""
    watch = watch_over(make(), awaits_role=True)
    watch.begin()
    status = watch.status()
    assert not status.ok
    assert make().message in str(status.error)
    assert status.credential_source == "instance profile"


def test_without_that_a_permission_that_is_missing_ends_the_start() -> None:
    """One clear line, which says whose keys they are and what could be done."""
    with pytest.raises(PermanentError) as caught:
        watch_over(denied(), awaits_role=False).begin()
    assert "instance profile" in caught.value.message
    assert "storage.s3.awaits_role: true" in caught.value.hint


def test_what_only_the_configuration_can_mend_ends_the_start() -> None:
    """Such as a bucket that is not there."""
    watch = watch_over(PermanentError("storage_bucket_missing", "no such bucket"), awaits_role=True)
    with pytest.raises(PermanentError):
        watch.begin()
    assert watch.status().ok


def test_identities_are_asked_for_until_the_agent_stops() -> None:
    """The others read what was told last."""
    stop = Stop()
    role = "arn:aws:iam::1:role/r"
    first = StorageAccess(storage="main", identity=None, role=role)
    told = StorageAccess(storage="main", identity="arn:aws:iam::1:user/a", role=role)

    def ask() -> list[StorageAccess]:
        stop.set()
        return [told]

    watch = SourceWatch(ask, (first,))
    assert watch.access() == (first,)
    watch.run(stop)
    assert watch.access() == (told,)
