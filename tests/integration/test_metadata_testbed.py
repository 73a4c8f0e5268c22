"""The endpoints of the testbed that hand out keys speak what botocore and AWS speak."""

import functools
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping

import boto3
import pytest

from tests.testbed.aws import (
    AwsServer,
    bucket_access,
    error_code,
    identity_token,
    trust_web_identity,
)
from tests.testbed.endpoint import Endpoint
from tests.testbed.loopback import HOST
from tests.testbed.metadata import (
    ROLES_PATH,
    TOKEN_PATH,
    ContainerCredentials,
    InstanceMetadata,
    rotating,
)
from tests.testbed.process import inherited_environment
from tests.testbed.waiting import eventually

TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}

Enter = Callable[[Mapping[str, str]], boto3.Session]


@pytest.fixture(scope="module")
def bucket(aws_server: AwsServer) -> str:
    """A bucket of this module's own."""
    return aws_server.create_bucket()


@pytest.fixture(scope="module")
def role(aws_server: AwsServer, bucket: str) -> str:
    """A role that may use the bucket."""
    return aws_server.create_role(bucket_access(bucket))


@pytest.fixture
def machine(aws_server: AwsServer, role: str) -> Iterator[InstanceMetadata]:
    """An instance that has the role."""
    with InstanceMetadata.start() as metadata:
        metadata.keys = lambda: aws_server.assume(role)
        yield metadata


@pytest.fixture
def container(aws_server: AwsServer, role: str) -> Iterator[ContainerCredentials]:
    """A container that has the role."""
    with ContainerCredentials.start() as metadata:
        metadata.keys = lambda: aws_server.assume(role)
        yield metadata


@pytest.fixture
def enter(aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Enter:
    """Open a session of boto3 in an environment that leads to the server and nowhere else."""
    for name in inherited_environment({}):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)

    def session(environment: Mapping[str, str]) -> boto3.Session:
        for name, value in {**aws_server.environment(), **environment}.items():
            monkeypatch.setenv(name, value)
        return boto3.Session()

    return session


# ------------------------------------------------------------------ instance metadata


def test_instance_metadata_leads_to_the_bucket(
    machine: InstanceMetadata, bucket: str, enter: Enter
) -> None:
    """A botocore that knows nothing but the metadata address writes to the bucket, by version 2."""
    session = enter(machine.environment())

    session.client("s3").put_object(Bucket=bucket, Key="a", Body=b"a")

    assert "iam-role" == method_of(session)
    assert [1, 1, 1] == [
        machine.count(path) for path in (TOKEN_PATH, ROLES_PATH, machine.role_path)
    ]


def test_metadata_is_given_for_a_token_alone(machine: InstanceMetadata) -> None:
    """Without a token, with a wrong one and with one that has ended the answer is 401."""
    path = "/latest/meta-data/placement/region"
    status, token = ask(machine, TOKEN_PATH, method="PUT", headers=TTL)
    assert 200 == status

    assert (401, "") == ask(machine, path)
    assert (401, "") == ask(machine, path, headers={"X-aws-ec2-metadata-token": "wrong"})
    assert (200, "us-east-1") == ask(machine, path, headers={"X-aws-ec2-metadata-token": token})

    short = {"X-aws-ec2-metadata-token-ttl-seconds": "1"}
    _, token = ask(machine, TOKEN_PATH, method="PUT", headers=short)
    ended = {"X-aws-ec2-metadata-token": token}
    assert 200 == ask(machine, path, headers=ended)[0]
    eventually(lambda: 401 == ask(machine, path, headers=ended)[0], timeout_s=3)


def test_tokens_are_given_by_the_rules(machine: InstanceMetadata) -> None:
    """A token needs a PUT, a life of 1 to 21,600 s, and no proxy in between."""
    name = "X-aws-ec2-metadata-token-ttl-seconds"
    statuses = [
        ask(machine, TOKEN_PATH, method=method, headers=headers)[0]
        for method, headers in (
            ("PUT", {}),
            ("PUT", {name: "0"}),
            ("PUT", {name: "21601"}),
            ("PUT", {name: "60", "X-Forwarded-For": "10.0.0.1"}),
            ("GET", {name: "60"}),
            ("PUT", {name: "60", "X-aws-ec2-metadata-hop-limit": "2"}),
        )
    ]
    assert [400, 400, 400, 403, 405, 200] == statuses


def test_metadata_tells_where_the_instance_is(machine: InstanceMetadata) -> None:
    """Region, zone and identity document agree; what does not exist is 404."""
    _, token = ask(machine, TOKEN_PATH, method="PUT", headers=TTL)
    headers = {"X-aws-ec2-metadata-token": token}

    def get(path: str) -> str:
        return ask(machine, path, headers=headers)[1]

    identity = json.loads(get("/latest/dynamic/instance-identity/document"))
    assert identity["region"] == get("/latest/meta-data/placement/region")
    assert identity["region"] + "a" == get("/latest/meta-data/placement/availability-zone/")
    assert (404, "") == ask(machine, ROLES_PATH + "another-role", headers=headers)


def test_old_machine_offers_version_1_alone(
    machine: InstanceMetadata, bucket: str, enter: Enter
) -> None:
    """With version 1 only there is no token, and botocore does without."""
    machine.version_1 = "only"

    enter(machine.environment()).client("s3").list_objects_v2(Bucket=bucket)

    assert (404, "") == ask(machine, TOKEN_PATH, method="PUT", headers=TTL)


def test_lenient_machine_takes_both_versions(machine: InstanceMetadata) -> None:
    """With version 1 optional the role is listed with a token and without."""
    machine.version_1 = "optional"
    _, token = ask(machine, TOKEN_PATH, method="PUT", headers=TTL)

    assert (200, machine.role) == ask(machine, ROLES_PATH)
    assert (200, machine.role) == ask(
        machine, ROLES_PATH, headers={"X-aws-ec2-metadata-token": token}
    )


def test_machine_without_a_role_lists_none(machine: InstanceMetadata, enter: Enter) -> None:
    """No keys are found on an instance without a role."""
    machine.keys = lambda: None

    assert enter(machine.environment()).get_credentials() is None
    assert 1 == machine.count(ROLES_PATH)


def test_expired_keys_are_handed_out_as_such(machine: InstanceMetadata) -> None:
    """The switch dates the keys back; without it they end in the future."""
    machine.version_1 = "optional"

    def expiration() -> str:
        end: str = json.loads(ask(machine, machine.role_path)[1])["Expiration"]
        return end

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert now < expiration()
    machine.expired = True
    assert now > expiration()


def test_keys_from_metadata_truly_expire(
    aws_server: AwsServer, machine: InstanceMetadata, role: str, bucket: str, enter: Enter
) -> None:
    """A machine that goes on to hand out the same short-lived keys loses the bucket."""
    short = functools.cache(lambda: aws_server.assume(role, duration_s=3))
    machine.keys = short
    client = enter(machine.environment()).client("s3")
    client.list_objects_v2(Bucket=bucket)

    code = eventually(
        lambda: error_code(lambda: client.list_objects_v2(Bucket=bucket)), timeout_s=6
    )
    assert "ExpiredToken" == code
    assert 1 == machine.count(machine.role_path)


def test_keys_rotate_in_the_order_in_which_they_end(
    aws_server: AwsServer, role: str, bucket: str
) -> None:
    """The next keys are given when the first ones end, and those are still known as expired."""
    first, second = (aws_server.assume(role, duration_s=life_s) for life_s in (1, 3600))
    source = rotating([second, first])

    assert first == source()
    eventually(lambda: second == source(), timeout_s=3)
    aws_server.client(second).list_objects_v2(Bucket=bucket)
    # The stated end has no fractions of a second, the true one has.
    old = aws_server.client(first)
    code = eventually(lambda: error_code(lambda: old.list_objects_v2(Bucket=bucket)), timeout_s=3)
    assert "ExpiredToken" == code


# ------------------------------------------------------------------ containers


def test_container_credentials_lead_to_the_bucket(
    container: ContainerCredentials, bucket: str, enter: Enter
) -> None:
    """EKS Pod Identity, with its token in a file, reaches the bucket, also with a new token."""
    for _ in range(2):
        session = enter(container.environment())
        session.client("s3").list_objects_v2(Bucket=bucket)
        assert "container-role" == method_of(session)
        container.rotate_token()

    assert 2 == container.count(container.relative_uri)


def test_ecs_gives_its_token_in_the_environment(
    container: ContainerCredentials, bucket: str, enter: Enter
) -> None:
    """ECS's full URI, with its token in the environment, reaches the bucket."""
    enter(container.ecs_environment()).client("s3").list_objects_v2(Bucket=bucket)

    assert 1 == container.count(container.relative_uri)


def test_container_credentials_are_given_to_the_bearer_alone(
    container: ContainerCredentials,
) -> None:
    """Without the token, and with the one of before, the answer is 401; elsewhere 404."""
    path, old = container.relative_uri, container.token_file.read_text()
    assert 200 == ask(container, path, headers={"Authorization": old})[0]

    container.rotate_token()

    assert (401, "") == ask(container, path)
    assert (401, "") == ask(container, path, headers={"Authorization": old})
    assert (404, "") == ask(container, "/v2/credentials/other", headers={"Authorization": old})


def test_container_without_a_role_and_with_an_expired_one(container: ContainerCredentials) -> None:
    """Both switches of the keys are those of an instance."""
    headers = {"Authorization": container.token_file.read_text()}
    container.expired = True
    document = json.loads(ask(container, container.relative_uri, headers=headers)[1])
    assert document["Expiration"] < time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    container.keys = lambda: None
    assert (404, "") == ask(container, container.relative_uri, headers=headers)


# ------------------------------------------------------------------ web identity


def test_web_identity_needs_the_trusted_subject(
    aws_server: AwsServer,
    bucket: str,
    enter: Enter,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The service account that the role trusts reaches the bucket, another one does not."""
    role = aws_server.create_role(
        bucket_access(bucket), trusted=trust_web_identity("system:serviceaccount:db:mongo")
    )
    token = tmp_path_factory.mktemp("pod") / "token"
    environment = {"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": str(token)}

    token.write_text(identity_token("system:serviceaccount:db:mongo"))
    enter(environment).client("s3").list_objects_v2(Bucket=bucket)

    token.write_text(identity_token("system:serviceaccount:db:other"))
    other = enter(environment).client("s3")
    assert "AccessDenied" == error_code(lambda: other.list_objects_v2(Bucket=bucket))


# ------------------------------------------------------------------ switches of both


def test_failures_are_counted_down(machine: InstanceMetadata, enter: Enter) -> None:
    """One 500 leaves a botocore of one attempt without keys; the next one finds them."""
    machine.fail(2)
    session = enter(machine.environment())

    assert session.get_credentials() is None
    assert 2 == machine.count()
    assert boto3.Session().get_credentials() is not None


def test_failures_have_the_status_that_is_asked_for(machine: InstanceMetadata) -> None:
    """A refusal of two requests is over with the third."""
    machine.version_1 = "optional"
    machine.fail(2, status=503)

    assert [503, 503, 200] == [ask(machine, ROLES_PATH)[0] for _ in range(3)]


def test_slow_endpoint_answers_late(container: ContainerCredentials) -> None:
    """The delay passes before the answer; without it the answer is there at once."""
    began = time.monotonic()
    ask(container, "/nothing")
    quick_s = time.monotonic() - began
    container.delay_s = 0.5

    began = time.monotonic()
    assert (404, "") == ask(container, "/nothing")
    assert quick_s < 0.5 <= time.monotonic() - began


def test_slow_endpoint_stops_at_once(container: ContainerCredentials) -> None:
    """A request that waits for its answer does not hold up the end."""
    container.delay_s = 60
    with socket.create_connection((HOST, container.port)) as waiting:
        waiting.sendall(b"GET /nothing HTTP/1.1\r\nHost: testbed\r\n\r\n")
        eventually(lambda: 1 == container.count("/nothing"))

        began = time.monotonic()
        container.stop()
        assert time.monotonic() - began < 5


def test_endpoint_that_is_gone_refuses_and_comes_back(machine: InstanceMetadata) -> None:
    """Connections are refused while it is gone; then it answers on the same port."""
    machine.vanish()
    with pytest.raises(ConnectionRefusedError):
        ask(machine, TOKEN_PATH)

    machine.come_back()
    assert 405 == ask(machine, TOKEN_PATH)[0]


def test_endpoint_that_swallows_packets_lets_callers_wait(machine: InstanceMetadata) -> None:
    """A connection is neither made nor refused; when it comes back, it is made."""
    machine.swallow()
    with pytest.raises(TimeoutError):
        socket.create_connection((HOST, machine.port), timeout=0.3).close()

    machine.come_back()
    assert 405 == ask(machine, TOKEN_PATH)[0]


def ask(
    endpoint: Endpoint, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Send one request; return status and body."""
    connection = http.client.HTTPConnection(HOST, endpoint.port, timeout=5)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def method_of(session: boto3.Session) -> str:
    """Return botocore's word for the source of the session's keys."""
    credentials = session.get_credentials()
    assert credentials is not None
    return credentials.method
