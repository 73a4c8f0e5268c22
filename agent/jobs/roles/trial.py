"""Trying a role out: it must be assumed, and do with the bucket what agents do."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from agent.core.clock import Clock
from agent.core.errors import PermanentError, TransientError
from agent.core.flow import Stop
from agent.ports import ObjectStore, RoleStorage

# Source: IAM User Guide, "Changes that I make are not always immediately visible".
# A refused KMS key is storage_encryption.
_SPREADING: Final = frozenset({"role_denied", "storage_denied", "storage_encryption"})
_LONGEST_PAUSE_S: Final = 2.0
_BODY: Final = b"Backstay tries a role out with this object, and removes it.\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A role, and the object to try it out with."""

    storage: RoleStorage
    role_arn: str
    external_id: str
    key: str

    def run(self, clock: Clock, stop: Stop, patience_s: float) -> bool:
        """Try until it works or patience is over; return whether the external id is demanded.

        Raises: PermanentError ``role_denied``, ``storage_denied``, which names what the role may
        not do, and what else is wrong with role or bucket; TransientError; Stopped.
        """
        until = clock.monotonic() + patience_s
        pause_s = min(_LONGEST_PAUSE_S, patience_s / 10)
        while True:
            try:
                return self._once()
            except PermanentError as error:
                if error.code not in _SPREADING or clock.monotonic() + pause_s >= until:
                    raise
            stop.wait(pause_s)
            stop.check()

    def _once(self) -> bool:
        _use(self.storage.assume(self.role_arn, self.external_id), self.key)
        return self._demands_external_id()

    def _demands_external_id(self) -> bool:
        try:
            self.storage.assume(self.role_arn, None)
        except PermanentError as error:
            if error.code != "role_denied":
                raise
            return True
        return False


def _use(store: ObjectStore, key: str) -> None:
    """Do everything that agents do, and leave nothing, if the role may delete."""
    store.put(key, _BODY)
    try:
        _look(store, key)
    except PermanentError:
        with suppress(PermanentError, TransientError):
            store.delete([key])
        raise
    store.delete([key])


def _look(store: ObjectStore, key: str) -> None:
    if store.get(key) != _BODY or key not in [each.key for each in store.list(key)]:
        raise PermanentError(
            "storage_refused",
            f"the storage took the object {key}, and then has another one or none",
            hint="see whether something else changes objects in this bucket",
        )
