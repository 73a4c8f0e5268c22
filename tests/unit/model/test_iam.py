"""Words of IAM: which action a request asks for, and how a policy is written."""

import json
import re

import pytest

from agent.model.iam import ACTIONS, Policy, Statement, action_of, literal
from tests.docs.sources import AGENT

# Calls of boto3's clients for S3 and STS that need a permission, as they stand in the source.
_CALL = re.compile(
    r"\.((?:put|get|head|list|delete|copy|create|upload|abort|complete)_(?:object|bucket|multipart)"
    r"\w*|assume_role\w*)[(,]"
)
# The token is the permission.
_FREE = {"AssumeRoleWithWebIdentity"}
# Called by botocore itself, or to look at a bucket's rules.
_ELSEWHERE = {"AssumeRole"}


def test_every_request_in_the_source_has_its_action() -> None:
    """What is called is known, so that errors and policies can name it; and no other is."""
    rooms = ("aws", "storage")
    sources = [path for room in rooms for path in (AGENT / room).rglob("*.py")]
    called = {
        "".join(word.capitalize() for word in name.split("_"))
        for path in sources
        for name in _CALL.findall(path.read_text(encoding="utf-8"))
    }
    assert {"PutObject", "ListObjectsV2", "DeleteObjects"} <= called
    assert not called - set(ACTIONS) - _FREE
    assert not set(ACTIONS) - called - _ELSEWHERE


def test_an_unknown_request_is_its_own_action() -> None:
    """Somebody reads the name, whatever it is."""
    assert "s3:GetLifecycleConfiguration" == action_of("GetBucketLifecycleConfiguration")
    assert "SelectObjectContent" == action_of("SelectObjectContent")


@pytest.mark.parametrize(
    ("text", "written"), [("prod", "prod"), ("a*b", "a${*}b"), ("?$", "${?}${$}")]
)
def test_a_name_is_no_pattern(text: str, written: str) -> None:
    """A star in a prefix means itself."""
    assert written == literal(text)


def test_a_policy_is_written_as_people_write_it() -> None:
    """A single action or resource has no list around it; what is empty is left out."""
    policy = Policy(
        statements=(
            Statement(sid="One", actions=("s3:GetObject",), resources=("arn:aws:s3:::b/*",)),
            Statement(
                sid="Two",
                effect="Deny",
                principal={"AWS": ("a", "b")},
                actions=("s3:PutObject", "s3:DeleteObject"),
                condition={"StringLike": {"s3:prefix": ["a/*", "b/*"]}},
            ),
        )
    )
    assert json.loads(policy.text()) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "One",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::b/*",
            },
            {
                "Sid": "Two",
                "Effect": "Deny",
                "Principal": {"AWS": ["a", "b"]},
                "Action": ["s3:PutObject", "s3:DeleteObject"],
                "Condition": {"StringLike": {"s3:prefix": ["a/*", "b/*"]}},
            },
        ],
    }
    assert policy.actions() == ("s3:GetObject",)
