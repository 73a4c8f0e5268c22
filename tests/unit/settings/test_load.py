"""Reading the file: what is in it comes out checked, frozen and with its secrets hidden."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from agent.core.errors import ConfigError
from agent.settings import load
from tests.unit.settings.files import MINIMAL, SECRET, changed, loaded, refusal


def test_settings_are_frozen(tmp_path: Path) -> None:
    """Nobody changes them after they were checked."""
    settings = loaded(tmp_path, MINIMAL)
    with pytest.raises(ValidationError):
        settings.backup.workers = 5  # type: ignore[misc]


def test_secrets_do_not_show(tmp_path: Path) -> None:
    """Neither in a log of the settings nor in a dump of them."""
    raw = changed(
        "storage.s3.credentials",
        {"access_key_id": "AKIA", "secret_access_key": SECRET, "session_token": SECRET},
    )
    settings = loaded(tmp_path, raw)
    assert SECRET not in f"{settings} {settings!r} {settings.model_dump_json()}"
    assert SECRET in settings.mongodb.uri.get_secret_value()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file must be a block of settings"),
        ("- a\n- b\n", "the file must be a block of settings"),
        ("mongodb: {uri: x\nstorage: y", "line 2, column 8"),
        ("log:\n  level: info\n  level: debug\n", "the key level stands twice (line 3)"),
        (f"mongodb:\n\tpassword: {SECRET}\n", "line 2, column 1"),
        ("? [a, b]\n: c\n", "not YAML"),
        ("mongodb: !!python/object/apply:os.system ['true']\n", "line 1"),
    ],
)
def test_a_file_that_is_no_block_of_settings_is_refused(
    tmp_path: Path, text: str, expected: str
) -> None:
    """With the place, and without quoting the line, which may hold a password."""
    assert expected in refusal(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(ConfigError, match=r"none\.yaml: the file cannot be read: No such file"):
        load(tmp_path / "none.yaml", {})


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """A file in another encoding is told as such."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"mongodb: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(path, {})


def test_the_environment_wins(tmp_path: Path) -> None:
    """So that an orchestrator gives the address to a file that all nodes share."""
    environment = {"BACKSTAY_MONGODB_URI": "mongodb://from-environment/"}
    for block in ({"uri": "mongodb://from-file/"}, {}, None):
        settings = loaded(tmp_path, {**MINIMAL, "mongodb": block}, environment)
        assert settings.mongodb.uri.get_secret_value() == "mongodb://from-environment/"
    settings = loaded(tmp_path, {"storage": MINIMAL["storage"]}, environment)
    assert settings.mongodb.uri.get_secret_value() == "mongodb://from-environment/"


@pytest.mark.parametrize("name", ["absolute", "relative"])
def test_a_file_may_hold_the_address(tmp_path: Path, name: str) -> None:
    """By its path, or relative to the configuration; white space around it does not count."""
    (tmp_path / "uri").write_text("mongodb://from-uri-file/\n")
    uri_file = "uri" if name == "relative" else str(tmp_path / "uri")
    settings = loaded(tmp_path, {**MINIMAL, "mongodb": {"uri_file": uri_file}})
    assert settings.mongodb.uri.get_secret_value() == "mongodb://from-uri-file/"


def _from_systemd(folder: Path, address: str) -> dict[str, str]:
    (folder / "backstay-mongodb-uri").write_text(f"{address}\n")
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_a_credential_of_the_unit_may_hold_the_address(tmp_path: Path) -> None:
    """As systemd hands it over, where neither the environment nor the file has one."""
    environment = _from_systemd(tmp_path, "mongodb://from-credential/")
    empty: dict[str, object] = {}
    for block in (empty, None):
        settings = loaded(tmp_path, {**MINIMAL, "mongodb": block}, environment)
        assert settings.mongodb.uri.get_secret_value() == "mongodb://from-credential/"
    settings = loaded(tmp_path, {**MINIMAL, "mongodb": {"uri": "mongodb://file/"}}, environment)
    assert settings.mongodb.uri.get_secret_value() == "mongodb://file/"
    environment["BACKSTAY_MONGODB_URI"] = "mongodb://from-environment/"
    settings = loaded(tmp_path, {**MINIMAL, "mongodb": {}}, environment)
    assert settings.mongodb.uri.get_secret_value() == "mongodb://from-environment/"


def test_a_unit_without_that_credential_has_no_address(tmp_path: Path) -> None:
    """The directory of credentials may be empty, or hold others."""
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert "or give the unit the credential backstay-mongodb-uri" in refusal(
        tmp_path, {**MINIMAL, "mongodb": {}}, environment
    )


def test_a_credential_is_checked_as_any_address(tmp_path: Path) -> None:
    """And its text, with the password, is not repeated."""
    environment = _from_systemd(tmp_path, f"mongodb+srv://backstay:{SECRET}@cluster/")
    told = refusal(tmp_path, {**MINIMAL, "mongodb": {}}, environment)
    assert "must name this node alone" in told
    (tmp_path / "backstay-mongodb-uri").unlink()
    (tmp_path / "backstay-mongodb-uri").mkdir()
    told = refusal(tmp_path, {**MINIMAL, "mongodb": {}}, environment)
    assert "the credential backstay-mongodb-uri cannot be read" in told


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"uri": "mongodb://a/", "uri_file": "b"}, "mongodb has both uri and uri_file; keep one"),
        ({"uri_file": "/no/such/file"}, "mongodb.uri_file cannot be read: /no/such/file: No such"),
        ({"uri_file": 5}, "mongodb.uri_file must be a path"),
        ({}, "mongodb.uri is missing; write it, or uri_file, or set $BACKSTAY_MONGODB_URI"),
        (None, "mongodb.uri is missing"),
    ],
)
def test_without_exactly_one_address_nothing_starts(
    tmp_path: Path, block: object, expected: str
) -> None:
    """Two are as wrong as none."""
    assert expected in refusal(tmp_path, {**MINIMAL, "mongodb": block})
