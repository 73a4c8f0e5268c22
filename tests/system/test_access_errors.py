"""What is wrong with the way to the bucket has a code of its own, wherever it shows.

The servers are real where one answers so; a server of the test's own gives what none of them says:
another region, a wrong clock, a refusal by KMS.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.http_server import Answer, Request, s3_error, serving
from tests.system.protected import END_STATES, QUICK, WITHOUT_ARCHIVE
from tests.testbed.agents import Agent, AgentSpec, filesystem_storage
from tests.testbed.aws import AwsServer, allow, trust
from tests.testbed.federated import FederatedS3Server
from tests.testbed.process import remove_directory
from tests.testbed.relay import relayed
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import REGION
from tests.testbed.waiting import eventually

EMPTY_LISTING = Answer(
    body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
)
KMS_SAID = (
    "User: arn:aws:iam::111122223333:user/backstay is not authorized to perform:"
    " kms:GenerateDataKey on resource: arn:aws:kms:us-east-1:111122223333:key/1234"
)
AT_START = [
    "credentials_wrong",
    "storage_wrong_region",
    "storage_bucket_missing",
    "storage_denied",
    "role_denied",
    "web_identity_expired",
    "storage_clock_skew",
]
# The bucket is listed at the start; nothing is written that KMS could refuse.
IN_COMMANDS = [*AT_START, "storage_encryption"]
HINTS = {
    "credentials_wrong": "secret_access_key",
    "storage_wrong_region": "eu-central-1",
    "storage_bucket_missing": "storage.s3.bucket",
    "storage_denied": "allow s3:",
    "role_denied": "storage.s3.role.external_id",
    "web_identity_expired": "AWS_WEB_IDENTITY_TOKEN_FILE",
    "storage_clock_skew": "clock",
    "storage_encryption": "kms:GenerateDataKey",
}


@dataclass
class Faults:
    """A storage block for each fault, and the environment in which it shows."""

    aws: AwsServer
    federated: FederatedS3Server
    directory: Path
    running: ExitStack
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def set_up(self) -> None:
        """Make users, roles and servers."""
        bucket, everything = self.aws.create_bucket(), allow("s3:*", "sts:*", on="*")
        good = self.aws.create_user(everything).environment()
        role = self.aws.create_role(
            everything, trusted=trust(self.aws.create_user().arn, external_id="right")
        )
        self._add("credentials_wrong", bucket, {**good, "AWS_SECRET_ACCESS_KEY": "wrong"})
        self._add("storage_bucket_missing", "not-there-at-all", good)
        self._add("storage_denied", bucket, self.aws.create_user().environment())
        self._add("role_denied", bucket, good, role={"arn": role, "external_id": "wrong"})
        self._add("web_identity_expired", bucket, None)
        self._add("storage_wrong_region", bucket, good, url=self._serve(_elsewhere))
        self._add("storage_clock_skew", bucket, good, url=self._serve(_skewed))
        self._add("storage_encryption", bucket, good, url=self._serve(_refused_by_kms))
        token = self.directory / "token"
        token.write_text(self.federated.issuer.token("agent", life_s=-60))
        self.environment = {
            **self.aws.environment(),
            **self.federated.environment(token),
            "AWS_ENDPOINT_URL_STS": self._serve(self._sts),
        }

    def _add(
        self,
        code: str,
        bucket: str,
        keys: Mapping[str, str] | None,
        *,
        url: str | None = None,
        **more: object,
    ) -> None:
        s3: dict[str, Any] = {
            "region": REGION,
            "bucket": bucket,
            "prefix": code.replace("_", "-"),
            "endpoint_url": url or self.aws.endpoint_url,
            "server_side_encryption": {"algorithm": "aws:kms", "kms_key_id": "1234"},
            **more,
        }
        if keys is not None:
            s3["credentials"] = {
                "access_key_id": keys["AWS_ACCESS_KEY_ID"],
                "secret_access_key": keys["AWS_SECRET_ACCESS_KEY"],
            }
        self.blocks[code] = {"label": code, "type": "s3", "s3": s3}

    def _serve(self, answer: Any) -> str:
        return self.running.enter_context(serving(answer)).url

    def _sts(self, request: Request) -> Answer:
        """Pass web identity on to the server that checks tokens, and all else to the other."""
        is_web_identity = b"AssumeRoleWithWebIdentity" in request.body
        server = self.federated if is_web_identity else self.aws
        return relayed(server.endpoint_url, request)


def _elsewhere(_request: Request) -> Answer:
    return Answer(status=301, headers={"x-amz-bucket-region": "eu-central-1"})


def _skewed(_request: Request) -> Answer:
    said = "The difference between the request time and the current time is too large."
    return s3_error(403, "RequestTimeTooSkewed", said)


def _refused_by_kms(request: Request) -> Answer:
    return EMPTY_LISTING if request.method == "GET" else s3_error(403, "AccessDenied", KMS_SAID)


@pytest.fixture(scope="module")
def faults(
    aws_server: AwsServer,
    federated_server: FederatedS3Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Faults]:
    """Every fault."""
    with ExitStack() as running:
        directory = tmp_path_factory.mktemp("faults")
        faults = Faults(aws_server, federated_server, directory, running)
        faults.set_up()
        yield faults


@pytest.mark.parametrize("code", AT_START)
def test_an_agent_that_cannot_start_says_the_code_and_the_mend(
    replica_set: ReplicaSet, faults: Faults, code: str
) -> None:
    """In one line, without a secret."""
    block = {**faults.blocks[code], "label": "main"}
    agent = Agent.start(
        AgentSpec(
            node=replica_set.primary(),
            storage=block,
            settings=WITHOUT_ARCHIVE,
            environment=faults.environment,
        )
    )
    try:
        assert agent.wait(20) != 0
        (line,) = [each for each in agent.text().splitlines() if each.startswith("backstay: ")]
    finally:
        agent.kill()
        remove_directory(agent.directory)
    assert line.endswith(f"[{code}]")
    assert HINTS[code] in line
    secret = block["s3"].get("credentials", {}).get("secret_access_key", "no secret")
    assert f" {secret} " not in line


@pytest.mark.timeout(180)
def test_a_command_that_cannot_reach_its_storage_says_the_code_and_the_mend(
    replica_set: ReplicaSet, faults: Faults, tmp_path: Path
) -> None:
    """The main storage is sound; each other one has a fault, and each command an error."""
    client = replica_set.client()
    client["shop"]["orders"].insert_many([{"_id": n} for n in range(100)])
    commands = client["backstay"]["commands"]
    extra = {"extra_storages": [faults.blocks[code] for code in IN_COMMANDS]}
    agent = Agent.start(
        AgentSpec(
            node=replica_set.primary(),
            storage=filesystem_storage(tmp_path),
            settings={**QUICK, **WITHOUT_ARCHIVE, **extra},
            environment=faults.environment,
        )
    )
    try:
        eventually(lambda: client["backstay"]["status"].find_one({"kind": "agent"}), 30)
        orders = {
            code: commands.insert_one({"command": "backup", "storage": code}).inserted_id
            for code in IN_COMMANDS
        }
        seen = {}
        for code, order in orders.items():
            found = eventually(
                lambda order=order: commands.find_one(  # type: ignore[misc]
                    {"_id": order, "state": {"$in": list(END_STATES)}}
                ),
                90,
                message=f"the command for {code} ends",
            )
            seen[code] = found["error"]["code"]
            assert found["state"] in {"failed", "rejected"}
            assert HINTS[code] in found["error"]["hint"]
        assert {code: code for code in IN_COMMANDS} == seen
        order = commands.insert_one({"command": "check"}).inserted_id
        checked = eventually(
            lambda: commands.find_one({"_id": order, "state": {"$in": list(END_STATES)}}), 60
        )
        rows = [each for each in checked["result"]["rows"] if each["code"] is not None]
        assert {(code, code) for code in IN_COMMANDS} <= {
            (each["storage"], each["code"]) for each in rows
        }
        assert all(each["hint"] for each in rows)
    finally:
        agent.kill()
        remove_directory(agent.directory)
