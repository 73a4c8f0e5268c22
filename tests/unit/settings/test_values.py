"""Unknown keys and bad values: one line each, with the setting and the mend."""

from pathlib import Path

import pytest

from tests.unit.settings.files import SECRET, changed, loaded, refusal


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("storag", "storag is not a setting; did you mean storage?"),
        ("backup.worker", "backup.worker is not a setting; did you mean backup.workers?"),
        ("storage.s3.buket", "storage.s3.buket is not a setting; did you mean storage.s3.bucket?"),
        ("storage.s3.endpointURI", "did you mean storage.s3.endpoint_url?"),
        ("storage.s3.forcePathstyle", "did you mean storage.s3.force_path_style?"),
        ("storage.bucket", "storage.bucket is not a setting; did you mean storage.s3.bucket?"),
        ("log.colour", "log.colour is not a setting; log may have format, level"),
        ("pitr", "pitr is not a setting; "),
        ("storage.s3.retries.limit", "did you mean storage.s3.retries.limit_s?"),
        (
            "storage.s3.credentials.access-key",
            "is not a setting; did you mean storage.s3.credentials.access_key_id?",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest(tmp_path: Path, path: str, expected: str) -> None:
    """In either spelling, and also one that stands at the wrong level."""
    assert expected in refusal(tmp_path, changed(path, "x"))


def test_an_unknown_key_in_a_further_storage_is_named(tmp_path: Path) -> None:
    """With its place in the list."""
    raw = changed("extra_storages", [{"label": "b", "type": "filesystem", "filesytem": {}}])
    assert refusal(tmp_path, raw).startswith(
        "extra_storages[0].filesytem is not a setting; did you mean extra_storages[0].filesystem?"
    )


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("backup.workers", "4", "backup.workers must be a whole number"),
        ("backup.workers", True, "backup.workers must be a whole number"),
        ("backup.workers", 0, "backup.workers must be greater than or equal to 1"),
        ("backup.workers", 17, "backup.workers must be less than or equal to 16"),
        ("backup.workers", None, "backup.workers has no value; give it one or remove the line"),
        ("backup.priority", -1, "backup.priority must be greater than or equal to 0"),
        ("backup.use_primary", "sometimes", "must be 'always', 'when_alone' or 'never'"),
        ("backup.compression.algorithm", "gzip", "must be 'zstd'"),
        ("backup.compression", "zstd", "backup.compression must be a block of settings"),
        ("backup.compression.level", 22, "backup.compression.level must be less than"),
        ("control.poll_interval_s", float("nan"), "control.poll_interval_s must be"),
        ("control.poll_interval_s", "1s", "control.poll_interval_s must be a number"),
        ("control.command_ttl_s", 1, "control.command_ttl_s must be greater than or equal to 10"),
        ("oplog.enabled", "yes please", "oplog.enabled must be true or false"),
        ("oplog.upload_interval_s", 0.1, "must be greater than or equal to 0.2"),
        ("oplog.segment_max_bytes", 1, "must be greater than or equal to 1048576"),
        ("metrics.listen", "9216", "metrics.listen must be host:port"),
        ("metrics.listen", "host:99999", "metrics.listen must be host:port"),
        ("metrics.listen", ":9216", "metrics.listen must be host:port"),
        ("metrics.listen", "::1:9216", "metrics.listen must be host:port"),
        ("metrics.listen", "http://127.0.0.1:9216", "metrics.listen must be host:port"),
        ("log.level", "verbose", "log.level must be 'debug', 'info', 'warning' or 'error'"),
        ("log.format", "xml", "log.format must be 'json' or 'console'"),
        ("storage.s3.prefix", 2024, "storage.s3.prefix must be text; put it in quotes"),
        ("storage.s3.prefix", "a//b", "storage.s3.prefix must not have empty parts"),
        ("storage.s3.prefix", "a/../b", "storage.s3.prefix must not have empty parts, '.' or"),
        ("storage.s3.prefix", "p" * 201, "storage.s3.prefix must not be longer than 200 bytes"),
        ("storage.s3.endpoint_url", "s3.example.net", "must be an address such as https://"),
        ("storage.s3.endpoint_url", "ftp://s3", "must be an address such as https://"),
        ("storage.s3.endpoint_url", "http://h:port", "must be an address such as https://"),
        ("storage.s3.endpoint_url", f"http://u:{SECRET}@h", "keys go to credentials"),
        ("storage.s3.region", "EU West", "storage.s3.region does not have the form"),
        ("storage.s3.checksums", "never", "storage.s3.checksums must be 'when_supported' or"),
        ("storage.s3.ca_file", "/no/such", "storage.s3.ca_file names no file: /no/such"),
        ("storage.s3.credentials", {"access_key_id": "x"}, "secret_access_key is missing"),
        (
            "storage.s3.server_side_encryption",
            {"algorithm": "AES256", "kms_key_id": "k"},
            "storage.s3.server_side_encryption has a kms_key_id, which needs algorithm: aws:kms",
        ),
        ("storage.s3.role", {"arn": "backstay"}, "storage.s3.role.arn does not have the form"),
        ("storage.label", "two words", "storage.label must be up to 63 letters"),
        ("storage.type", "azure", "storage.type must be 's3' or 'filesystem'"),
        ("storage.type", "filesystem", "storage has type filesystem but no filesystem block"),
        ("storage.filesystem", {"path": "/srv"}, "storage has type s3 and a filesystem block"),
        ("storage", {"type": "s3"}, "storage has type s3 but no s3 block"),
        (
            "storage",
            {"type": "filesystem", "filesystem": {"path": "srv"}},
            "storage.filesystem.path must be an absolute path",
        ),
        (
            "extra_storages",
            [{"type": "filesystem", "filesystem": {"path": "/srv"}}],
            "storage and extra_storages use the label 'main' twice",
        ),
        ("extra_storages", "none", "extra_storages must be a list"),
        ("mongodb.uri", "localhost:27017", "mongodb.uri must begin with mongodb://"),
        ("mongodb.uri", "mongodb+srv://cluster/", "must name this node alone"),
        ("mongodb.uri", f"mongodb://u:{SECRET}@a:1,b:2/", "must name this node alone"),
        ("mongodb.uri", "mongodb:///db", "mongodb.uri must name a host"),
        ("mongodb.uri", 27017, "mongodb.uri must be text"),
        ("mongodb", "mongodb://127.0.0.1/", "mongodb must be a block of settings"),
        ("control.database", "admin", "control.database must not be admin"),
        ("control.database", "Config", "control.database must not be Config"),
        ("control.database", "back.stay", "control.database must not have spaces or any of"),
        ("control.database", "", "control.database must not be empty"),
        ("control.database", "d" * 64, "control.database must not be longer than 63 bytes"),
    ],
)
def test_a_bad_value_is_told_in_one_line(
    tmp_path: Path, path: str, value: object, expected: str
) -> None:
    """The line names the setting and what to do."""
    assert expected in refusal(tmp_path, changed(path, value))


def test_further_mistakes_are_counted(tmp_path: Path) -> None:
    """One line for the first, and how many there are."""
    raw = changed("backup", {"workers": 0, "priority": -1})
    assert refusal(tmp_path, raw).endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [("", ""), ("/", ""), ("prod", "prod"), ("/a/b/", "a/b"), ("a b/é", "a b/é")],
)
def test_slashes_around_a_prefix_do_not_count(tmp_path: Path, prefix: str, expected: str) -> None:
    """Keys never begin with a slash, and two spellings never mean two places."""
    settings = loaded(tmp_path, changed("storage.s3.prefix", prefix))
    assert settings.storage.s3 is not None
    assert settings.storage.s3.prefix == expected
