"""What a policy allows of a KMS key is what writing and reading need.

The S3 server does not ask whether the caller may use a key, as Amazon's does. A relay before it
does: IAM judges by the caller's policies, for each upload and for each object that is read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from agent.aws import policy
from agent.aws.policy import Scope
from agent.aws.session import Access
from agent.model.iam import KMS_READ, KMS_WRITE
from agent.storage.s3 import S3Store
from tests.fakes.http_server import Answer, Request, s3_error, serving
from tests.integration.test_policy import Ground, cluster, ground, only, refusal
from tests.testbed.aws import AwsServer, Keys
from tests.testbed.relay import relayed
from tests.testbed.s3 import REGION

__all__ = ["cluster", "ground"]  # fixtures

pytestmark = pytest.mark.timeout(300)

# What each job needs of the key: those that write, those that read, and those that do both.
NEEDED: Mapping[str, set[str]] = {
    "backup": {KMS_WRITE},
    "restore to a time": {KMS_READ},
    "resync": {KMS_READ},
    "compaction": {KMS_READ, KMS_WRITE},
}
_KEY_HEADER = "x-amz-server-side-encryption-aws-kms-key-id"
_CREDENTIAL = re.compile(r"Credential=(\w+)/")


@contextmanager
def asking(aws: AwsServer, users: Mapping[str, Keys], key_arn: str) -> Iterator[str]:
    """Serve what the server gives to whoever may use the key; yield the address."""

    def answer(request: Request) -> Answer:
        action = {"PUT": KMS_WRITE, "GET": KMS_READ}.get(request.method)
        is_listing = "?" in request.path and "list-type" in request.path
        if action is None or is_listing:
            return relayed(aws.endpoint_url, request)
        if action == KMS_WRITE:
            named = request.headers.get(_KEY_HEADER, "")
            assert named, "an upload names no key"
            assert key_arn.endswith(named)
        found = _CREDENTIAL.search(request.headers["authorization"])
        assert found is not None
        user = users[found[1]].arn
        asked = aws._iam.simulate_principal_policy(
            PolicySourceArn=user, ActionNames=[action], ResourceArns=[key_arn]
        )
        if asked["EvaluationResults"][0]["EvalDecision"] == "allowed":
            return relayed(aws.endpoint_url, request)
        return s3_error(
            403,
            "AccessDenied",
            f"User: {user} is not authorized to perform: {action} on resource: {key_arn} because no"
            f" identity-based policy allows the {action} action",
        )

    with serving(answer) as server:
        yield server.url


class Guarded:
    """A key of KMS, and grounds on which every object is encrypted with it."""

    def __init__(self, aws: AwsServer, new: Callable[[], Ground], name: str) -> None:
        self._aws = aws
        self._new = new
        self._users: dict[str, Keys] = {}
        self.key_arn = aws.create_key()
        self._key_id = self.key_arn if name == "ARN" else self.key_arn.rpartition("/")[2]

    def run(self, job: str, of_key: set[str] | None, scope: Scope) -> str | None:
        """Run a job with all that the policy allows, but of the key only some; None is all."""
        at = self._new()
        encryption = {"algorithm": "aws:kms", "kms_key_id": self._key_id}
        at.permit(scope, server_side_encryption=encryption)
        whole = policy.permissions(at.s3, REGION, scope)
        allowed = {each for each in whole.actions() if not each.startswith("kms:")}
        if of_key is not None:
            whole = only(whole, allowed | of_key)
        keys = at.aws.create_user(whole.document())
        self._users[keys.access_key_id] = keys
        with asking(self._aws, self._users, self.key_arn) as url:
            s3 = at.s3.model_copy(update={"endpoint_url": url})
            access = Access(s3, {**at.aws.environment(), **keys.environment()})
            at.client = access.connect()
            at.store = S3Store(s3, lambda: at.client)
            return refusal(at, job)


@pytest.mark.parametrize("name", ["ARN", "id"])
@pytest.mark.parametrize("job", NEEDED)
def test_a_job_needs_these_actions_on_the_key(
    aws_server: AwsServer, ground: Callable[[], Ground], job: str, name: str
) -> None:
    """With them it is done; without any one of them it fails, and says which is missing."""
    guarded = Guarded(aws_server, ground, name)
    assert guarded.run(job, NEEDED[job], Scope()) is None
    for action in sorted(NEEDED[job]):
        said = guarded.run(job, NEEDED[job] - {action}, Scope()) or "it is done"
        assert f"allow {action} on the key" in said


def test_a_reader_only_decrypts(aws_server: AwsServer, ground: Callable[[], Ground]) -> None:
    """Under what --restore-only prints."""
    guarded = Guarded(aws_server, ground, "ARN")
    assert guarded.run("restore", None, Scope(is_restore_only=True)) is None
