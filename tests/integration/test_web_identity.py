"""Web identity at a server that checks signature, audience and expiry of a token."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.aws.session import Access
from agent.core.errors import AgentError, PermanentError, TransientError
from agent.settings import S3Settings
from agent.storage.s3 import S3Store
from tests.testbed.aws import identity_token
from tests.testbed.federated import FederatedS3Server
from tests.testbed.waiting import eventually

SUBJECT = "system:serviceaccount:backup:agent"
ORDER = (
    "configuration",
    "environment",
    "web identity",
    "shared files",
    "container",
    "instance profile",
)


@pytest.fixture(scope="module")
def bucket(federated_server: FederatedS3Server) -> str:
    """A bucket of this module's."""
    return federated_server.create_bucket()


class Pod:
    """What an agent in a pod has: a file with a token, and the variables that name it."""

    def __init__(self, server: FederatedS3Server, bucket: str, directory: Path) -> None:
        self.server = server
        self.token_file = directory / "token"
        self.settings = S3Settings(bucket=bucket, endpoint_url=server.endpoint_url)

    def access(self, **more: str) -> Access:
        """Return access to the bucket by the token, and by what else is given."""
        return Access(self.settings, {**self.server.environment(self.token_file), **more})

    def store(self, access: Access) -> S3Store:
        """Return the bucket as agents use it."""
        return S3Store(self.settings, access.connect)

    def project(self, *, life_s: float = 3600, **claims: str) -> None:
        """Put a new token into the file, as Kubernetes does."""
        self.token_file.write_text(self.server.issuer.token(SUBJECT, life_s=life_s, **claims))


@pytest.fixture
def pod(federated_server: FederatedS3Server, bucket: str, tmp_path: Path) -> Pod:
    """A pod with a good token."""
    pod = Pod(federated_server, bucket, tmp_path)
    pod.project()
    return pod


def error_of(call: Callable[[], object]) -> AgentError:
    """Return the error that a call ends with."""
    with pytest.raises(AgentError) as caught:
        call()
    return caught.value


def test_an_expired_token_has_a_code_of_its_own_if_nobody_else_answers(pod: Pod) -> None:
    """With the file's name, what STS said, and every other source."""
    pod.project(life_s=-60)
    error = error_of(pod.store(pod.access()).probe)
    assert (type(error), error.code) == (PermanentError, "web_identity_expired")
    assert str(pod.token_file) in error.message
    assert "ExpiredTokenException" in error.message
    assert all(f" {source}: " in error.message for source in ORDER)
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in error.hint
    assert pod.token_file.read_text() not in error.message


def test_beside_an_expired_token_the_next_source_is_asked_and_the_log_warns(
    pod: Pod, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after any refusal."""
    pod.project(life_s=-60)
    file = tmp_path / "credentials"
    file.write_text(
        f"[default]\naws_access_key_id = {pod.server.access_key_id}\n"
        f"aws_secret_access_key = {pod.server.secret_access_key}\n"
    )
    access = pod.access(AWS_SHARED_CREDENTIALS_FILE=str(file))
    pod.store(access).probe()
    assert access.facts().source == "shared files"
    shown = capsys.readouterr().out
    assert "credentials passed over" in shown
    assert "ExpiredTokenException" in shown


@pytest.mark.parametrize("wrong", ["audience", "signature", "issuer"])
def test_other_refusals_of_a_token_are_told_in_the_words_of_sts(pod: Pod, wrong: str) -> None:
    """They are not about time: a fresh token of the same kind would not help."""
    if wrong == "audience":
        pod.project(audience="somebody else")
    elif wrong == "signature":
        begin, _, signature = pod.token_file.read_text().rpartition(".")
        pod.token_file.write_text(f"{begin}.{signature[::-1]}")
    else:
        pod.token_file.write_text(identity_token(SUBJECT))
    error = error_of(pod.store(pod.access()).probe)
    assert (type(error), error.code) == (PermanentError, "no_credentials")
    assert "web identity: AssumeRoleWithWebIdentity: " in error.message


def test_each_renewal_reads_the_token_and_an_expired_one_is_waited_out(pod: Pod) -> None:
    """Keys end after 4 s: with fresh tokens work goes on, without it stops, and then goes on."""
    access = pod.access()
    store = pod.store(access)
    store.put("renewed/first", b"x")
    ends = {access.facts().expires_at}

    def is_renewed() -> bool:
        pod.project(life_s=5)
        store.probe()
        ends.add(access.facts().expires_at)
        return len(ends) > 2

    eventually(is_renewed, timeout_s=30, interval_s=0.5)
    pod.project(life_s=-60)
    error = eventually(lambda: _failure(store), timeout_s=15, interval_s=0.2)
    assert (type(error), error.code) == (TransientError, "web_identity_expired")
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in error.hint
    pod.project()
    store.put("renewed/last", b"x")


def _failure(store: S3Store) -> AgentError | None:
    try:
        store.probe()
    except AgentError as error:
        return error
    return None
