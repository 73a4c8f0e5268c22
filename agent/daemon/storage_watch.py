"""Whether the main storage answers, and how it stands with its keys, asked apart from all work."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from agent.core.clock import Clock, SystemClock
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Shared, Stop
from agent.core.log import Log
from agent.model.status import CredentialFacts, StorageStatus
from agent.ports import ObjectStore

# A storage that answered is asked again only now and then; one that did not, sooner.
PROBE_S: Final = 60.0
PROBE_AGAIN_S: Final = 10.0

_DENIED: Final = "storage_denied"
_AWAIT: Final = "storage.s3.awaits_role: true lets agents start while a role is set up"
# Keys are looked at as often as this, which costs nothing until they are to be renewed.
KEEP_S: Final = 2.0
# A probe is one small answer.
STUCK_S: Final = 30.0
_STUCK: Final = f"the storage has not answered within {STUCK_S:.0f} s, nor has it refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What is known of the keys for the storage.

    ``facts`` asks nobody; ``identify`` may ask once for each set of keys; ``keep`` renews keys
    whose time has come. None of them fails.
    """

    facts: Callable[[], CredentialFacts]
    identify: Callable[[], CredentialFacts]
    keep: Callable[[], None]


class StorageWatch:
    """Asks the main storage now and then whether it answers, from a thread of its own.

    ``awaits_role``: a permission that is missing at the start is no fault, but to be given.
    """

    def __init__(
        self,
        store: ObjectStore,
        first: StorageStatus,
        log: Log,
        credentials: Credentials,
        *,
        awaits_role: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._asked_at = Shared[float | None](None)
        self._store = store
        self._log = log
        self._credentials = credentials
        self._awaits_role = awaits_role
        self._status = Shared(first)

    def status(self) -> StorageStatus:
        """Return what the last probe found, and how it stands with the keys now.

        A probe that does not come to an end says enough: an answer that comes a byte at a time
        keeps to every timeout.
        """
        found = _with(self._status.get(), self._credentials.facts())
        asked_at = self._asked_at.get()
        if asked_at is None or self._clock.monotonic() - asked_at < STUCK_S or not found.ok:
            return found
        return replace(found, ok=False, error=_STUCK, error_code="storage_interrupted")

    def begin(self) -> None:
        """Ask for the first time, when a person may still be watching.

        Raises: PermanentError for what only a person can mend: a bucket that is not there, or a
        permission that is missing, unless a role is awaited; it names the source of the keys.
        """
        try:
            self._store.probe()
        except PermanentError as error:
            if error.code == _DENIED and self._awaits_role:
                self._learn(error)
                return
            source = self._credentials.facts().source
            raise PermanentError(
                error.code,
                error.message if source == "none" else f"{error.message} (credentials: {source})",
                hint=f"{error.hint}; {_AWAIT}" if error.code == _DENIED else error.hint,
            ) from error
        except TransientError as error:
            self._learn(error)
        else:
            self._learn(None)

    def run(self, stop: Stop) -> None:
        """Probe until stopped."""
        while True:
            is_ok = self.probe()
            if self._rest(stop, PROBE_S if is_ok else PROBE_AGAIN_S):
                return

    def _rest(self, stop: Stop, rest_s: float) -> bool:
        """Wait for the next probe, and return whether it is to stop.

        Keys are renewed meanwhile, so that those of an idle agent do not end. While they cannot
        be, the next probe comes soon, and shows when they are over.
        """
        rested_s = 0.0
        while rested_s < rest_s:
            if stop.wait(KEEP_S):
                return True
            rested_s += KEEP_S
            self._credentials.keep()
            if self._credentials.facts().renewal_error is not None:
                rest_s = PROBE_AGAIN_S
        return False

    def probe(self) -> bool:
        """Ask once; a change is logged."""
        self._asked_at.set(self._clock.monotonic())
        try:
            self._store.probe()
        except (PermanentError, TransientError) as error:
            self._learn(error)
            return False
        finally:
            self._asked_at.set(None)
        self._learn(None)
        return True

    def _learn(self, error: PermanentError | TransientError | None) -> None:
        old, keys = self._status.get(), self._credentials.identify()
        text = None if error is None else _text(error)
        if error is not None and old.error != text:
            self._log.error(
                "storage does not answer", label=old.label, code=error.code, reason=text
            )
        elif old.error and error is None:
            self._log.info("storage answers again", label=old.label)
        if keys.source != old.credential_source and error is None:
            self._log.info("credentials found", label=old.label, source=keys.source)
        code = None if error is None else error.code
        self._status.set(_with(replace(old, ok=error is None, error=text, error_code=code), keys))


def _with(status: StorageStatus, keys: CredentialFacts) -> StorageStatus:
    """Return a status with facts of keys; fresh ones of a source are whose the old ones were."""
    is_same_source = keys.source == status.credential_source
    return replace(
        status,
        credential_source=keys.source,
        identity=keys.identity or (status.identity if is_same_source else None),
        expires_at=keys.expires_at,
        renewal_error=keys.renewal_error,
    )


def _text(error: PermanentError | TransientError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
