"""Sessions of botocore that look for no credentials themselves, and clients for STS."""

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver
from botocore.loaders import Loader, create_loader
from botocore.session import Session

from agent.aws.paced import pace_answers

if TYPE_CHECKING:
    from mypy_boto3_sts.client import STSClient

# Variables that botocore would read from the process; here they come from who calls.
_VARIABLES: Final = {
    "AWS_CONFIG_FILE": "config_file",
    "AWS_SHARED_CREDENTIALS_FILE": "credentials_file",
    "AWS_DEFAULT_PROFILE": "profile",
    "AWS_PROFILE": "profile",
    "AWS_CA_BUNDLE": "ca_bundle",
    "AWS_METADATA_SERVICE_TIMEOUT": "metadata_service_timeout",
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "metadata_service_num_attempts",
}
# The region whose STS is asked when none is known.
_ANY_REGION: Final = "us-east-1"
# One attempt, and short: all sources together are to be asked within ten seconds. Who asked tries
# again, where that makes sense.
_SHORT: Final = Config(
    connect_timeout=2, read_timeout=4, retries={"total_max_attempts": 1, "mode": "standard"}
)


def new_session(
    environment: Mapping[str, str], provider: CredentialProvider | None = None
) -> Session:
    """Return a session whose credentials are the provider's, or none.

    Files are read when they are needed, once: a new session sees what changed.
    """
    session = Session()
    for variable, name in _VARIABLES.items():
        value = environment.get(variable)
        if value:
            session.set_config_variable(name, value)
    resolver = CredentialResolver([] if provider is None else [provider])
    session.register_component("credential_provider", resolver)
    session.lazy_register_component(
        "data_loader", lambda: _loader(session.get_config_variable("data_path"))
    )
    return session


@cache
def _loader(path: str | None) -> Loader:
    """Return what reads the descriptions of AWS's services, and remembers them.

    That of S3 alone takes 5 MiB, in objects that refer to each other. With one for each session,
    those of clients that nobody needs any more would stay until the next look for such cycles.
    """
    return create_loader(path)


def region_in(environment: Mapping[str, str], session: Session) -> str | None:
    """Return the region that the surroundings name.

    botocore reads AWS_DEFAULT_REGION and the profile alone, while EKS and ECS set AWS_REGION.
    """
    found = (
        environment.get("AWS_REGION")
        or environment.get("AWS_DEFAULT_REGION")
        or session.get_config_variable("region")
    )
    return str(found) if found else None


class Sts:
    """Makes clients for the security token service of one region, never the global one."""

    def __init__(self, environment: Mapping[str, str], region: str | None) -> None:
        self._environment = environment
        self._region = region

    @property
    def endpoint_url(self) -> str | None:
        """The address that the environment gives for STS; None is Amazon's."""
        named = self._environment.get("AWS_ENDPOINT_URL_STS")
        return named or self._environment.get("AWS_ENDPOINT_URL") or None

    def client(
        self, service: str, *, session: Session | None = None, **arguments: Any
    ) -> "STSClient":
        """Return a client; the signature is what botocore expects of a maker of clients."""
        session = session or new_session(self._environment)
        session.set_config_variable("sts_regional_endpoints", "regional")
        region = self._region or region_in(self._environment, session) or _ANY_REGION
        config: Config | None = arguments.pop("config", None)
        made = session.create_client(
            service,
            region_name=arguments.pop("region_name", None) or region,
            endpoint_url=self.endpoint_url if service == "sts" else None,
            config=_SHORT if config is None else _SHORT.merge(config),
            **arguments,
        )
        pace_answers(made)
        return cast("STSClient", made)
