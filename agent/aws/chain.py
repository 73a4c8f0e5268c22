"""The sources one after another, until one gives keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.aws.keys import (
    FAILURES,
    Keys,
    NoKeysError,
    TokenExpiredError,
    is_passing,
    told,
)
from agent.aws.sources import Source
from agent.core.clock import Clock
from agent.core.errors import AgentError, PermanentError, TransientError
from agent.core.flow import Shared
from agent.core.log import Log

_HINT: Final = "give the agent one of these sources; docs/aws-access.md says what each needs"
_RENEW_IT: Final = (
    "see to it that AWS_WEB_IDENTITY_TOKEN_FILE holds a token of now: Kubernetes renews the one"
    " that it projects, not a copy, nor one mounted by subPath; compare this host's clock"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    source: str
    why: NoKeysError

    def __str__(self) -> str:
        return f"{self.source}: {self.why.reason}"


class Chain:
    """Gives keys of the first source that has any.

    One that is set and fails for the moment is waited for, not passed over; and the one that
    answered once is kept: another would be another identity, which nobody asked for.
    """

    def __init__(self, sources: Sequence[Source], clock: Clock, log: Log) -> None:
        self._sources = sources
        self._clock = clock
        self._log = log
        self._answered: Shared[Source | None] = Shared(None)

    def load(self) -> Keys:
        """Return fresh keys.

        Raises: PermanentError ``no_credentials``, with every source and why it gave none, or
        TransientError with the same code if one of them may answer later; PermanentError
        ``web_identity_expired`` if it is for an expired token that nobody answers; TransientError
        ``credentials_unavailable`` or ``web_identity_expired`` if the source that gave keys
        before gives none now.
        """
        source = self._answered.get()
        if source is None:
            return self._first()
        try:
            return self._ask(source)
        except TokenExpiredError as error:
            raise TransientError(
                "web_identity_expired",
                f"the web identity token has expired: {error.reason}",
                hint=_RENEW_IT,
                source=source.name,
            ) from error
        except NoKeysError as error:
            raise TransientError(
                "credentials_unavailable",
                f"no fresh keys from the source {source.name}: {error.reason}",
                hint="the agent asks again; see to what is named here",
                source=source.name,
            ) from error

    def _first(self) -> Keys:
        tried: list[_Tried] = []
        for source in self._sources:
            try:
                keys = self._ask(source)
            except NoKeysError as error:
                tried.append(_Tried(source=source.name, why=error))
                if error.is_set and error.is_passing:
                    # It was meant to be used, and will answer: the next would be somebody else.
                    break
                continue
            self._answered.set(source)
            self._tell(tried)
            return keys
        raise _nobody(tried)

    def _ask(self, source: Source) -> Keys:
        try:
            keys = source.load()
        except FAILURES as error:
            raise NoKeysError(told(error), is_passing=is_passing(error)) from error
        now = self._clock.now()
        if keys.is_over(now):
            raise NoKeysError(
                f"its keys expired at {keys.expires_at:%Y-%m-%dT%H:%M:%SZ}, and this host's clock"
                f" says {now:%Y-%m-%dT%H:%M:%SZ}",
                is_passing=True,
            )
        return replace(keys, source=source.name)

    def _tell(self, passed_over: Sequence[_Tried]) -> None:
        for one in passed_over:
            if one.why.is_set:
                self._log.warning(
                    "credentials passed over", source=one.source, reason=one.why.reason
                )


def _nobody(tried: Sequence[_Tried]) -> AgentError:
    text = f"no source gives AWS credentials: {'; '.join(map(str, tried))}"
    if any(one.why.is_passing for one in tried):
        return TransientError("no_credentials", text, hint=_HINT)
    if any(isinstance(one.why, TokenExpiredError) for one in tried):
        # Others were asked too, but this one was meant to answer.
        text = f"the web identity token has expired, and {text}"
        return PermanentError("web_identity_expired", text, hint=_RENEW_IT)
    return PermanentError("no_credentials", text, hint=_HINT)
