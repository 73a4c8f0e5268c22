"""How one bucket is reached: whose keys sign, who that is, and until when."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from agent.aws.chain import Chain
from agent.aws.clients import make_client
from agent.aws.held import HeldKeys
from agent.aws.keys import FAILURES, Keys
from agent.aws.role import assume
from agent.aws.sources import all_sources
from agent.aws.sts import Sts
from agent.core import log as logs
from agent.core.clock import Clock, SystemClock
from agent.core.flow import Shared
from agent.model.status import CredentialFacts
from agent.settings import S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """What STS said of the keys, if it was asked."""

    keys: Keys | None = None
    arn: str | None = None
    why_not: Exception | None = None


class Access:
    """The keys for one bucket, shared by all clients that it makes.

    Nothing is looked for before the first request. May be used from several threads.
    """

    def __init__(
        self, settings: S3Settings, environment: Mapping[str, str], clock: Clock | None = None
    ) -> None:
        clock, log = clock or SystemClock(), logs.get(bucket=settings.bucket)
        self._settings = settings
        self._environment = environment
        self._sts = Sts(environment, settings.region)
        sources = all_sources(settings.credentials, environment, self._sts)
        self._base = base = HeldKeys(Chain(sources, clock, log).load, clock, log)
        self._keys, role = base, settings.role
        if role is not None:
            self._keys = HeldKeys(lambda: assume(role, base, self._sts), clock, log)
        self._identity: Shared[_Identity] = Shared(_Identity())

    def connect(self, settings: S3Settings | None = None) -> "S3Client":
        """Return a client; it makes one attempt per call, but for keys that are over.

        ``settings``: the same bucket's with other timeouts.

        Trying again belongs to the one wrapper that knows when to stop. A call that needs keys
        raises, beside botocore's errors: AgentError ``no_credentials``,
        ``credentials_unavailable``, and for a role what ``agent.aws.role.assume`` raises.
        Raises: ConfigError ``config_missing`` if no region is known; botocore's errors.
        """
        return make_client(settings or self._settings, self._environment, self._keys)

    def facts(self) -> CredentialFacts:
        """Return where the keys of the last request came from; asks nobody."""
        keys = self._keys.peek()
        if keys is None:
            return CredentialFacts(source="none")
        told = self._identity.get()
        return CredentialFacts(
            source=keys.source,
            identity=told.arn if told.keys is keys else None,
            expires_at=keys.expires_at,
            renewal_error=self._keys.trouble() or self._base.trouble(),
        )

    def keep(self) -> None:
        """Renew the keys if they soon end, though nobody needs them now; never fails."""
        self._base.keep()
        self._keys.keep()

    def identify(self) -> CredentialFacts:
        """Ask STS once for each set of keys whose they are, and return what is known.

        A server with an address of its own has no STS, unless the environment names one. A
        failure is no error: nothing needs the answer.
        """
        keys = self._keys.peek()
        if keys is not None and self._identity.get().keys is not keys and self.has_sts():
            self._identity.set(self._ask(keys))
        return self.facts()

    def fetch(self) -> Keys:
        """Return the keys in use, fetched if there were none. Raises: as ``connect`` says."""
        return self._keys.get()

    def why_unknown(self, keys: Keys) -> Exception | None:
        """Ask STS anew whose the keys are; return why it did not tell, None if it did."""
        told = self._ask(keys)
        self._identity.set(told)
        return told.why_not

    def has_sts(self) -> bool:
        """Whether there is an STS that knows the keys."""
        url = self._settings.endpoint_url
        if url is None or self._sts.endpoint_url is not None:
            return True
        return (urlsplit(url).hostname or "").endswith(_AMAZON)

    def _ask(self, keys: Keys) -> _Identity:
        try:
            client = self._sts.client(
                "sts",
                aws_access_key_id=keys.access_key_id,
                aws_secret_access_key=keys.secret_access_key,
                aws_session_token=keys.session_token,
            )
            return _Identity(keys=keys, arn=client.get_caller_identity()["Arn"])
        except FAILURES as error:
            return _Identity(keys=keys, why_not=error)
