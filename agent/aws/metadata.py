"""Instance metadata and container endpoints: botocore's fetchers, which say what failed."""

from collections.abc import Mapping
from typing import Any, Final

from botocore.awsrequest import AWSPreparedRequest
from botocore.credentials import ContainerProvider, InstanceMetadataProvider
from botocore.exceptions import BotoCoreError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from botocore.session import Session
from botocore.utils import (
    ContainerMetadataFetcher,
    InstanceMetadataFetcher,
    resolve_imds_endpoint_mode,
)

from agent.aws.keys import FAILURES, Keys, NoKeysError, keys_in, keys_of, told
from agent.core.flow import Stop

# botocore tries once, so that a single answer of 500 means no credentials; twice stays short.
_LEAST_TRIES: Final = 2
_CONTAINER_TIMEOUT_S: Final = 1
_CONTAINER_PAUSE_S: Final = 0.2
# What an endpoint answers that knows nothing of tokens, so of version 2 of the service.
_NO_TOKENS: Final = frozenset({403, 404, 405})
_SERVER_FAILURES: Final = 500


class _Watched:
    """A session of botocore's that remembers how the last request ended."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.said = "it was not asked"
        self.status = 0
        self.is_mute = False

    def send(self, request: AWSPreparedRequest) -> Any:
        self.status, self.is_mute = 0, False
        try:
            answer = self._session.send(request)
        except BotoCoreError as error:
            self.said = told(error)
            self.is_mute = isinstance(error, ReadTimeoutError)
            raise
        self.status = answer.status_code
        self.said = f"{request.method} {request.url} was answered by {answer.status_code}"
        return answer

    @property
    def may_pass(self) -> bool:
        """Whether the last request met a failure of the server's."""
        return self.status >= _SERVER_FAILURES


class _Instance(InstanceMetadataFetcher):
    """Botocore's fetcher with three differences.

    It remembers why there are no keys. It leaves their expiry as it is: botocore puts it off when
    they come expired, and would then give up good keys for them. And it asks without a token
    only an endpoint that has none, not one whose tokens fail for the moment.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.watched = _Watched(self._session)
        self._session: Any = self.watched

    def _fetch_metadata_token(self) -> str | None:
        token: str | None = super()._fetch_metadata_token()  # type: ignore[misc]
        watched = self.watched
        if token is None and watched.status not in _NO_TOKENS and not watched.is_mute:
            raise self._RETRIES_EXCEEDED_ERROR_CLS  # type: ignore[attr-defined]
        return token

    def _evaluate_expiration(self, credentials: Mapping[str, str]) -> None:
        pass

    def _contains_all_credential_fields(self, credentials: Mapping[str, Any]) -> bool:
        if "AccessKeyId" not in credentials and "Code" in credentials:
            # Such as AssumeRoleUnauthorizedAccess, when the role does not trust EC2.
            self.watched.said = f"{credentials['Code']}: {credentials.get('Message', '')}"
        return bool(super()._contains_all_credential_fields(credentials))  # type: ignore[misc]


class InstanceMetadata:
    """Keys of the instance profile."""

    def __init__(self, environment: Mapping[str, str], session: Session) -> None:
        self._environment = environment
        tries = int(session.get_config_variable("metadata_service_num_attempts") or 1)
        named = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
        config = {
            "ec2_metadata_service_endpoint": named
            or session.get_config_variable("ec2_metadata_service_endpoint"),
            "ec2_metadata_service_endpoint_mode": resolve_imds_endpoint_mode(session),
            "ec2_metadata_v1_disabled": session.get_config_variable("ec2_metadata_v1_disabled"),
        }
        self._fetcher = _Instance(
            timeout=float(session.get_config_variable("metadata_service_timeout") or 1),
            num_attempts=max(tries, _LEAST_TRIES),
            env=dict(environment),
            user_agent=session.user_agent(),
            config=config,
        )
        self.provider = InstanceMetadataProvider(self._fetcher)

    def load(self) -> Keys:
        """Return fresh keys. Raises: NoKeysError, any of FAILURES."""
        if self._environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise NoKeysError("AWS_EC2_METADATA_DISABLED is true", is_set=False)
        found = self._fetcher.retrieve_iam_role_credentials()
        if not found:
            watched = self._fetcher.watched
            # An address that is not there means that this host is no instance.
            raise NoKeysError(
                watched.said, is_set=watched.status not in {0, 404}, is_passing=watched.may_pass
            )
        return keys_in(found)


class _Container(ContainerProvider):
    """Botocore's provider, for which a line break at the end of the token's file is no mistake."""

    def _validate_auth_token(self, auth_token: str) -> None:
        super()._validate_auth_token(auth_token.strip())  # type: ignore[misc]

    def _build_headers(self) -> dict[str, str] | None:
        headers: dict[str, str] | None = super()._build_headers()  # type: ignore[misc]
        return headers and {name: value.strip() for name, value in headers.items()}


class ContainerEndpoint:
    """Keys of a task on ECS or a pod with EKS Pod Identity."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._watched = _Watched(URLLib3Session(timeout=_CONTAINER_TIMEOUT_S))
        fetcher: Any = ContainerMetadataFetcher(
            session=self._watched, sleep=lambda _s: Stop().wait(_CONTAINER_PAUSE_S)
        )
        self.provider = _Container(environ=environment, fetcher=fetcher)

    def load(self) -> Keys:
        """Return fresh keys. Raises: NoKeysError."""
        names = (ContainerProvider.ENV_VAR, ContainerProvider.ENV_VAR_FULL)
        if not any(self._environment.get(name) for name in names):
            raise NoKeysError(f"{' and '.join(names)} are not set", is_set=False)
        try:
            return keys_of(self.provider.load())
        except FAILURES as error:
            watched = self._watched
            is_passing = watched.may_pass or (
                watched.status == 0 and isinstance(error, BotoCoreError)
            )
            raise NoKeysError(told(error), is_passing=is_passing) from error
