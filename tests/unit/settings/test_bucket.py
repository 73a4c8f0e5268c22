"""The rules for names of buckets."""

from pathlib import Path

import pytest

from agent.settings.bucket import broken_rule
from tests.unit.settings.files import changed, refusal


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("ab", "3 to 63 characters"),
        ("a" * 64, "3 to 63 characters"),
        ("My-Bucket", "did you mean 'my-bucket'"),
        ("my_bucket", "underscores"),
        ("my bucket", "lower-case letters, digits, dots and hyphens"),
        ("büro", "lower-case letters, digits, dots and hyphens"),
        ("bucket/prefix", "lower-case letters, digits, dots and hyphens"),
        ("-bucket", "begin and end"),
        ("bucket-", "begin and end"),
        (".bucket", "begin and end"),
        ("bucket.", "begin and end"),
        ("my..bucket", "two dots"),
        ("192.168.5.4", "IP address"),
        ("xn--bucket", "'xn--'"),
        ("sthree-bucket", "'sthree-'"),
        ("sthree-configurator", "'sthree-'"),
        ("amzn-s3-demo-bucket", "'amzn-s3-demo-'"),
        ("bucket-s3alias", "'-s3alias'"),
        ("bucket--ol-s3", "'--ol-s3'"),
        ("bucket.mrap", "'.mrap'"),
        ("bucket--use1-az4--x-s3", "'--x-s3'"),
        ("bucket--table-s3", "'--table-s3'"),
    ],
)
def test_bucket_names_keep_the_rules_of_s3(tmp_path: Path, name: str, rule: str) -> None:
    """The message names the rule that is broken."""
    message = refusal(tmp_path, changed("storage.s3.bucket", name))
    assert message.startswith("storage.s3.bucket must ")
    assert rule in message


@pytest.mark.parametrize(
    "name",
    [
        "abc",
        "a" * 63,
        "my-bucket.2024",
        "1bucket",
        "192.168.5.4.5",
        "logs-111122223333-eu-west-1-an",
    ],
)
def test_sound_bucket_names_pass(name: str) -> None:
    """The longest, the shortest, and one of an account's own namespace."""
    assert broken_rule(name) is None
