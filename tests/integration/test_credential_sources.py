"""Sources that need no server."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import SecretStr

from agent.aws.keys import FAILURES, Keys, NoKeysError, told
from agent.aws.sources import all_sources
from agent.aws.sts import Sts
from agent.settings import CredentialSettings

PROCESS = """#!/bin/sh
echo "the secret is HUSH" >&2
{}
"""


def load(name: str, environment: Mapping[str, str]) -> Keys:
    """Return the keys of one source."""
    credentials = CredentialSettings(
        access_key_id=SecretStr("id"), secret_access_key=SecretStr("HUSH")
    )
    sources = all_sources(credentials, environment, Sts(environment, "eu-west-1"))
    return next(source for source in sources if source.name == name).load()


def reason(name: str, environment: Mapping[str, str]) -> str:
    """Return why a source gives nothing."""
    try:
        load(name, environment)
    except NoKeysError as error:
        return error.reason
    except FAILURES as error:
        return told(error)
    pytest.fail("it gave keys")


def files(directory: Path, config: str) -> dict[str, str]:
    """Return the variables that name a configuration file, and no other."""
    (directory / "config").write_text(config)
    return {
        "AWS_CONFIG_FILE": str(directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "none"),
    }


def program(directory: Path, text: str) -> dict[str, str]:
    """Return the variables of a profile whose keys come from a program."""
    file = directory / "program"
    file.write_text(PROCESS.format(text))
    file.chmod(0o700)
    return files(directory, f"[default]\ncredential_process = {file}\n")


def test_no_key_shows() -> None:
    """Neither by repr nor by str."""
    keys = load("configuration", {})
    assert keys.secret_access_key == "HUSH"
    assert "HUSH" not in f"{keys!r} {keys}"


def test_a_session_token_of_the_environment_is_used() -> None:
    """All three variables count."""
    keys = load(
        "environment",
        {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"},
    )
    assert (keys.access_key_id, keys.secret_access_key, keys.session_token) == ("a", "b", "c")


def test_the_end_of_the_environment_s_keys_is_known_if_it_is_told() -> None:
    """By the variable that `aws configure export-credentials` writes; nothing renews them."""
    keys = load(
        "environment",
        {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_SESSION_TOKEN": "c",
            "AWS_CREDENTIAL_EXPIRATION": "2100-01-01T00:00:00Z",
        },
    )
    assert keys.expires_at is not None
    assert keys.expires_at.year == 2100


def test_half_of_the_environment_is_named() -> None:
    """The variable that is missing."""
    assert "AWS_SECRET_ACCESS_KEY" in reason("environment", {"AWS_ACCESS_KEY_ID": "a"})


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Nothing is sent."""
    path = tmp_path / "token"
    environment = {
        "AWS_ROLE_ARN": "arn:aws:iam::111122223333:role/x",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(path),
    }
    assert str(path) in reason("web identity", environment)


def test_a_token_file_without_a_role_is_told(tmp_path: Path) -> None:
    """Both variables are needed."""
    said = reason("web identity", {"AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token")})
    assert "AWS_ROLE_ARN" in said


def test_a_profile_is_read(tmp_path: Path) -> None:
    """The one that AWS_PROFILE names."""
    environment = files(
        tmp_path, "[profile backup]\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    assert load("shared files", environment | {"AWS_PROFILE": "backup"}).access_key_id == "a"
    assert "default" in reason("shared files", environment)


def test_a_program_gives_keys(tmp_path: Path) -> None:
    """With their end."""
    keys = load(
        "shared files",
        program(
            tmp_path,
            'echo \'{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b",'
            ' "SessionToken": "c", "Expiration": "2100-01-01T00:00:00Z"}\'',
        ),
    )
    assert keys.expires_at is not None
    assert keys.expires_at.year == 2100


def test_what_a_failing_program_says_is_not_passed_on(tmp_path: Path) -> None:
    """It may be anything."""
    said = reason("shared files", program(tmp_path, "exit 3"))
    assert "exit status 3" in said
    assert "HUSH" not in said


def test_a_program_that_hangs_is_ended(tmp_path: Path) -> None:
    """The others are to be asked too."""
    assert "not done" in reason("shared files", program(tmp_path, "exec sleep 60"))


def test_nobody_is_asked_for_a_code(tmp_path: Path) -> None:
    """A profile with an MFA device is for people."""
    environment = files(
        tmp_path,
        "[default]\nrole_arn = arn:aws:iam::111122223333:role/x\nsource_profile = base\n"
        "mfa_serial = arn:aws:iam::111122223333:mfa/me\n"
        "[profile base]\naws_access_key_id = a\naws_secret_access_key = b\n",
    )
    assert "MFA" in reason("shared files", environment)


@pytest.mark.parametrize(
    ("region", "environment", "host"),
    [
        ("eu-west-1", {"AWS_REGION": "eu-north-1"}, "sts.eu-west-1.amazonaws.com"),
        (None, {"AWS_REGION": "eu-north-1"}, "sts.eu-north-1.amazonaws.com"),
        (None, {"AWS_DEFAULT_REGION": "cn-north-1"}, "sts.cn-north-1.amazonaws.com.cn"),
        (None, {}, "sts.us-east-1.amazonaws.com"),
    ],
)
def test_the_regional_sts_is_asked(
    region: str | None, environment: Mapping[str, str], host: str
) -> None:
    """Never the global one, which is one region for all the world."""
    client = Sts(environment, region).client("sts")
    assert client.meta.endpoint_url == f"https://{host}"


def test_an_address_of_sts_in_the_environment_counts() -> None:
    """As for any program of AWS."""
    client = Sts({"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"}, None).client("sts")
    assert client.meta.endpoint_url == "http://127.0.0.1:9"
