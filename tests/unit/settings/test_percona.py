"""The spelling of Percona Backup for MongoDB."""

from pathlib import Path

import pytest
import yaml

from tests.unit.settings.files import MINIMAL, changed, loaded, refusal

PERCONA = """
type: s3
s3:
  provider: aws
  region: us-west-2
  bucket: pbm-test-bucket
  prefix: data/pbm/backup
  endpointUrl: https://s3.example.net:9000
  forcePathStyle: false
  insecureSkipTLSVerify: true
  credentials:
    access-key-id: AKIA
    secret-access-key: secret
    session-token: token
  uploadPartSize: 10485760
  maxUploadParts: 10000
  maxObjSizeGB: 5018
  storageClass: STANDARD_IA
  debugLogLevels: Signing
  serverSideEncryption:
    sseAlgorithm: aws:kms
    kmsKeyID: key-1
    sseCustomerKey: ""
  retryer:
    numMaxRetries: 3
    minRetryDelay: 30ms
    maxRetryDelay: 5m
"""
OURS = """
type: s3
s3:
  region: us-west-2
  bucket: pbm-test-bucket
  prefix: data/pbm/backup
  endpoint_url: https://s3.example.net:9000
  force_path_style: false
  insecure_skip_tls_verify: true
  credentials: {access_key_id: AKIA, secret_access_key: secret, session_token: token}
  storage_class: STANDARD_IA
  server_side_encryption: {algorithm: "aws:kms", kms_key_id: key-1}
"""


def test_a_block_of_percona_backup_means_the_same(tmp_path: Path) -> None:
    """Pasted as it is; and what has no meaning here is told, not silently dropped."""
    theirs = loaded(tmp_path, {**MINIMAL, "storage": yaml.safe_load(PERCONA)})
    ours = loaded(tmp_path, {**MINIMAL, "storage": yaml.safe_load(OURS)})
    assert theirs.storage == ours.storage
    assert set(theirs.ignored) == {
        "storage.s3.provider",
        "storage.s3.uploadPartSize",
        "storage.s3.maxUploadParts",
        "storage.s3.maxObjSizeGB",
        "storage.s3.debugLogLevels",
        "storage.s3.server_side_encryption.sseCustomerKey",
        "storage.s3.retryer",
    }


def test_further_storages_take_either_spelling(tmp_path: Path) -> None:
    """The same block, so the same names."""
    block = {**yaml.safe_load(PERCONA), "label": "second"}
    settings = loaded(tmp_path, {**MINIMAL, "extra_storages": [block]})
    assert settings.storages[1].s3 is not None
    assert settings.storages[1].s3.endpoint_url == "https://s3.example.net:9000"
    assert "extra_storages[0].s3.retryer" in settings.ignored


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "storage.s3.endpointUrlMap",
            {"node01:27017": "http://a"},
            "storage.s3.endpointUrlMap is not supported: each node has a file of its own",
        ),
        (
            "storage.s3.credentials",
            {"vault": {"server": "v", "secret": "s", "token": "t"}},
            "storage.s3.credentials.vault is not supported",
        ),
    ],
)
def test_what_would_change_where_objects_go_is_refused(
    tmp_path: Path, path: str, value: object, expected: str
) -> None:
    """Ignoring it would keep backups elsewhere, or less well protected, than was asked for."""
    assert expected in refusal(tmp_path, changed(path, value))


def test_one_setting_in_two_spellings_is_refused(tmp_path: Path) -> None:
    """Nobody could say which counts."""
    raw = changed("storage.s3.endpointUrl", "http://a")
    raw["storage"]["s3"]["endpoint_url"] = "http://b"
    assert "storage.s3 has endpoint_url twice, in two spellings" in refusal(tmp_path, raw)
