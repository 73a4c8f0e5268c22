"""A small AWS of one's own: S3, STS, IAM and KMS that enforce policies.

MiniStack evaluates identity, bucket and trust policies with their conditions; keys of assumed roles
truly expire. It is no judge of everything:

- Its root key skips all policies, and so do the keys "" and "test": tests use users and roles.
- Once a new session begins, the server forgets those that have expired: the first answer to expired
  keys is ExpiredToken, later ones may be InvalidAccessKeyId (in STS, InvalidClientTokenId).
- Claims of web identity tokens (iss, aud, sub) are checked, their signature and expiry are not.
- SSE-KMS wants a key id, and nobody asks whether the caller may use that key.
- Objects, users and roles live in memory: they are gone after `kill`.
"""

import base64
import json
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.testbed import programs, secrecy
from tests.testbed.loopback import HOST
from tests.testbed.process import Process
from tests.testbed.s3 import REGION, ServerProcess

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_sts.client import STSClient

ACCOUNT = "111122223333"
ISSUER = "oidc.testbed.example"
AUDIENCE = "sts.amazonaws.com"

Policy = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Keys of a user, or of a role that was assumed; secrets do not show in its repr."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    arn: str

    def __post_init__(self) -> None:
        """Remember what is secret."""
        secrecy.keep(self.secret_access_key)
        secrecy.keep(self.session_token or "")

    def environment(self) -> dict[str, str]:
        """Return the variables that hand these keys to a process."""
        variables = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }
        if self.session_token is not None:
            variables["AWS_SESSION_TOKEN"] = self.session_token
        return variables


def policy(*statements: Policy) -> Policy:
    """Return a policy document of these statements."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(*actions: str, on: str | list[str]) -> Policy:
    """Return a policy that allows the actions on resources, given by ARN."""
    return policy({"Effect": "Allow", "Action": list(actions), "Resource": on})


def bucket_access(bucket: str) -> Policy:
    """Return a policy that allows everything in one bucket."""
    return allow("s3:*", on=[f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"])


def trust(principal_arn: str | list[str], *, external_id: str | None = None) -> Policy:
    """Return the trust policy of a role that a user or a role, or any of several, may assume."""
    statement: Policy = {
        "Effect": "Allow",
        "Principal": {"AWS": principal_arn},
        "Action": "sts:AssumeRole",
    }
    if external_id is not None:
        statement["Condition"] = {"StringEquals": {"sts:ExternalId": external_id}}
    return policy(statement)


def trust_web_identity(subject: str) -> Policy:
    """Return the trust policy of a role for the bearer of `identity_token(subject)`."""
    claims = {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": subject}
    return policy({
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": claims},
    })


def identity_token(subject: str, *, audience: str = AUDIENCE, life_s: float = 3600) -> str:
    """Return a token such as Kubernetes projects into a pod; its signature is noise."""
    expires_at = datetime.now(UTC) + timedelta(seconds=life_s)
    claims = {
        "iss": f"https://{ISSUER}",
        "aud": audience,
        "sub": subject,
        "exp": int(expires_at.timestamp()),
    }
    parts = [json.dumps({"alg": "RS256", "typ": "JWT"}).encode(), json.dumps(claims).encode()]
    encoded = [base64.urlsafe_b64encode(part) for part in [*parts, secrets.token_bytes(64)]]
    return secrecy.keep(b".".join(part.rstrip(b"=") for part in encoded).decode())


def error_code(call: Callable[[], object]) -> str | None:
    """Make a call; return the code of AWS's error, or None if it was granted."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


class AwsServer(ServerProcess):
    """MiniStack. Admin work is done with its root key; what is handed out belongs to others.

    It is also an `S3Endpoint`, whose identity is root. All methods may be called from any thread.
    """

    program = "ministack"

    def __init__(self) -> None:
        """Choose a port and a root key; `start` starts it."""
        super().__init__()
        # One session reads the descriptions of the services once. It makes one client at a time,
        # because sessions are not for several threads; clients are.
        self._session = boto3.Session(region_name=REGION)
        self._lock = threading.Lock()

    def environment(self) -> dict[str, str]:
        """Return what leads a process to this server, without keys.

        Sources of credentials that this machine may have are shut out: shared files, and instance
        metadata, which the `environment()` of an `InstanceMetadata` opens again if it is laid over
        this one.
        """
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint_url,
            "AWS_ENDPOINT_URL_STS": self.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": str(self.directory / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "no-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, keys: Keys | None = None) -> "S3Client":
        """Open an S3 client, with the root key if no other is given. Nothing is tried again."""
        client: S3Client = self._client("s3", keys)
        return client

    def sts(self, keys: Keys | None = None) -> "STSClient":
        """Open an STS client, with the root key if no other is given."""
        client: STSClient = self._client("sts", keys)
        return client

    def create_user(self, *policies: Policy) -> Keys:
        """Create a user that may do what the policies allow, and return its keys."""
        name = f"user-{secrets.token_hex(4)}"
        arn = self._iam.create_user(UserName=name)["User"]["Arn"]
        for number, document in enumerate(policies):
            self._iam.put_user_policy(
                UserName=name, PolicyName=f"policy-{number}", PolicyDocument=json.dumps(document)
            )
        made = self._iam.create_access_key(UserName=name)["AccessKey"]
        return Keys(
            access_key_id=made["AccessKeyId"], secret_access_key=made["SecretAccessKey"], arn=arn
        )

    def delete_key(self, access_key_id: str) -> None:
        """Delete an access key of a user."""
        users = self._iam.list_users()["Users"]
        for name in (each["UserName"] for each in users):
            keys = self._iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
            if any(each["AccessKeyId"] == access_key_id for each in keys):
                self._iam.delete_access_key(UserName=name, AccessKeyId=access_key_id)

    def create_role(
        self, *policies: Policy, trusted: Policy | None = None, name: str | None = None
    ) -> str:
        """Create a role that may do what the policies allow, and return its ARN.

        Without a trust policy it trusts a user of the testbed, as whom `assume` assumes it.
        """
        name = name or f"role-{secrets.token_hex(4)}"
        document = trusted or trust(self._assumer.arn)
        arn: str = self._iam.create_role(
            RoleName=name, AssumeRolePolicyDocument=json.dumps(document)
        )["Role"]["Arn"]
        self.set_role_policies(arn, *policies)
        return arn

    def set_trust(self, role_arn: str, trusted: Policy) -> None:
        """Replace whom a role trusts."""
        self._iam.update_assume_role_policy(
            RoleName=role_arn.rpartition("/")[2], PolicyDocument=json.dumps(trusted)
        )

    def set_role_policies(self, role_arn: str, *policies: Policy) -> None:
        """Let a role do what these policies allow, and nothing else, from now on."""
        name = role_arn.rpartition("/")[2]
        for old in self._iam.list_role_policies(RoleName=name)["PolicyNames"]:
            self._iam.delete_role_policy(RoleName=name, PolicyName=old)
        for number, document in enumerate(policies):
            self._iam.put_role_policy(
                RoleName=name, PolicyName=f"policy-{number}", PolicyDocument=json.dumps(document)
            )

    def assume(
        self,
        role_arn: str,
        *,
        by: Keys | None = None,
        duration_s: int = 3600,
        external_id: str | None = None,
    ) -> Keys:
        """Assume a role, and return keys that end after `duration_s`, which may be 1.

        Without `by` it is the user of the testbed that assumes it. Raises: ClientError.
        """
        sts = self._assumer_sts if by is None else self.sts(by)
        extra: Any = {} if external_id is None else {"ExternalId": external_id}
        answer = sts.assume_role(
            RoleArn=role_arn, RoleSessionName="testbed", DurationSeconds=duration_s, **extra
        )
        made = answer["Credentials"]
        return Keys(
            access_key_id=made["AccessKeyId"],
            secret_access_key=made["SecretAccessKey"],
            session_token=made["SessionToken"],
            expires_at=made["Expiration"],
            arn=answer["AssumedRoleUser"]["Arn"],
        )

    def set_bucket_policy(self, bucket: str, document: Policy | None) -> None:
        """Replace a bucket's policy, or take it away."""
        if document is None:
            self._root_s3.delete_bucket_policy(Bucket=bucket)
        else:
            self._root_s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))

    def create_key(self) -> str:
        """Create a KMS key for encryption, and return its ARN."""
        arn: str = self._kms.create_key()["KeyMetadata"]["Arn"]
        return arn

    def start_again(self) -> None:
        """Start the server; after `kill` it comes back empty. Idempotent."""
        super().start_again()
        # Made at once, because a later call may come from the thread of a metadata server.
        self._iam = self._client("iam", None)
        self._kms = self._client("kms", None)
        self._root_s3 = self.client()
        self._assumer = self.create_user(allow("sts:AssumeRole", on="*"))
        self._assumer_sts = self.sts(self._assumer)

    def _client(self, service: str, keys: Keys | None) -> Any:
        root = Keys(
            access_key_id=self.access_key_id,
            secret_access_key=self.secret_access_key,
            arn=f"arn:aws:iam::{ACCOUNT}:root",
        )
        keys = keys or root
        with self._lock:
            return self._session.client(
                service,  # type: ignore[call-overload]
                endpoint_url=self.endpoint_url,
                aws_access_key_id=keys.access_key_id,
                aws_secret_access_key=keys.secret_access_key,
                aws_session_token=keys.session_token,
                # Without validation, because AWS's shortest session is 900 s: the server grants 1.
                config=Config(parameter_validation=False, retries={"total_max_attempts": 1}),
            )

    def _launch(self) -> Process:
        settings = {
            # Without BIND_HOST it would listen on all interfaces.
            "BIND_HOST": HOST,
            "MINISTACK_HOST": HOST,
            "GATEWAY_PORT": str(self.port),
            "EDGE_PORT": str(self.port),
            "AUTH": "true",
            "SERVICES": "s3,sts,iam,kms",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "LOG_LEVEL": "WARNING",
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
            # Nothing else of this process: its AWS_* variables would become the root's.
            "PATH": os.environ.get("PATH", os.defpath),
        }
        return Process(
            [programs.ministack().path],
            output=self.directory / "ministack.out",
            environment=settings,
        )
