"""Keys that are renewed before they end, and botocore's view of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from botocore.credentials import CredentialProvider, ReadOnlyCredentials

from agent.aws.keys import Keys
from agent.core.clock import Clock
from agent.core.errors import AgentError, TransientError
from agent.core.flow import Shared
from agent.core.log import Log

# Fresh keys are asked for in the last quarter of a life, but no earlier than this before its end.
_LONGEST_AHEAD: Final = timedelta(minutes=15)
_LAST_PART: Final = 4
# After a try that failed, the next comes after a tenth of what is left, or this.
_LONGEST_PAUSE: Final = timedelta(minutes=1)
_PAUSE_PART: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    keys: Keys
    renew_at: datetime | None
    trouble: str | None = None


class HeldKeys:
    """Keys for any number of threads, fetched at the first use.

    While keys last, one thread renews them and the others go on; a failure is logged, and the
    old keys are used to their end. Only keys that are over make everybody wait and can fail.
    """

    def __init__(self, fetch: Callable[[], Keys], clock: Clock, log: Log) -> None:
        self._fetch = fetch
        self._clock = clock
        self._log = log
        self._held: Shared[_Held | None] = Shared(None)

    def get(self) -> Keys:
        """Return keys that are not over. Raises: AgentError, what ``fetch`` raises."""
        held = self._held.get()
        if held is None or held.keys.is_over(self._clock.now()):
            return self._replaced(held).keys
        if self._claims(held):
            self._renew_early(held)
            held = self._held.get() or held
        return held.keys

    def keep(self) -> None:
        """Renew keys that soon end, though nobody needs them now; ``trouble`` tells of a failure.

        For keys that are over it is tried once: then whoever needs them asks.
        """
        held = self._held.get()
        if held is None:
            return
        is_over = held.keys.is_over(self._clock.now())
        if (held.trouble is None) if is_over else self._claims(held):
            self._renew_early(held)

    def peek(self) -> Keys | None:
        """Return the keys that were used last, without asking anybody."""
        held = self._held.get()
        return held.keys if held is not None else None

    def trouble(self) -> str | None:
        """Return why the keys in use could not be renewed when it was tried last; None if not."""
        held = self._held.get()
        return held.trouble if held is not None else None

    def renew(self, refused_id: str) -> bool:
        """Fetch other keys after a server said that these are over; return whether there are any.

        ``refused_id``: the access key id of the request. If others are held by now, another
        thread has fetched them. Raises: TransientError ``credentials_unavailable`` if keys that
        are renewed from time to time are still the same; what ``fetch`` raises.
        """
        if self.has_others(refused_id):
            return True
        keys = self.peek()
        if keys is None or keys.expires_at is None:
            return False
        raise TransientError(
            "credentials_unavailable",
            f"the server says that the keys are over, and {keys.source} still gives the same",
            hint="the agent asks again; compare the clocks of this host and of the server",
            source=keys.source,
        )

    def has_others(self, refused_id: str) -> bool:
        """Fetch keys anew after a server said that it does not know these; whether they differ.

        Somebody may have put others into a file, or an endpoint gives others by now. Raises: what
        ``fetch`` raises.
        """
        held = self._held.get()
        if held is None:
            return False
        if held.keys.access_key_id == refused_id:
            held = self._replaced(held)
        return held.keys.access_key_id != refused_id

    def _replaced(self, old: _Held | None) -> _Held:
        """Return other keys than the old ones; the first thread fetches them, the others wait."""

        def change(held: _Held | None) -> _Held:
            if held is not None and not _same(held, old):
                return held
            return self._fresh()

        changed = self._held.update(change)
        assert changed is not None  # noqa: S101 - for the type checker
        return changed

    def _claims(self, held: _Held) -> bool:
        """Whether this thread is the one to renew keys that last, which it then is for a while."""
        now = self._clock.now()
        if held.renew_at is None or now < held.renew_at or held.keys.expires_at is None:
            return False
        pause = min(_LONGEST_PAUSE, (held.keys.expires_at - now) / _PAUSE_PART)
        claimed = replace(held, renew_at=now + pause)
        return (
            self._held.update(lambda now_held: claimed if now_held is held else now_held) is claimed
        )

    def _renew_early(self, old: _Held) -> None:
        try:
            fresh = self._fresh()
        except AgentError as error:
            troubled = error.message
            self._held.update(
                lambda held: replace(held, trouble=troubled) if held and _same(held, old) else held
            )
            self._log.warning(
                "credentials not renewed",
                code=error.code,
                reason=error.message,
                expires_at=str(old.keys.expires_at),
            )
            return
        self._held.set(fresh)

    def _fresh(self) -> _Held:
        keys = self._fetch()
        now = self._clock.now()
        renew_at = None
        if keys.expires_at is not None:
            life = keys.expires_at - now
            renew_at = keys.expires_at - min(_LONGEST_AHEAD, life / _LAST_PART)
        return _Held(keys=keys, renew_at=renew_at)


def _same(held: _Held, old: _Held | None) -> bool:
    """Whether nobody fetched keys since; a claim alone makes another value of the same keys."""
    return old is not None and held.keys is old.keys


class BotocoreKeys:
    """Held keys in the shape that botocore signs with."""

    method = "backstay"

    def __init__(self, held: HeldKeys) -> None:
        self._held = held

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        """Return keys for one request."""
        keys = self._held.get()
        return ReadOnlyCredentials(
            keys.access_key_id, keys.secret_access_key, keys.session_token, keys.account_id
        )

    def get_deferred_property(self, name: str) -> Callable[[], Any]:
        """Return a function that looks one field up when it is needed."""
        return lambda: getattr(self.get_frozen_credentials(), name, None)


class BotocoreProvider(CredentialProvider):
    """Gives a session of botocore the held keys."""

    METHOD = BotocoreKeys.method

    def __init__(self, held: HeldKeys) -> None:
        super().__init__()
        self._held = held

    def load(self) -> BotocoreKeys:
        """Return the keys, not fetched yet."""
        return BotocoreKeys(self._held)
