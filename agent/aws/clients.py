"""Clients for S3, made from settings."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import boto3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.session import Session

from agent.aws.held import BotocoreProvider, HeldKeys
from agent.aws.paced import pace_answers
from agent.aws.role import has_others
from agent.aws.sts import new_session, region_in
from agent.core.errors import ConfigError
from agent.settings import S3Settings

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

# Connections kept per client: as many as were in use at once, but no more. Tasks and the most jobs
# that run at the same time come to fewer, with the most workers that settings allow: one beyond
# would be closed, with a warning that is no line of this log.
_POOL_COUNT: Final = 128
# What servers other than Amazon's expect in a signature when they have no regions.
_ANY_REGION: Final = "us-east-1"
# Where the access key id stands in a signature of version 4, and what it is called in a request.
_SIGNER: Final = re.compile(r"Credential=([^/]+)/")
_SIGNED_BY: Final = "backstay_signed_by"


def make_client(settings: S3Settings, environment: Mapping[str, str], keys: HeldKeys) -> "S3Client":
    """Return a client for the bucket's region that signs with the keys.

    A request that is refused because the keys are over, or are not known, is repeated once if
    there are others. Sends nothing yet. Raises: ConfigError ``config_missing`` if no region is
    known; botocore's errors.
    """
    session = new_session(environment, BotocoreProvider(keys))
    region = _region(settings, environment, session)
    client = boto3.Session(botocore_session=session).client(
        "s3",
        region_name=region,
        endpoint_url=settings.endpoint_url,
        verify=_verify(settings),
        config=_config(settings),
    )
    pace_answers(client)
    note: Any = _note_signer
    repeat: Any = _Repeat(keys)
    client.meta.events.register_last("request-created.s3", note)
    client.meta.events.register("needs-retry.s3", repeat)
    return client


def _note_signer(request: AWSRequest, **_: object) -> None:
    """Write beside a signed request whose it is: other threads may fetch other keys meanwhile."""
    found = _SIGNER.search(str(request.headers.get("Authorization", "")))
    request.context[_SIGNED_BY] = found[1] if found else ""


class _Repeat:
    """Tells botocore to sign and send a request again after fresh keys were fetched."""

    def __init__(self, keys: HeldKeys) -> None:
        self._keys = keys

    def __call__(
        self, *, response: Any, attempts: int, request_dict: Mapping[str, Any], **_: object
    ) -> int | None:
        signed_by = request_dict["context"].get(_SIGNED_BY)
        if response is None or attempts > 1 or not signed_by:
            return None
        code = response[1].get("Error", {}).get("Code", "")
        return 0 if has_others(self._keys, code, signed_by) else None


def _region(settings: S3Settings, environment: Mapping[str, str], session: Session) -> str:
    region = settings.region or region_in(environment, session)
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
