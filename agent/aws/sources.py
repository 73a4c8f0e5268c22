"""Where keys may come from, in the order in which they are asked."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.credentials import (
    AssumeRoleProvider,
    AssumeRoleWithWebIdentityCredentialFetcher,
    CanonicalNameCredentialSourcer,
    CredentialProvider,
    EnvProvider,
    ProcessProvider,
    ProfileProviderBuilder,
)
from botocore.exceptions import ClientError
from botocore.session import Session
from botocore.utils import FileWebIdentityTokenLoader

from agent.aws.keys import (
    EXPIRED,
    Keys,
    NoKeysError,
    TokenExpiredError,
    answer_code,
    keys_in,
    keys_of,
    told,
)
from agent.aws.metadata import ContainerEndpoint, InstanceMetadata
from agent.aws.sts import Sts, new_session
from agent.settings.storage import CredentialSettings

CONFIGURATION: Final = "configuration"
ENVIRONMENT: Final = "environment"
WEB_IDENTITY: Final = "web identity"
SHARED_FILES: Final = "shared files"
CONTAINER: Final = "container"
INSTANCE_PROFILE: Final = "instance profile"

_SESSION_NAME: Final = "backstay"
# A program that gives keys is asked while others wait.
_PROCESS_LIMIT_S: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place; ``load`` looks anew each time. It raises NoKeysError or any of FAILURES."""

    name: str
    load: Callable[[], Keys]


def all_sources(
    settings: CredentialSettings | None, environment: Mapping[str, str], sts: Sts
) -> tuple[Source, ...]:
    """Return the sources, first the one that overrides all others."""
    container = ContainerEndpoint(environment)
    instance = InstanceMetadata(environment, new_session(environment))
    return (
        Source(name=CONFIGURATION, load=lambda: _configured(settings)),
        Source(name=ENVIRONMENT, load=lambda: _in_environment(environment)),
        Source(name=WEB_IDENTITY, load=lambda: _web_identity(environment, sts)),
        Source(name=SHARED_FILES, load=lambda: _in_files(environment, sts, (container, instance))),
        Source(name=CONTAINER, load=container.load),
        Source(name=INSTANCE_PROFILE, load=instance.load),
    )


def _configured(settings: CredentialSettings | None) -> Keys:
    if settings is None:
        raise NoKeysError("storage.s3.credentials is not set", is_set=False)
    token = settings.session_token
    return Keys(
        access_key_id=settings.access_key_id.get_secret_value(),
        secret_access_key=settings.secret_access_key.get_secret_value(),
        session_token=token.get_secret_value() if token is not None else None,
    )


def _in_environment(environment: Mapping[str, str]) -> Keys:
    found = EnvProvider(environ=environment).load()
    if found is None:
        raise NoKeysError(f"{EnvProvider.ACCESS_KEY} is not set", is_set=False)
    return keys_of(found)


def _web_identity(environment: Mapping[str, str], sts: Sts) -> Keys:
    token_file = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    arn = environment.get("AWS_ROLE_ARN")
    if not token_file:
        raise NoKeysError("AWS_WEB_IDENTITY_TOKEN_FILE is not set", is_set=bool(arn))
    if not arn:
        raise NoKeysError("AWS_ROLE_ARN is not set, while AWS_WEB_IDENTITY_TOKEN_FILE is")
    fetcher = AssumeRoleWithWebIdentityCredentialFetcher(
        client_creator=sts.client,
        # Reads the file each time: Kubernetes puts a new token there before the old one ends.
        web_identity_token_loader=FileWebIdentityTokenLoader(token_file),
        role_arn=arn,
        extra_args={"RoleSessionName": environment.get("AWS_ROLE_SESSION_NAME") or _SESSION_NAME},
    )
    try:
        return keys_in(fetcher.fetch_credentials())
    except ClientError as error:
        if answer_code(error) in EXPIRED:
            raise TokenExpiredError(f"{told(error)} (the token is in {token_file})") from error
        raise


def _in_files(
    environment: Mapping[str, str],
    sts: Sts,
    named: tuple[ContainerEndpoint, InstanceMetadata],
) -> Keys:
    session = new_session(environment)
    profile = session.get_config_variable("profile")
    for provider in _of_profile(session, profile or "default", environment, sts, named):
        found = provider.load()
        if found is not None:
            return keys_of(found)
    files = [session.get_config_variable(name) for name in ("credentials_file", "config_file")]
    raise NoKeysError(
        f"the profile {profile or 'default'} gives no keys in {' and '.join(map(str, files))}",
        is_set=profile is not None,
    )


def _of_profile(
    session: Session,
    profile: str,
    environment: Mapping[str, str],
    sts: Sts,
    named: tuple[ContainerEndpoint, InstanceMetadata],
) -> list[CredentialProvider]:
    """Return botocore's providers of a profile, in botocore's order."""
    builder = ProfileProviderBuilder(session)
    container, instance = named
    assumed = AssumeRoleProvider(
        load_config=lambda: session.full_config,
        client_creator=lambda service, **more: sts.client(service, session=session, **more),
        cache={},
        profile_name=profile,
        prompter=_nobody_answers,
        credential_sourcer=CanonicalNameCredentialSourcer([
            EnvProvider(environ=environment),
            container.provider,
            instance.provider,
        ]),
        profile_provider_builder=builder,
    )
    process = ProcessProvider(
        profile_name=profile, load_config=lambda: session.full_config, popen=_Process
    )
    # Without the variables of web identity, which is a source of its own and was asked before.
    others = builder.providers(profile_name=profile, disable_env_vars=True)
    return [
        assumed,
        *(process if one.METHOD == ProcessProvider.METHOD else one for one in others),
    ]


def _nobody_answers(_question: str) -> str:
    raise NoKeysError("the profile asks for a code of an MFA device, which an agent cannot give")


class _Process(subprocess.Popen[bytes]):
    """A program that gives keys: bounded in time, and what it says beside them is not passed on."""

    def communicate(self, *_: Any, **__: Any) -> tuple[bytes, bytes]:
        try:
            output, _said = super().communicate(timeout=_PROCESS_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            super().communicate()
            raise NoKeysError(
                f"the credential_process was not done after {_PROCESS_LIMIT_S} s", is_passing=True
            ) from None
        return output, f"it ended with exit status {self.returncode}".encode()
