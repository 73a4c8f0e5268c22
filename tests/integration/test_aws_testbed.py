"""The AWS of the testbed does what the tests of access take for granted, by plain boto3."""

import psutil
import pytest

from tests.testbed.aws import (
    AwsServer,
    Keys,
    allow,
    bucket_access,
    error_code,
    policy,
    trust,
)
from tests.testbed.loopback import HOST
from tests.testbed.waiting import eventually


@pytest.fixture(scope="module")
def bucket(aws_server: AwsServer) -> str:
    """A bucket of this module's own."""
    return aws_server.create_bucket()


@pytest.fixture(scope="module")
def role(aws_server: AwsServer, bucket: str) -> str:
    """A role that may use the bucket."""
    return aws_server.create_role(bucket_access(bucket))


def test_user_may_do_what_a_policy_allows_and_no_more(aws_server: AwsServer, bucket: str) -> None:
    """Without a policy all is denied; with one, what it names."""
    nobody = aws_server.client(aws_server.create_user())
    objects = f"arn:aws:s3:::{bucket}/*"
    writer = aws_server.client(aws_server.create_user(allow("s3:PutObject", on=objects)))

    assert "AccessDenied" == error_code(
        lambda: nobody.put_object(Bucket=bucket, Key="a", Body=b"a")
    )
    writer.put_object(Bucket=bucket, Key="a", Body=b"a")
    assert "AccessDenied" == error_code(lambda: writer.get_object(Bucket=bucket, Key="a"))


def test_wrong_keys_are_told_from_unknown_ones(aws_server: AwsServer, bucket: str) -> None:
    """Signatures are checked: a wrong secret and an unknown id have codes of their own."""
    good = aws_server.create_user(bucket_access(bucket))
    wrong = Keys(access_key_id=good.access_key_id, secret_access_key="wrong", arn="")
    unknown = Keys(access_key_id="AKIAUNKNOWN", secret_access_key="wrong", arn="")

    for keys, code in ((wrong, "SignatureDoesNotMatch"), (unknown, "InvalidAccessKeyId")):
        client = aws_server.client(keys)
        assert code == error_code(lambda client=client: client.list_objects_v2(Bucket=bucket))  # type: ignore[misc]


def test_bucket_policy_binds_whoever_may_write(aws_server: AwsServer) -> None:
    """A deny for unencrypted objects holds against an allow, and goes with the policy."""
    bucket = aws_server.create_bucket()
    user = aws_server.client(aws_server.create_user(bucket_access(bucket)))
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
        "Condition": {"Null": {"s3:x-amz-server-side-encryption": "true"}},
    }

    aws_server.set_bucket_policy(bucket, policy(deny))
    assert "AccessDenied" == error_code(lambda: user.put_object(Bucket=bucket, Key="a", Body=b"a"))
    user.put_object(Bucket=bucket, Key="a", Body=b"a", ServerSideEncryption="AES256")

    aws_server.set_bucket_policy(bucket, None)
    user.put_object(Bucket=bucket, Key="a", Body=b"a")


def test_kms_key_encrypts_objects(aws_server: AwsServer, bucket: str) -> None:
    """An object tells the key that it was encrypted with."""
    key = aws_server.create_key()
    user = aws_server.client(aws_server.create_user(bucket_access(bucket)))

    user.put_object(
        Bucket=bucket, Key="k", Body=b"k", ServerSideEncryption="aws:kms", SSEKMSKeyId=key
    )

    found = user.get_object(Bucket=bucket, Key="k")
    assert ("aws:kms", key) == (found["ServerSideEncryption"], found["SSEKMSKeyId"])
    assert b"k" == found["Body"].read()


def test_assumed_keys_work_until_they_expire(aws_server: AwsServer, role: str, bucket: str) -> None:
    """Keys of three seconds write at once, and are expired three seconds later."""
    keys = aws_server.assume(role, duration_s=3)
    client = aws_server.client(keys)

    client.put_object(Bucket=bucket, Key="a", Body=b"a")
    assert keys.arn == aws_server.sts(keys).get_caller_identity()["Arn"]

    code = eventually(
        lambda: error_code(lambda: client.put_object(Bucket=bucket, Key="a", Body=b"a")),
        timeout_s=6,
    )
    assert "ExpiredToken" == code
    # An answer to HEAD has no body, and so no code.
    assert "400" == error_code(lambda: client.head_object(Bucket=bucket, Key="a"))


def test_role_is_assumed_with_its_external_id_alone(aws_server: AwsServer) -> None:
    """A wrong external id, a missing one and another user are all denied."""
    may_assume = allow("sts:AssumeRole", on="*")
    trusted, stranger = aws_server.create_user(may_assume), aws_server.create_user(may_assume)
    role = aws_server.create_role(trusted=trust(trusted.arn, external_id="right"))

    assert role.rpartition("/")[2] in aws_server.assume(role, by=trusted, external_id="right").arn
    for by, external_id in ((trusted, "wrong"), (trusted, None), (stranger, "right")):
        denied = error_code(
            lambda by=by, given=external_id: aws_server.assume(role, by=by, external_id=given)  # type: ignore[misc]
        )
        assert "AccessDenied" == denied


def test_policies_of_a_role_can_be_replaced(aws_server: AwsServer, bucket: str) -> None:
    """Keys in use are bound by the role's policies of the moment."""
    role = aws_server.create_role(bucket_access(bucket))
    client = aws_server.client(aws_server.assume(role))
    client.list_objects_v2(Bucket=bucket)

    aws_server.set_role_policies(role, allow("s3:GetObject", on=f"arn:aws:s3:::{bucket}/*"))

    assert "AccessDenied" == error_code(lambda: client.list_objects_v2(Bucket=bucket))


def test_server_shows_no_secret_of_its_keys(aws_server: AwsServer, role: str) -> None:
    """Keys can be printed."""
    keys = aws_server.assume(role)

    shown = repr(keys)
    assert keys.access_key_id in shown
    assert keys.secret_access_key not in shown
    assert str(keys.session_token) not in shown


def test_server_listens_on_loopback_alone(aws_server: AwsServer) -> None:
    """Nobody else in the network reaches it."""
    sockets = psutil.Process(aws_server.pid).net_connections("inet")

    assert {(HOST, aws_server.port)} == {
        each.laddr for each in sockets if each.status == psutil.CONN_LISTEN
    }


def test_killed_server_comes_back_empty_and_stops() -> None:
    """Port and root key stay, buckets and users go; after the end the process is gone."""
    with AwsServer.start() as server:
        bucket, user = server.create_bucket(), server.create_user(allow("s3:*", on="*"))
        server.kill()
        server.start_again()

        assert bucket not in {each["Name"] for each in server.client().list_buckets()["Buckets"]}
        assert "InvalidAccessKeyId" == error_code(server.client(user).list_buckets)
        pid = server.pid
    assert not psutil.pid_exists(pid)
    assert not server.directory.exists()
