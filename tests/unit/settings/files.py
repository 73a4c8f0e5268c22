"""Configuration files for tests, and what is said of bad ones."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.core.errors import ConfigError
from agent.settings import Settings, load

SECRET = "hunter2-never-shown"
MINIMAL: dict[str, Any] = {
    "mongodb": {"uri": f"mongodb://backstay:{SECRET}@127.0.0.1:27017/"},
    "storage": {"type": "s3", "s3": {"region": "eu-west-1", "bucket": "acme-backups"}},
}


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the minimal file with one setting changed."""
    raw = copy.deepcopy(MINIMAL)
    *blocks, name = path.split(".")
    block = raw
    for each in blocks:
        block = block.setdefault(each, {})
    block[name] = value
    return raw


def loaded(tmp_path: Path, raw: object, environment: Mapping[str, str] | None = None) -> Settings:
    """Load a file with this content."""
    path = tmp_path / "config.yaml"
    path.write_text(raw if isinstance(raw, str) else yaml.safe_dump(raw, allow_unicode=True))
    return load(path, environment or {})


def refusal(tmp_path: Path, raw: object, environment: Mapping[str, str] | None = None) -> str:
    """Return the message of the error that a file causes: one line, with its name, no secret."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, raw, environment)
    shown = f"{caught.value.message} {caught.value.hint} {caught.value.facts} {caught.value!r}"
    assert SECRET not in shown
    assert "\n" not in caught.value.message
    name = f"{tmp_path / 'config.yaml'}: "
    assert caught.value.message.startswith(name)
    return caught.value.message.removeprefix(name)
