"""The doctor on real storages: what is missing is named, and nothing is left behind."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agent.aws.doctor import check_keys
from agent.aws.policy import permissions
from agent.aws.session import Access
from agent.core.clock import SystemClock
from agent.model.check import Finding
from agent.settings import EncryptionSettings, StorageSettings
from agent.storage.doctor import Examiner, check_storage
from tests.fakes.http_server import Answer, Request, s3_error, serving
from tests.testbed.aws import AwsServer, Keys, Policy, allow, bucket_access, policy, trust
from tests.testbed.s3 import REGION, S3Endpoint, S3Server

ACTIONS = ("s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
SETTINGS = (
    "s3:GetLifecycleConfiguration",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
)
EVERY_TEST = [
    "bucket name", "clock", "region", "list", "put", "encryption", "overwrite", "get", "delete",
    "lifecycle", "versioning", "default encryption",
]  # fmt: skip


class ShiftedClock:
    """A clock of a host that is wrong."""

    def __init__(self, shift: timedelta) -> None:
        self._shift = shift

    def monotonic(self) -> float:
        """Return nothing that matters here."""
        return 0.0

    def now(self) -> datetime:
        """Return the wrong time."""
        return SystemClock().now() + self._shift


def _storage(server: S3Endpoint | None, bucket: str, keys: Keys, /, **more: Any) -> StorageSettings:
    s3 = {
        "region": REGION,
        "bucket": bucket,
        "prefix": "prod",
        "endpoint_url": None if server is None else server.endpoint_url,
        "credentials": {
            "access_key_id": keys.access_key_id,
            "secret_access_key": keys.secret_access_key,
        },
        **more,
    }
    return StorageSettings.model_validate({"label": "main", "type": "s3", "s3": s3})


def check(
    storage: StorageSettings,
    *,
    environment: Mapping[str, str] | None = None,
    shift: timedelta = timedelta(0),
    name: str = "abc",
) -> list[Finding]:
    """Return what the tests of keys and storage find."""
    clock = ShiftedClock(shift)
    by = Examiner(replset="rs0", agent="a:1", name=name, clock=clock)
    if storage.s3 is None:
        return list(check_storage(storage, by, lambda _: pytest.fail("no client is needed")))
    access = Access(storage.s3, environment or {})
    keys = list(check_keys(access, storage.label, SystemClock()))
    if keys[-1].outcome == "failed":
        return keys
    return [*keys, *check_storage(storage, by, access.connect)]


def bad(findings: list[Finding]) -> dict[str, tuple[str, str | None]]:
    """Return outcome and what is missing of each test that is not ok."""
    assert {"main"} == {each.storage for each in findings}
    return {each.test: (each.outcome, each.missing) for each in findings if each.outcome != "ok"}


def found(findings: list[Finding], test: str) -> Finding:
    """Return what one test found."""
    (finding,) = [each for each in findings if each.test == test]
    return finding


def allowed(bucket: str, *actions: str) -> Policy:
    """Return a policy as the documents propose it: under the prefix alone."""
    on_bucket = [each for each in actions if "Object" not in each]
    on_objects = [each for each in actions if "Object" in each]
    statements: list[Policy] = []
    if on_bucket:
        statements.append({
            "Effect": "Allow", "Action": on_bucket, "Resource": f"arn:aws:s3:::{bucket}",
        })  # fmt: skip
    if on_objects:
        statements.append({
            "Effect": "Allow", "Action": on_objects, "Resource": f"arn:aws:s3:::{bucket}/prod/*",
        })  # fmt: skip
    return policy(*statements)


@pytest.fixture(scope="module")
def bucket(aws_server: AwsServer) -> str:
    """A bucket of this module's own."""
    return aws_server.create_bucket()


@pytest.fixture(scope="module")
def owner(aws_server: AwsServer, bucket: str) -> Keys:
    """A user who may do everything in it."""
    return aws_server.create_user(bucket_access(bucket))


def test_all_is_well_and_nothing_is_left(aws_server: AwsServer, bucket: str, owner: Keys) -> None:
    """Every test has a row, the keys' and the bucket's."""
    findings = check(_storage(aws_server, bucket, owner), environment=aws_server.environment())
    assert {} == bad(findings)
    assert ["credentials", "identity", "expiry", *EVERY_TEST] == [each.test for each in findings]
    assert owner.arn == found(findings, "identity").message
    assert "Contents" not in aws_server.client().list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("lacking", "tests"),
    [
        ("s3:ListBucket", {"list"}),
        ("s3:PutObject", {"put"}),
        ("s3:GetObject", {"encryption", "overwrite", "get"}),
        ("s3:DeleteObject", {"delete"}),
    ],
)
def test_each_missing_action_is_named(aws_server: AwsServer, lacking: str, tests: set[str]) -> None:
    """And every test that needs it fails, no other does."""
    bucket = aws_server.create_bucket()
    keys = aws_server.create_user(
        allowed(bucket, *(each for each in (*ACTIONS, *SETTINGS) if each != lacking))
    )
    findings = check(_storage(aws_server, bucket, keys))
    assert dict.fromkeys(tests, ("failed", lacking)) == bad(findings)
    assert lacking in found(findings, min(tests)).hint


@pytest.mark.parametrize(
    ("lacking", "test"),
    [
        ("s3:GetLifecycleConfiguration", "lifecycle"),
        ("s3:GetBucketVersioning", "versioning"),
        ("s3:GetEncryptionConfiguration", "default encryption"),
    ],
)
def test_settings_that_cannot_be_read_are_a_warning(
    aws_server: AwsServer, bucket: str, lacking: str, test: str
) -> None:
    """No backup needs the permission."""
    keys = aws_server.create_user(
        allowed(bucket, *(each for each in (*ACTIONS, *SETTINGS) if each != lacking))
    )
    assert {test: ("warning", lacking)} == bad(check(_storage(aws_server, bucket, keys)))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"bucket": "there-is-no-such-bucket"}, "NoSuchBucket"),
        ({"endpoint_url": "http://127.0.0.1:9"}, "failed"),
        (
            {"credentials": {"access_key_id": "AKIAUNKNOWN", "secret_access_key": "x"}},
            "InvalidAccessKeyId",
        ),
    ],
)
def test_what_cannot_be_reached_fails_once_and_not_in_every_test(
    aws_server: AwsServer, bucket: str, change: dict[str, Any], code: str
) -> None:
    """The list is asked first; the others could only say the same."""
    anything = aws_server.create_user(allow("s3:*", on="*"))
    findings = check(_storage(aws_server, bucket, anything, **change))
    assert {"list": ("failed", None)} == bad(findings)
    assert code in found(findings, "list").message
    assert found(findings, "list").hint
    assert "put" not in {each.test for each in findings}


def test_without_keys_only_that_is_told(aws_server: AwsServer, bucket: str, owner: Keys) -> None:
    """With every source that was asked."""
    storage = _storage(aws_server, bucket, owner, credentials=None)
    (finding,) = check(storage, environment=aws_server.environment())
    assert ("credentials", "failed") == (finding.test, finding.outcome)
    assert "instance profile: " in finding.message


def test_wrong_keys_are_refused_by_sts_too(aws_server: AwsServer, bucket: str) -> None:
    """The row tells the source to look at."""
    wrong = Keys(access_key_id="AKIAUNKNOWN", secret_access_key="x", arn="")
    findings = check(_storage(aws_server, bucket, wrong), environment=aws_server.environment())
    assert "failed" == found(findings, "identity").outcome
    assert "configuration" in found(findings, "identity").hint


def test_temporary_keys_that_nobody_renews_are_a_warning(
    aws_server: AwsServer, bucket: str
) -> None:
    """Their end is not told; those of a role of the host are renewed."""
    keys = aws_server.assume(aws_server.create_role(bucket_access(bucket)))
    storage = _storage(aws_server, bucket, keys, credentials=None)
    environment = {**aws_server.environment(), **keys.environment()}
    assert {"expiry": ("warning", None)} == bad(check(storage, environment=environment))
    told = {**environment, "AWS_CREDENTIAL_EXPIRATION": str(keys.expires_at)}
    findings = check(storage, environment=told)
    assert {"expiry": ("warning", None)} == bad(findings)
    assert "nobody renews them" in found(findings, "expiry").message


def test_keys_of_a_role_are_renewed(aws_server: AwsServer, bucket: str) -> None:
    """Whatever the source below it; the identity is the role's."""
    may_assume = aws_server.create_user(allow("sts:AssumeRole", on="*"))
    role = aws_server.create_role(bucket_access(bucket), trusted=trust(may_assume.arn))
    storage = _storage(aws_server, bucket, may_assume, role={"arn": role})
    findings = check(storage, environment=aws_server.environment())
    assert {} == bad(findings)
    assert "are renewed before" in found(findings, "expiry").message
    assert f":assumed-role/{role.rpartition('/')[2]}/" in found(findings, "identity").message
    assert f"role {role} over configuration" in found(findings, "credentials").message


def test_a_role_that_may_not_be_assumed_is_told_alone(aws_server: AwsServer, bucket: str) -> None:
    """With the code and the hint of every command."""
    may_assume = aws_server.create_user(allow("sts:AssumeRole", on="*"))
    role = aws_server.create_role(trusted=trust(may_assume.arn, external_id="right"))
    storage = _storage(aws_server, bucket, may_assume, role={"arn": role, "external_id": "wrong"})
    (finding,) = check(storage, environment=aws_server.environment())
    assert ("credentials", "role_denied") == (finding.test, finding.code)
    assert "sts:AssumeRole" == finding.missing
    assert "external id" in finding.hint


@pytest.mark.parametrize(
    ("condition", "algorithm"),
    [
        ({"Null": {"s3:x-amz-server-side-encryption": "true"}}, "AES256"),
        ({"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}}, "aws:kms"),
    ],
)
def test_a_bucket_that_wants_encryption_names_the_setting(
    aws_server: AwsServer, condition: dict[str, Any], algorithm: str
) -> None:
    """The refusal alone tells nothing of it; with the setting all is well."""
    bucket = aws_server.create_bucket()
    keys = aws_server.create_user(bucket_access(bucket))
    aws_server.set_bucket_policy(
        bucket,
        policy({
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{bucket}/*",
            "Condition": condition,
        }),
    )
    put = found(check(_storage(aws_server, bucket, keys)), "put")
    encryption: dict[str, Any] = {"algorithm": algorithm}
    if algorithm == "aws:kms":
        # The server refuses aws:kms without the id of a key, so nothing helps that it could find.
        encryption["kms_key_id"] = aws_server.create_key()
        assert "server_side_encryption" in put.hint
    else:
        assert "takes AES256" in put.message
        assert 'server_side_encryption.algorithm: "AES256"' in put.hint
    assert "failed" == put.outcome
    with_it = check(_storage(aws_server, bucket, keys, server_side_encryption=encryption))
    assert {} == bad(with_it)
    assert "as asked for" in found(with_it, "encryption").message
    assert "Contents" not in aws_server.client().list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize(
    ("shift_s", "outcome"), [(30, "ok"), (-90, "warning"), (1200, "failed"), (-1200, "failed")]
)
def test_a_wrong_clock_is_told_by_the_date_of_the_server(
    aws_server: AwsServer, bucket: str, owner: Keys, shift_s: float, outcome: str
) -> None:
    """Before S3 refuses requests for it."""
    findings = check(_storage(aws_server, bucket, owner), shift=timedelta(seconds=shift_s))
    assert outcome == found(findings, "clock").outcome


def test_versions_that_stay_and_rules_that_delete_are_told(aws_server: AwsServer) -> None:
    """Versioning needs a rule for old versions, and none for those that are current."""
    bucket = aws_server.create_bucket()
    storage = _storage(aws_server, bucket, aws_server.create_user(bucket_access(bucket)))
    root = aws_server.client()
    root.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert {"versioning": ("warning", None)} == bad(check(storage))

    def rule(**parts: Any) -> None:
        rules: Any = [{"ID": "r1", "Status": "Enabled", "Filter": {"Prefix": "prod/"}, **parts}]
        root.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": rules}
        )

    rule(NoncurrentVersionExpiration={"NoncurrentDays": 7})
    assert {} == bad(check(storage))
    rule(Expiration={"Days": 30}, NoncurrentVersionExpiration={"NoncurrentDays": 7})
    findings = check(storage)
    assert {"lifecycle": ("failed", None)} == bad(findings)
    assert "the rule r1 deletes objects after 30 days" in found(findings, "lifecycle").message


def test_what_an_interrupted_check_left_goes_when_it_is_old(
    aws_server: AwsServer, bucket: str, owner: Keys
) -> None:
    """That of another check that runs now stays."""
    client = aws_server.client()
    old, new = (
        f"prod/rs0/check/a%3A1/{SystemClock().now() - age:%Y%m%dT%H%M%SZ}-left"
        for age in (timedelta(hours=2), timedelta(minutes=1))
    )
    for key in (old, new):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    assert {} == bad(check(_storage(aws_server, bucket, owner)))
    left = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [new] == [each["Key"] for each in left]
    client.delete_object(Bucket=bucket, Key=new)


@pytest.mark.parametrize(
    ("encryption", "shown"),
    [
        (None, "by the bucket's own default"),
        (EncryptionSettings(algorithm="AES256"), "AES256, as asked for"),
        (
            EncryptionSettings(
                sse_customer_key=SecretStr(base64.b64encode(bytes(range(32))).decode())
            ),
            "SSE-C with the configured key, as asked for",
        ),
    ],
)
def test_another_server_passes_too(
    s3_server: S3Server, encryption: EncryptionSettings | None, shown: str
) -> None:
    """With encryption of every kind that it has; it has no STS, and is not asked for it."""
    keys = Keys(
        access_key_id=s3_server.access_key_id,
        secret_access_key=s3_server.secret_access_key,
        arn="",
    )
    plain = _storage(s3_server, s3_server.create_bucket(), keys)
    assert plain.s3 is not None
    # Settings that are read from a file refuse a key of the customer's over plain http.
    s3 = plain.s3.model_copy(update={"server_side_encryption": encryption})
    findings = check(plain.model_copy(update={"s3": s3}))
    assert {} == bad(findings)
    assert "no STS" in found(findings, "identity").message
    if encryption is not None:
        assert shown == found(findings, "encryption").message


def test_the_policy_that_we_print_is_all_that_a_check_needs(aws_server: AwsServer) -> None:
    """Neither a failure nor a warning under it."""
    bucket = aws_server.create_bucket()
    any_keys = aws_server.create_user()
    storage = _storage(aws_server, bucket, any_keys)
    assert storage.s3 is not None
    printed: Policy = json.loads(permissions(storage.s3, REGION).text())
    keys = aws_server.create_user(printed)
    assert {} == bad(check(_storage(aws_server, bucket, keys)))


class Imagined:
    """A server that does not do what S3 does."""

    def __init__(self, put: Answer | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self._put = put

    def __call__(self, request: Request) -> Answer:
        """Keep objects, and let them be overwritten, unless told otherwise."""
        path, _, query = request.path.partition("?")
        match request.method:
            case "PUT" if self._put is not None:
                return self._put
            case "PUT":
                self.objects[path] = request.body
                return Answer()
            case "HEAD" | "GET" if path in self.objects:
                return Answer(body=self.objects[path])
            case "GET" if "list-type" in query:
                return Answer(
                    body=b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
                )
        return s3_error(501, "NotImplemented")


def _elsewhere(url: str, **more: Any) -> StorageSettings:
    keys = Keys(access_key_id="A", secret_access_key="B", arn="")
    return _storage(None, "bucket", keys, endpoint_url=url, **more)


def test_a_server_that_overwrites_or_forgets_encryption_fails() -> None:
    """It says yes to everything; only a look at what it did tells."""
    with serving(Imagined()) as server:
        findings = check(_elsewhere(server.url, server_side_encryption={"algorithm": "AES256"}))
    assert {"encryption": ("failed", None), "overwrite": ("failed", None)} == {
        test: what for test, what in bad(findings).items() if test not in {"get", "delete"}
    }
    assert "asked for AES256, but the object has none" == found(findings, "encryption").message
    assert "conditional_puts: false" in found(findings, "overwrite").hint
    for test in ("lifecycle", "versioning", "default encryption"):
        assert "no such setting" in found(findings, test).message


@pytest.mark.parametrize(
    ("answer", "code", "test"),
    [
        (
            Answer(status=301, headers={"x-amz-bucket-region": "eu-central-1"}),
            "storage_wrong_region",
            "region",
        ),
        (s3_error(403, "RequestTimeTooSkewed"), "storage_clock_skew", "list"),
        (s3_error(400, "ExpiredToken"), "credentials_expired", "list"),
    ],
)
def test_refusals_have_their_codes(answer: Answer, code: str, test: str) -> None:
    """As commands have them, and in the row that is about it."""
    with serving(lambda _: answer) as server:
        findings = check(_elsewhere(server.url))
    assert code == found(findings, test).code
    assert found(findings, test).hint
    if code == "storage_wrong_region":
        assert "eu-central-1" in found(findings, "region").hint
    if code == "storage_clock_skew":
        assert "failed" == found(findings, "clock").outcome


def test_a_bucket_in_another_region_is_told_though_it_answers() -> None:
    """Some servers answer all the same, for now."""
    listing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    answer = Answer(body=listing, headers={"x-amz-bucket-region": "eu-central-1"})
    with serving(lambda _: answer) as server:
        region = found(check(_elsewhere(server.url)), "region")
    assert ("failed", "set storage.s3.region to eu-central-1") == (region.outcome, region.hint)


def test_a_denied_kms_key_is_named() -> None:
    """By the action that S3's refusal names."""
    said = "not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:::key/1"
    with serving(Imagined(put=s3_error(403, "AccessDenied", said))) as server:
        encryption = {"algorithm": "aws:kms", "kms_key_id": "1"}
        findings = check(_elsewhere(server.url, server_side_encryption=encryption))
    put = found(findings, "put")
    assert ("storage_encryption", "kms:GenerateDataKey") == (put.code, put.missing)


@pytest.fixture
def directory(tmp_path: Path) -> StorageSettings:
    """A directory as a storage."""
    block = {"label": "main", "type": "filesystem", "filesystem": {"path": tmp_path}}
    return StorageSettings.model_validate(block)


def test_a_directory_is_tested_and_left_as_it_was(
    directory: StorageSettings, tmp_path: Path
) -> None:
    """There, writable, with room."""
    findings = check(directory)
    tests = ["directory", "put", "overwrite", "get", "delete", "room"]
    assert tests == [each.test for each in findings]
    assert {"ok"} == {each.outcome for each in findings if each.test != "room"}
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spoil", "test"),
    [
        (lambda path: path.rmdir(), "directory"),
        (lambda path: (path / "rs0").write_text("in the way"), "put"),
    ],
)
def test_a_directory_that_cannot_be_used_is_told(
    directory: StorageSettings, tmp_path: Path, spoil: Callable[[Path], object], test: str
) -> None:
    """By the first test that needs it."""
    spoil(tmp_path)
    assert "failed" == found(check(directory), test).outcome
