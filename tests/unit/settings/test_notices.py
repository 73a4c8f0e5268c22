"""The webhook and the hooks in the settings."""

from pathlib import Path
from typing import get_args

import pytest

from agent.model.notices import NoticeEvent
from agent.settings import NotifySettings
from tests.unit.settings.files import SECRET, changed, loaded, refusal

URL = f"https://hooks.example.net/{SECRET}"


def notify(tmp_path: Path, block: object) -> NotifySettings:
    """Load a file with this block, and return what became of it."""
    found = loaded(tmp_path, changed("notify", block)).notify
    assert found is not None
    return found


def test_nobody_is_told_and_nothing_runs_by_default(tmp_path: Path) -> None:
    """Both are optional."""
    settings = loaded(tmp_path, changed("oplog.enabled", True))
    assert settings.notify is None
    assert {} == settings.hooks.programs


def test_a_url_is_enough(tmp_path: Path) -> None:
    """Everything is told; and nothing shows the address."""
    found = notify(tmp_path, {"url": URL})
    assert get_args(NoticeEvent) == found.events
    assert SECRET not in f"{found!r} {found}"


def test_secrets_may_stand_in_files(tmp_path: Path) -> None:
    """Beside the configuration; empty lines do not count."""
    (tmp_path / "url").write_text(f"{URL}\n")
    (tmp_path / "headers").write_text(f"Authorization: Bearer {SECRET}\n\nX-Team:blue \n")
    found = notify(tmp_path, {"url_file": "url", "headers_file": "headers"})
    assert URL == found.url.get_secret_value()
    assert {"Authorization": f"Bearer {SECRET}", "X-Team": "blue"} == found.pairs
    assert SECRET not in f"{found!r} {found}"


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({}, "notify.url is missing; write it, or url_file"),
        ({"url": URL, "url_file": "url"}, "notify has both url and url_file; keep one"),
        ({"url_file": "nowhere"}, "notify.url_file cannot be read"),
        ({"url": f"ftp://{SECRET}/"}, "notify.url must be an address such as https://"),
        ({"url": f"https://h/{SECRET} x"}, "notify.url must be an address such as https://"),
        ({"url": f"https://h:port/{SECRET}"}, "notify.url is not an address"),
        ({"url": f"https://u:{SECRET}@h/"}, "notify.url must not hold a user"),
        ({"url": URL, "ca_file": "/nowhere"}, "notify.ca_file names no file"),
        ({"url": URL, "events": []}, "notify.events"),
        ({"url": URL, "events": ["backup_done"]}, "'problem_begun', 'problem_ended', 'command"),
        ({"url": URL, "headers": [SECRET]}, "must each be written as Name: value"),
        ({"url": URL, "headers": [f"X: {SECRET}\r\nY: 1"]}, "must each be written as Name: value"),
        ({"url": URL, "headers": ["host: other"]}, "must not have host, which the agent sets"),
        ({"url": URL, "headers": ["A: 1"], "headers_file": "h"}, "both headers and headers_file"),
        ({"url": URL, "timeout_s": 31}, "notify.timeout_s must be less than or equal to 30"),
        ({"url": URL, "timeot_s": 3}, "did you mean notify.timeout_s?"),
        (None, "notify"),
        (URL, "notify must be a block of settings"),
    ],
)
def test_bad_notify_is_refused(tmp_path: Path, block: object, expected: str) -> None:
    """With the name of the setting, and without what may be secret."""
    if block is None:
        assert loaded(tmp_path, changed("notify", None)).notify is None
        return
    assert expected in refusal(tmp_path, changed("notify", block))


def test_hooks_are_programs_with_arguments(tmp_path: Path) -> None:
    """As they are run, without a shell."""
    found = loaded(tmp_path, changed("hooks.after_backup", ["/bin/tell", "a b"])).hooks
    assert {"after_backup": ("/bin/tell", "a b")} == found.programs
    assert 60 == found.timeout_s


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("after_backup", "/bin/true", "hooks.after_backup must be a list"),
        ("after_backup", [], "hooks.after_backup"),
        ("after_backup", ["true"], "must begin with the absolute path of a program"),
        ("after_backup", ["/bin/true", 1], "hooks.after_backup[1] must be text"),
        ("after_backups", ["/bin/true"], "did you mean hooks.after_backup?"),
        ("timeout_s", 0, "hooks.timeout_s"),
    ],
)
def test_bad_hooks_are_refused(tmp_path: Path, name: str, value: object, expected: str) -> None:
    """With the name of the setting."""
    assert expected in refusal(tmp_path, changed(f"hooks.{name}", value))
