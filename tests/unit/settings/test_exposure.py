"""Files with secrets that are open to others are told, file by file."""

import os
from pathlib import Path

import pytest

from agent.settings import exposures
from agent.settings.exposure import faults
from tests.unit.settings.files import changed, loaded

_DIRECTORY = 0o040755
_READ, _CHANGE = "every user of this host may read it", "every user of this host may change it"


def _stat(mode: int, uid: int = 0) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (0o400, []),
        (0o600, []),
        (0o640, []),
        (0o440, []),
        (0o644, [_READ]),
        (0o604, [_READ]),
        (0o660, ["its group may change it"]),
        (0o666, [_READ, _CHANGE]),
        (0o622, [_CHANGE]),
    ],
)
def test_modes_are_judged(mode: int, expected: list[str]) -> None:
    """The group may read, which is how a service gets what root keeps for it; no more."""
    found = faults(_stat(0o100000 | mode), _stat(_DIRECTORY), own_uid=7, is_secret=True)
    assert expected == list(found)


@pytest.mark.parametrize(("uid", "count"), [(0, 0), (7, 0), (8, 1)])
def test_the_owner_is_root_or_the_agent(uid: int, count: int) -> None:
    """Any other owner may write into it what the agent then does."""
    found = list(faults(_stat(0o100600, uid), _stat(_DIRECTORY), own_uid=7, is_secret=True))
    assert count == len(found)
    assert all("uid 8" in each for each in found)


@pytest.mark.parametrize(("mode", "count"), [(0o040755, 0), (0o041777, 0), (0o040777, 1)])
def test_a_directory_that_is_open_to_all_is_told(mode: int, count: int) -> None:
    """Unless its names are sticky: another file could be put in the place of this one."""
    assert count == len(list(faults(_stat(0o100600), _stat(mode), own_uid=7, is_secret=True)))


def test_a_program_may_be_read_by_all_and_changed_by_none() -> None:
    """A hook holds no secret, and runs as the agent."""
    folder = _stat(_DIRECTORY)
    assert [] == list(faults(_stat(0o100755), folder, own_uid=7, is_secret=False))
    assert [_CHANGE] == list(faults(_stat(0o100757), folder, own_uid=7, is_secret=False))


def test_every_file_that_the_settings_name_is_looked_at(tmp_path: Path) -> None:
    """Again at each call, so that a mend is seen without a restart."""
    uri = "mongodb://127.0.0.1:27017/?tls=true&tlsCertificateKeyFile=" + str(tmp_path / "key.pem")
    contents = {
        "uri": uri,
        "url": "https://hooks.example.net/secret",
        "headers": "Authorization: Bearer secret",
        "sse": "A" * 43 + "=",
        "key.pem": "",
        "hook": "",
        "backstay-mongodb-uri": uri,
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o666)
    raw = changed("mongodb", {"uri_file": "uri"})
    raw["storage"]["s3"]["server_side_encryption"] = {"sse_customer_key_file": "sse"}
    raw["notify"] = {"url_file": "url", "headers_file": "headers"}
    raw["hooks"] = {"before_backup": [str(tmp_path / "hook")]}
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    settings = loaded(tmp_path, raw, environment)
    settings.file.chmod(0o666)
    names = {*contents, "config.yaml"}

    assert names == {each.path.name for each in exposures(settings, environment)}
    for name in names:
        (tmp_path / name).chmod(0o600)
    assert [] == list(exposures(settings, environment))
