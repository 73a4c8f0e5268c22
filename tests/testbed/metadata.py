"""The endpoints that hand out keys inside AWS: of an EC2 instance, and of a container."""

import json
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from tests.fakes.http_server import Answer, Request
from tests.testbed import secrecy
from tests.testbed.aws import ACCOUNT, Keys
from tests.testbed.endpoint import Endpoint, text
from tests.testbed.process import remove_directory, scratch_directory
from tests.testbed.s3 import REGION

#: Asked at each request for keys; None for a machine without a role.
Source = Callable[[], Keys | None]

TOKEN_PATH = "/latest/api/token"
ROLES_PATH = "/latest/meta-data/iam/security-credentials/"

_TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"
_TOKEN_HEADER = "x-aws-ec2-metadata-token"
_LONGEST_TTL_S = 21_600


def rotating(keys: Sequence[Keys]) -> Source:
    """Give, of keys that were all assumed beforehand, the ones that end next; at last the longest.

    As no session begins in between, the server goes on to answer ExpiredToken to each that ended.
    """
    in_order = sorted(keys, key=_end_of)

    def source() -> Keys:
        now = datetime.now(UTC)
        return next((each for each in in_order if now < _end_of(each)), in_order[-1])

    return source


def _end_of(keys: Keys) -> datetime:
    assert keys.expires_at is not None
    return keys.expires_at


def _no_keys() -> Keys | None:
    return None


class InstanceMetadata(Endpoint):
    """The metadata service of an EC2 instance (IMDS) that has at most one role.

    Rules are those of "Use the Instance Metadata Service to access instance metadata" in the EC2
    user guide: a token lives for 1 to 21,600 s, is got by PUT, and never through a proxy.
    """

    def __init__(self) -> None:
        """Choose a port; there is no role until `keys` is set."""
        super().__init__()
        self.role = "testbed-instance"
        #: Switch: where the role's keys come from, or None for no role.
        self.keys: Source = _no_keys
        #: Switch: "refused" wants a token, "optional" takes both versions, "only" knows no tokens.
        self.version_1: Literal["refused", "optional", "only"] = "refused"
        #: Switch: state that the keys ended an hour ago; S3 may still take them.
        self.expired = False
        self._tokens: dict[str, float] = {}

    @property
    def role_path(self) -> str:
        """The path of the role's keys."""
        return ROLES_PATH + self.role

    def environment(self) -> dict[str, str]:
        """Return the variables that lead botocore here instead of to 169.254.169.254."""
        return {
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url,
            "AWS_EC2_METADATA_DISABLED": "false",
        }

    def _answer(self, request: Request) -> Answer:
        if request.path == TOKEN_PATH:
            return self._token(request)
        if request.method != "GET":
            return Answer(status=405)
        if not self._is_admitted(request):
            return Answer(status=401)
        return self._document(request.path)

    def _token(self, request: Request) -> Answer:
        if self.version_1 == "only":
            return Answer(status=404)
        if request.method != "PUT":
            return Answer(status=405)
        if "x-forwarded-for" in request.headers:
            return Answer(status=403)
        ttl = request.headers.get(_TTL_HEADER, "")
        if not ttl.isdecimal() or not 1 <= int(ttl) <= _LONGEST_TTL_S:
            return Answer(status=400)
        token = secrecy.keep(secrets.token_urlsafe(40))
        self._tokens[token] = time.monotonic() + int(ttl)
        return text(token, {_TTL_HEADER: ttl})

    def _is_admitted(self, request: Request) -> bool:
        token = request.headers.get(_TOKEN_HEADER)
        if self.version_1 == "only":
            return True
        if token is None:
            return self.version_1 == "optional"
        return time.monotonic() < self._tokens.get(token, 0)

    def _document(self, path: str) -> Answer:
        zone = f"{REGION}a"
        match path.removeprefix("/latest/").removesuffix("/"):
            case "meta-data/placement/region":
                return text(REGION)
            case "meta-data/placement/availability-zone":
                return text(zone)
            case "dynamic/instance-identity/document":
                return _json({"accountId": ACCOUNT, "availabilityZone": zone, "region": REGION})
            case "meta-data/iam/security-credentials":
                return Answer(status=404) if self.keys() is None else text(self.role)
            case other if f"/latest/{other}" == self.role_path:
                return self._role_document()
            case _:
                return Answer(status=404)

    def _role_document(self) -> Answer:
        keys = self.keys()
        if keys is None:
            return Answer(status=404)
        now = datetime.now(UTC)
        expires_at = now - timedelta(hours=1) if self.expired else keys.expires_at
        return _json({
            "Code": "Success",
            "LastUpdated": _instant(now),
            "Type": "AWS-HMAC",
            **_document_of(keys, expires_at),
        })


class ContainerCredentials(Endpoint):
    """The endpoint that ECS and EKS Pod Identity give to a container; it wants a bearer's token.

    botocore reaches ECS's relative URI at 169.254.170.2 alone; `relative_uri` is served here too,
    for those who can name the address.
    """

    relative_uri = "/v2/credentials/3f1c7c1e-testbed"

    def __init__(self) -> None:
        """Choose a port and a token; there are no keys until `keys` is set."""
        super().__init__()
        #: Switch: where the keys come from, or None for no role.
        self.keys: Source = _no_keys
        #: Switch: state that the keys ended an hour ago; S3 may still take them.
        self.expired = False
        self.full_uri = self.url + self.relative_uri
        self._directory = scratch_directory("container")
        self.token_file: Path = self._directory / "authorization-token"
        self.rotate_token()

    def rotate_token(self) -> None:
        """Write a new token into the file; the old one is refused from now on."""
        self._token = secrecy.keep(secrets.token_urlsafe(40))
        self.token_file.write_text(self._token)

    def environment(self) -> dict[str, str]:
        """Return the variables of EKS Pod Identity: the URI, and the file with the token."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.full_uri,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(self.token_file),
        }

    def ecs_environment(self) -> dict[str, str]:
        """Return the variables of ECS with a full URI: the token stands in the environment."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.full_uri,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": self._token,
        }

    def stop(self) -> None:
        """End the server and remove the file with the token. Idempotent."""
        super().stop()
        remove_directory(self._directory)

    def _answer(self, request: Request) -> Answer:
        if request.method != "GET" or request.path != self.relative_uri:
            return Answer(status=404)
        if request.headers.get("authorization") != self._token:
            return Answer(status=401)
        keys = self.keys()
        if keys is None:
            return Answer(status=404)
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        expires_at = long_ago if self.expired else keys.expires_at
        return _json({**_document_of(keys, expires_at), "AccountId": ACCOUNT})


def _document_of(keys: Keys, expires_at: datetime | None) -> dict[str, str]:
    assert keys.session_token is not None, "AWS hands out no other than short-lived keys here"
    assert expires_at is not None
    return {
        "AccessKeyId": keys.access_key_id,
        "SecretAccessKey": keys.secret_access_key,
        "Token": keys.session_token,
        "Expiration": _instant(expires_at),
    }


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(document: dict[str, str]) -> Answer:
    return Answer(
        body=json.dumps(document, indent=2).encode(), headers={"Content-Type": "application/json"}
    )
