"""An S3 and STS server that trusts an issuer of web identity tokens, and checks what it signs.

Signature, audience and expiry of a token are checked; keys that are given for one end, and the
server refuses them from then on.
"""

import base64
import json
import secrets
from pathlib import Path

from tests.testbed.aws import ACCOUNT
from tests.testbed.oidc import AUDIENCE, Issuer
from tests.testbed.s3 import REGION, S3Server

_ISSUER_NAME = "cluster"


class FederatedS3Server(S3Server):
    """SeaweedFS with one role, for whoever bears a token of its issuer; `stop` ends both."""

    role_arn = f"arn:aws:iam::{ACCOUNT}:role/backstay"

    #: Seconds that keys of the role live.
    session_s = 4

    def __init__(self) -> None:
        """Choose ports and start the issuer."""
        super().__init__()
        self.issuer = Issuer.start()

    def environment(self, token_file: Path) -> dict[str, str]:
        """Return what leads a process to this server with the token in a file, and nothing else."""
        return {
            "AWS_ROLE_ARN": self.role_arn,
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file),
            "AWS_ENDPOINT_URL_STS": self.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": str(self.directory / "no-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.directory / "no-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def stop(self) -> None:
        """End the server and its issuer. Idempotent."""
        super().stop()
        self.issuer.stop()

    def _more_options(self) -> list[str]:
        path = self.directory / "iam.json"
        if not path.exists():
            path.write_text(json.dumps(self._trust()))
        return [f"-s3.iam.config={path}"]

    def _trust(self) -> dict[str, object]:
        issuer = {
            "issuer": self.issuer.url,
            "clientId": AUDIENCE,
            "jwksUri": f"{self.issuer.url}/keys",
        }
        trusts = {
            "Effect": "Allow",
            "Principal": {"Federated": _ISSUER_NAME},
            "Action": ["sts:AssumeRoleWithWebIdentity"],
        }
        allows = {"Effect": "Allow", "Action": ["s3:*", "sts:ValidateSession"], "Resource": ["*"]}
        role = {
            "roleName": self.role_arn.rpartition("/")[2],
            "roleArn": self.role_arn,
            "trustPolicy": {"Version": "2012-10-17", "Statement": [trusts]},
            "attachedPolicies": ["everything"],
        }
        policy = {"Version": "2012-10-17", "Statement": [allows]}
        return {
            "sts": {
                "tokenDuration": f"{self.session_s}s",
                "maxSessionLength": "12h",
                "issuer": "testbed",
                "signingKey": base64.b64encode(secrets.token_bytes(32)).decode(),
            },
            "providers": [
                {"name": _ISSUER_NAME, "type": "oidc", "enabled": True, "config": issuer}
            ],
            "policy": {"defaultEffect": "Deny", "storeType": "memory"},
            "roles": [role],
            "policies": [{"name": "everything", "document": policy}],
        }
