"""Make S3 clients from settings.

Credentials are the ones in the settings, else whatever botocore's default chain finds in the
environment of the process.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal

import boto3
from botocore.config import Config

from agent.core.errors import ConfigError
from agent.settings import S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Connections kept per client: as many as settings allow workers.
_POOL_COUNT: Final = 16
# What servers other than Amazon's expect in a signature when they have no regions.
_ANY_REGION: Final = "us-east-1"


def connect_s3(settings: S3Settings, environment: Mapping[str, str]) -> "S3Client":
    """Return a client for the bucket's region; it may be used from several threads at once.

    Reads configuration files, but sends nothing. The client makes one attempt per call: trying
    again belongs to the one wrapper that knows when to stop.

    Raises: ConfigError ``config_missing`` if no region is known; botocore's errors.
    """
    keys = settings.credentials
    session = boto3.Session(
        aws_access_key_id=keys.access_key_id.get_secret_value() if keys else None,
        aws_secret_access_key=keys.secret_access_key.get_secret_value() if keys else None,
        aws_session_token=keys.session_token.get_secret_value()
        if keys and keys.session_token
        else None,
    )
    region = _region(settings, environment, session.region_name)
    return session.client(
        "s3",
        region_name=region,
        endpoint_url=settings.endpoint_url,
        verify=_verify(settings),
        config=_config(settings),
    )


def _region(settings: S3Settings, environment: Mapping[str, str], profile: str | None) -> str:
    # botocore reads AWS_DEFAULT_REGION alone, while EKS and ECS set AWS_REGION.
    region = settings.region or environment.get("AWS_REGION") or profile
    if region:
        return region
    if settings.endpoint_url is not None:
        return _ANY_REGION
    raise ConfigError(
        "config_missing",
        "the region of the bucket is not known; set storage.s3.region or $AWS_REGION",
        field="storage.s3.region",
    )


def _verify(settings: S3Settings) -> bool | str | None:
    if settings.insecure_skip_tls_verify:
        return False
    return str(settings.ca_file) if settings.ca_file is not None else None


def _config(settings: S3Settings) -> Config:
    path_style = settings.force_path_style
    if path_style is None:
        path_style = settings.endpoint_url is not None
    style: Literal["path", "virtual"] = "path" if path_style else "virtual"
    # A body is checked once: by the CRC32 in its header where there is one, else by the SHA-256
    # in its signature. Both together cost twice the CPU and find nothing more.
    has_checksum = settings.checksums == "when_supported"
    return Config(
        s3={"addressing_style": style, "payload_signing_enabled": not has_checksum},
        request_checksum_calculation=settings.checksums,
        response_checksum_validation=settings.checksums,
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=settings.connect_timeout_s,
        read_timeout=settings.read_timeout_s,
        max_pool_connections=_POOL_COUNT,
        tcp_keepalive=True,
    )


def credential_source(settings: S3Settings) -> str:
    """Name where the keys come from, in botocore's words; ``none`` if nothing gives any."""
    if settings.credentials is not None:
        return "configuration"
    found = boto3.Session().get_credentials()
    return found.method if found is not None else "none"
