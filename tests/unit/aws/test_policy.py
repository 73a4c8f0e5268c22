"""The least that AWS must allow, by configuration."""

from typing import Any

import pytest
from botocore.session import Session

from agent.aws import policy, trust
from agent.aws.policy import Scope
from agent.model.iam import Statement
from agent.settings import S3Settings

REGION = "eu-west-1"
_CUSTOMER = "-customer-algorithm"
KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"


def bucket(**more: Any) -> S3Settings:
    """Return the settings of a bucket with a prefix."""
    return S3Settings.model_validate({"bucket": "acme", "prefix": "prod", **more})


def statements(
    s3: S3Settings, region: str | None = REGION, scope: Scope = policy.PLAIN
) -> dict[str, Statement]:
    """Return the statements of the permissions by their ids."""
    return {each.sid: each for each in policy.permissions(s3, region, scope).statements}


def key_statement(key_id: str | None, region: str | None = REGION, **scope: bool) -> dict[str, Any]:
    """Return the statement about the KMS key of a bucket."""
    s3 = bucket(server_side_encryption={"algorithm": "aws:kms", "kms_key_id": key_id})
    return statements(s3, region, Scope(**scope))["UseKey"].document()


def test_everything_is_limited_to_bucket_and_prefix() -> None:
    """Neither other buckets nor what others keep in this one."""
    found = statements(bucket())
    assert ("arn:aws:s3:::acme/prod/*",) == found["ReadAndWriteBackups"].resources
    assert {"StringLike": {"s3:prefix": "prod/*"}} == found["ListBackups"].condition
    assert {("arn:aws:s3:::acme",)} == {
        found[sid].resources for sid in ("ListBackups", "LookAtBucket")
    }


def test_without_a_prefix_the_whole_bucket_is_meant() -> None:
    """Listings then have no prefix that could be compared."""
    found = statements(bucket(prefix=""))
    assert ("arn:aws:s3:::acme/*",) == found["ReadAndWriteBackups"].resources
    assert {} == found["ListBackups"].condition


def test_a_prefix_that_looks_like_a_pattern_is_none() -> None:
    """Or the agent could reach what is not its own."""
    found = statements(bucket(prefix="pro*"))
    assert ("arn:aws:s3:::acme/pro${*}/*",) == found["ReadAndWriteBackups"].resources


def test_restoring_neither_writes_nor_deletes() -> None:
    """Nor makes keys for new objects."""
    s3 = bucket(server_side_encryption={"algorithm": "aws:kms", "kms_key_id": KEY})
    allowed = policy.permissions(s3, REGION, Scope(is_restore_only=True)).actions()
    assert {"s3:GetObject", "s3:ListBucket", "kms:Decrypt"} <= set(allowed)
    assert not [each for each in allowed if "Put" in each or "Delete" in each or "Generate" in each]


def test_versions_are_kept_from_the_agent() -> None:
    """It is allowed no more than before; what would end versions is denied."""
    plain = policy.permissions(bucket(), REGION)
    versioned = policy.permissions(bucket(), REGION, Scope(is_versioned=True))
    assert plain.actions() == versioned.actions()
    denied = [each for each in versioned.statements if each.effect == "Deny"]
    assert {"s3:DeleteObjectVersion", "s3:PutBucketVersioning", "s3:PutLifecycleConfiguration"} == {
        action for each in denied for action in each.actions
    }


@pytest.mark.parametrize(
    ("encryption", "header", "algorithm"),
    [
        (None, "", "AES256"),
        ({"algorithm": "AES256"}, "", "AES256"),
        ({"algorithm": "aws:kms"}, "", "aws:kms"),
        ({"sse_customer_key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}, _CUSTOMER, "AES256"),
    ],
)
def test_the_required_encryption_is_the_configured_one(
    encryption: dict[str, str] | None, header: str, algorithm: str
) -> None:
    """Two statements: one about uploads that ask for none, one about those that ask for another."""
    s3 = bucket(server_side_encryption=encryption)
    of_bucket = [each.document() for each in policy.bucket_policy(s3, REGION).statements]
    header = f"s3:x-amz-server-side-encryption{header}"
    common = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::acme/prod/*",
    }
    assert of_bucket == [
        {"Sid": "DenyUnencryptedUploads", **common, "Condition": {"Null": {header: "true"}}},
        {
            "Sid": "DenyOtherEncryption",
            **common,
            "Condition": {"StringNotEquals": {header: algorithm}},
        },
    ]
    own = policy.permissions(s3, REGION, Scope(is_encryption_required=True)).statements[-2:]
    without = [{k: v for k, v in each.items() if k != "Principal"} for each in of_bucket]
    assert without == [each.document() for each in own]


class TestKey:
    """What S3 may do with a key of KMS on the agent's behalf."""

    def test_no_key_needs_no_permission(self) -> None:
        """AES256, nothing, or the account's own key for S3, whose policy allows it."""
        for encryption in (None, {"algorithm": "AES256"}, {"algorithm": "aws:kms"}):
            assert "UseKey" not in statements(bucket(server_side_encryption=encryption))

    def test_a_configured_key_is_named(self) -> None:
        """An ARN as it is; an id in whatever account has it; only through S3."""
        arn = f"arn:aws:kms:eu-west-1:111122223333:key/{KEY}"
        assert key_statement(arn) == {
            "Sid": "UseKey",
            "Effect": "Allow",
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": arn,
            "Condition": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
        }
        assert f"arn:aws:kms:eu-west-1:*:key/{KEY}" == key_statement(KEY)["Resource"]

    @pytest.mark.parametrize(
        ("name", "account"),
        [
            ("alias/backups", "*"),
            ("arn:aws:kms:eu-west-1:111122223333:alias/backups", "111122223333"),
        ],
    )
    def test_an_alias_is_a_condition(self, name: str, account: str) -> None:
        """Permissions on an alias itself would not reach the key."""
        found = key_statement(name)
        assert found["Resource"] == f"arn:aws:kms:eu-west-1:{account}:key/*"
        assert {"kms:ResourceAliases": "alias/backups"} == found["Condition"][
            "ForAnyValue:StringEquals"
        ]

    def test_a_key_of_the_bucket_is_not_known(self) -> None:
        """Any key, but only through S3."""
        found = statements(bucket(), REGION, Scope(has_kms_key=True))["UseKey"].document()
        assert "arn:aws:kms:eu-west-1:*:key/*" == found["Resource"]
        assert "kms:ViaService" in str(found["Condition"])

    def test_without_a_region_or_at_another_server_there_is_no_service_to_name(self) -> None:
        """A condition that never holds would deny everything."""
        assert "Condition" not in key_statement(KEY, region=None)
        s3 = bucket(
            endpoint_url="https://s3.example.net",
            server_side_encryption={"algorithm": "aws:kms", "kms_key_id": KEY},
        )
        assert {} == statements(s3)["UseKey"].condition

    def test_china_has_names_of_its_own(self) -> None:
        """Of services and of the partition."""
        found = key_statement(KEY, "cn-north-1")
        assert found["Resource"].startswith("arn:aws-cn:kms:cn-north-1:")
        assert "s3.cn-north-1.amazonaws.com.cn" in str(found["Condition"])


def test_every_region_has_its_partition() -> None:
    """Compared with the list of botocore."""
    session = Session()
    for partition in session.get_available_partitions():
        for region in session.get_available_regions("s3", partition):
            if not region.startswith(("fips-", "s3-")) and region != "aws-global":
                assert partition == policy.partition_of(region), region
    assert "aws" == policy.partition_of(None)


class TestTrust:
    """Whom a role trusts."""

    @pytest.mark.parametrize(
        ("made", "service"),
        [
            (trust.instances("eu-west-1"), "ec2.amazonaws.com"),
            (trust.instances("cn-north-1"), "ec2.amazonaws.com.cn"),
            (trust.ecs_tasks(), "ecs-tasks.amazonaws.com"),
            (trust.pods("mongodb", "backstay"), "pods.eks.amazonaws.com"),
        ],
    )
    def test_services_assume_it_for_hosts_and_pods(self, made: Any, service: str) -> None:
        """The service that hands keys out is the one that is trusted."""
        (found,) = made.document()["Statement"]
        assert {"Service": service} == found["Principal"]
        assert "sts:AssumeRole" in found["Action"]

    def test_a_service_account_is_named_by_its_claims(self) -> None:
        """Audience and subject, under the issuer's name."""
        issuer = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
        arn = f"arn:aws:iam::111122223333:oidc-provider/{issuer}"
        (found,) = trust.service_account(arn, "mongodb", "backstay").statements
        assert found.document() == {
            "Sid": "TrustServiceAccount",
            "Effect": "Allow",
            "Principal": {"Federated": arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {
                    f"{issuer}:aud": "sts.amazonaws.com",
                    f"{issuer}:sub": "system:serviceaccount:mongodb:backstay",
                }
            },
        }

    def test_pods_are_named_by_their_tags(self) -> None:
        """Pod Identity says by tags which service account it acts for."""
        (found,) = trust.pods("mongodb", "backstay").statements
        assert ("sts:AssumeRole", "sts:TagSession") == found.actions
        assert {
            "StringEquals": {
                "aws:RequestTag/kubernetes-namespace": "mongodb",
                "aws:RequestTag/kubernetes-service-account": "backstay",
            }
        } == found.condition

    def test_others_must_know_the_external_id(self) -> None:
        """Or whoever may assume roles for many could be led to this one."""
        (found,) = trust.external(["arn:aws:iam::111122223333:role/hosts"], "8d0f4c1e").statements
        assert {"AWS": ("arn:aws:iam::111122223333:role/hosts",)} == found.principal
        assert {"StringEquals": {"sts:ExternalId": "8d0f4c1e"}} == found.condition

    def test_who_assumes_a_role_may_do_that_alone(self) -> None:
        """One action on one role."""
        arn = "arn:aws:iam::111122223333:role/backstay"
        (found,) = policy.may_assume(arn).statements
        assert (("sts:AssumeRole",), (arn,)) == (found.actions, found.resources)
