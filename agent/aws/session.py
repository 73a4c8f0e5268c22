"""How one bucket is reached: whose keys sign, who that is, and until when."""

from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING

from agent.aws.chain import Chain
from agent.aws.clients import make_client
from agent.aws.held import HeldKeys
from agent.aws.keys import Keys
from agent.aws.role import assume
from agent.aws.sources import all_sources
from agent.aws.sts import Sts
from agent.aws.whose import UNASKED, Whose
from agent.core import log as logs
from agent.core.clock import Clock, SystemClock
from agent.core.errors import AgentError
from agent.model.status import CredentialFacts
from agent.settings import RoleSettings, S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


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
        self._clock, self._log = clock, log
        sources = all_sources(settings.credentials, environment, self._sts)
        self._base = HeldKeys(Chain(sources, clock, log).load, clock, log)
        self._keys = self._base if settings.role is None else self._wearing(settings.role)
        self.whose = Whose(self._sts, settings.endpoint_url)
        self._whose_base = Whose(self._sts, settings.endpoint_url)

    def _wearing(self, role: RoleSettings) -> HeldKeys:
        return HeldKeys(lambda: assume(role, self._base, self._sts), self._clock, self._log)

    def with_role(self, role: RoleSettings) -> "Access":
        """Return access with the same source's keys, and this role on top instead of any other.

        The role is assumed at once. Raises: what ``agent.aws.role.assume`` raises.
        """
        other = copy(self)
        other._keys = self._wearing(role)  # noqa: SLF001 - it is one of our own
        other.whose = Whose(self._sts, self._settings.endpoint_url)
        other._keys.get()  # noqa: SLF001 - the same
        return other

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
        return CredentialFacts(
            source=keys.source,
            identity=self.whose.known(keys).arn,
            expires_at=keys.expires_at,
            renewal_error=self._keys.trouble() or self._base.trouble(),
        )

    def keep(self) -> None:
        """Renew the keys if they soon end, though nobody needs them now; never fails."""
        self._base.keep()
        self._keys.keep()

    def identify(self) -> CredentialFacts:
        """Ask STS once for each set of keys whose they are, and return what is known."""
        keys = self._keys.peek()
        if keys is not None and self.whose.known(keys) == UNASKED:
            self.whose.ask(keys)
        return self.facts()

    def source_identity(self) -> str | None:
        """Return whom the source's own keys belong to, below any role; None if that is not told.

        Keys that nobody has used yet are fetched; STS is asked until it has answered for them.
        """
        if not self._whose_base.can_tell:
            return None
        try:
            keys = self._base.get()
        except AgentError:  # of this the status tells, as soon as the storage is needed
            return None
        return self._whose_base.known(keys).arn or self._whose_base.ask(keys).arn

    def fetch(self) -> Keys:
        """Return the keys in use, fetched if there were none. Raises: as ``connect`` says."""
        return self._keys.get()
