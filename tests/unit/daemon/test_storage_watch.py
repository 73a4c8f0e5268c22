"""What an agent tells of its storage between two probes."""

from dataclasses import replace

import pytest

from agent.core import log as logs
from agent.core.errors import PermanentError, TransientError
from agent.daemon.storage_watch import STUCK_S, Credentials, StorageWatch
from agent.model.status import CredentialFacts, StorageStatus
from tests.fakes.clock import VirtualClock
from tests.fakes.store import MemoryStore, fail_from

FIRST = StorageStatus(label="main", ok=True, bucket="memory", credential_source="none")
NOW = VirtualClock().now()


class Watched:
    """A watch over a store in memory, and keys that a test changes."""

    def __init__(self) -> None:
        self.keys = CredentialFacts(source="instance profile", expires_at=NOW)
        self.arn: str | None = "arn:one"
        self.store = MemoryStore()
        self.kept_count = 0
        credentials = Credentials(facts=lambda: self.keys, identify=self._identify, keep=self._keep)
        self.clock = VirtualClock()
        self.watch = StorageWatch(self.store, FIRST, logs.get(), credentials, clock=self.clock)

    def _keep(self) -> None:
        self.kept_count += 1

    def _identify(self) -> CredentialFacts:
        return replace(self.keys, identity=self.arn)


def test_the_keys_are_those_of_now() -> None:
    """They are renewed between probes; whose they are stays until it is asked again."""
    watched = Watched()
    assert watched.watch.probe()
    watched.keys = replace(watched.keys, renewal_error="gone")
    found = watched.watch.status()
    assert ("arn:one", NOW, "gone") == (found.identity, found.expires_at, found.renewal_error)
    watched.keys = CredentialFacts(source="container")
    found = watched.watch.status()
    assert ("container", None, None) == (
        found.credential_source,
        found.identity,
        found.renewal_error,
    )


def test_a_refusal_at_the_start_names_the_source_of_the_keys() -> None:
    """An operator who sees that the keys are wrong asks which ones."""
    watched = Watched()
    watched.store.fault = fail_from(1, PermanentError("credentials_wrong", "unknown", hint="look"))
    with pytest.raises(PermanentError) as caught:
        watched.watch.begin()
    assert caught.value.code == "credentials_wrong"
    assert caught.value.message == "unknown (credentials: instance profile)"
    assert caught.value.hint == "look"


@pytest.mark.parametrize(
    "error",
    [
        TransientError("credentials_unavailable", "no keys", hint="look"),
        PermanentError("storage_denied", "no keys", hint="look"),
    ],
)
def test_a_failure_has_its_code_and_goes_with_it(error: TransientError | PermanentError) -> None:
    """Text and hint for people, the code for problems."""
    watched = Watched()
    watched.store.fault = fail_from(1, error)
    assert not watched.watch.probe()
    found = watched.watch.status()
    assert (False, error.code, "no keys; look") == (found.ok, found.error_code, found.error)
    watched.store.fault = None
    assert watched.watch.probe()
    found = watched.watch.status()
    assert (True, None, None) == (found.ok, found.error_code, found.error)


def test_a_probe_that_does_not_end_is_told() -> None:
    """An answer of a byte a second keeps to every timeout, and is none all the same."""
    watched = Watched()
    told: list[StorageStatus] = []

    def trickle(*_: object) -> None:
        for rest_s in (STUCK_S - 1, 2):
            watched.clock.move(rest_s)
            told.append(watched.watch.status())

    watched.store.fault = trickle
    assert watched.watch.probe()
    told.append(watched.watch.status())
    assert [(True, None), (False, "storage_interrupted"), (True, None)] == [
        (each.ok, each.error_code) for each in told
    ]
