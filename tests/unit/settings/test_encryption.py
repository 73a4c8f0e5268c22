"""Server-side encryption in the settings."""

import base64
from pathlib import Path
from typing import Any

import pytest

from agent.settings import EncryptionSettings
from tests.unit.settings.files import SECRET, changed, loaded, refusal

KEY = base64.b64encode(bytes(range(32))).decode()
WHERE = "storage.s3.server_side_encryption"


def encryption(tmp_path: Path, block: object, name: str = WHERE) -> EncryptionSettings:
    """Load a file with this block, and return what became of it."""
    s3 = loaded(tmp_path, changed(name, block)).storage.s3
    assert s3 is not None
    assert s3.server_side_encryption is not None
    return s3.server_side_encryption


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({}, "needs algorithm, or an sse_customer_key"),
        ({"algorithm": "AES256", "kms_key_id": "k"}, "kms_key_id, which needs algorithm: aws:kms"),
        ({"algorithm": "AES256", "bucket_key_enabled": True}, "bucket_key_enabled, which needs"),
        ({"algorithm": "aws:kms", "sse_customer_key": KEY}, "both algorithm and sse_customer_key"),
        ({"sse_customer_algorithm": "AES256"}, "sse_customer_algorithm, which needs an"),
        ({"sse_customer_key": KEY, "kms_key_id": "k"}, "kms_key_id, which needs algorithm"),
        ({"algorithm": "AES128"}, f"{WHERE}.algorithm must be 'AES256' or 'aws:kms'"),
        ({"sse_customer_key": SECRET}, f"{WHERE}.sse_customer_key must be 32 bytes in base64"),
        ({"sse_customer_key": KEY[4:]}, f"{WHERE}.sse_customer_key must be 32 bytes in base64"),
        ({"sse_customer_key": 42}, f"{WHERE}.sse_customer_key"),
        (
            {"sse_customer_key": KEY, "sse_customer_key_file": "key"},
            "both sse_customer_key and sse_customer_key_file; keep one",
        ),
        ({"sse_customer_key_file": "nowhere"}, f"{WHERE}.sse_customer_key_file cannot be read"),
    ],
)
def test_what_contradicts_itself_is_refused(tmp_path: Path, block: object, expected: str) -> None:
    """The line names the setting; it never shows a key."""
    said = refusal(tmp_path, changed(WHERE, block))
    assert expected in said
    assert KEY not in said


def test_a_customer_key_may_stand_in_a_file(tmp_path: Path) -> None:
    """Beside the configuration, with a line break at its end; and nothing shows it."""
    (tmp_path / "customer.key").write_text(f"{KEY}\n")
    found = encryption(tmp_path, {"sse_customer_key_file": "customer.key"})
    assert found.customer_key == bytes(range(32))
    assert KEY not in f"{found!r} {found}"


def test_a_bad_key_in_a_file_is_told_without_it(tmp_path: Path) -> None:
    """Which setting, and how to make one."""
    (tmp_path / "customer.key").write_text(SECRET)
    assert "openssl rand" in refusal(
        tmp_path, changed(WHERE, {"sse_customer_key_file": "customer.key"})
    )


def test_the_other_spelling_means_the_same(tmp_path: Path) -> None:
    """That of Percona Backup for MongoDB."""
    block = {"sseCustomerAlgorithm": "AES256", "sseCustomerKey": KEY}
    found = encryption(tmp_path, block, "storage.s3.serverSideEncryption")
    assert found.customer_key == bytes(range(32))


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("http://s3.example.net", True),
        ("http://10.0.0.1:9000", True),
        ("https://s3.example.net", False),
        ("http://127.0.0.1:9000", False),
        ("http://localhost:9000", False),
        (None, False),
    ],
)
def test_a_customer_key_does_not_travel_in_clear(
    tmp_path: Path, url: str | None, *, is_refused: bool
) -> None:
    """It goes with every request."""
    raw: dict[str, Any] = changed(WHERE, {"sse_customer_key": KEY})
    if url is not None:
        raw["storage"]["s3"]["endpoint_url"] = url
    if is_refused:
        assert "must not travel over http" in refusal(tmp_path, raw)
    else:
        loaded(tmp_path, raw)


@pytest.mark.parametrize(
    ("block", "is_same"),
    [
        ({"type": "s3", "s3": {"region": "eu-west-1", "bucket": "acme-backups"}}, True),
        ({"type": "s3", "s3": {"bucket": "acme-backups", "prefix": "/"}}, True),
        ({"type": "s3", "s3": {"bucket": "acme-backups", "prefix": "other"}}, False),
        ({"type": "s3", "s3": {"bucket": "acme-others"}}, False),
        ({"type": "s3", "s3": {"bucket": "acme-backups", "endpoint_url": "http://h"}}, False),
        ({"type": "filesystem", "filesystem": {"path": "/srv"}}, False),
    ],
)
def test_one_place_has_one_label(tmp_path: Path, block: dict[str, Any], *, is_same: bool) -> None:
    """Two would each count the other's backups, and delete what the other one needs."""
    raw = changed("extra_storages", [{**block, "label": "second"}])
    if is_same:
        assert "'main' and 'second' are the same place" in refusal(tmp_path, raw)
    else:
        loaded(tmp_path, raw)
