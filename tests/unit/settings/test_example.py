"""The example file and the models say the same."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from agent.settings import Settings, load
from agent.settings.load import all_keys, block_in

EXAMPLE = Path(__file__).parents[3] / "config.example.yaml"


def uncommented() -> dict[str, Any]:
    """Return the example with every alternative and optional setting switched on."""
    text = re.sub(r"^(\s*)#(?=[a-z_]+:)", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    raw = yaml.safe_load(text)
    assert isinstance(raw, dict)
    return raw


def keys_in(block: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Yield the full name of every key."""
    for name, value in block.items():
        yield above + name
        if isinstance(value, dict):
            yield from keys_in(value, f"{above}{name}.")


def test_the_example_loads() -> None:
    """An operator may start from it."""
    settings = load(EXAMPLE, {})
    assert settings.storage.s3 is not None
    assert settings.storage.s3.bucket == "acme-mongo-backups"
    assert settings.ignored == ()


def test_the_example_has_every_setting_and_no_other() -> None:
    """A setting that nobody can find, or that does nothing, fails here."""
    # Items of extra_storages are the storage block once more.
    known = {key for key in all_keys() if "[]" not in key}
    assert set(keys_in(uncommented())) == known


def test_the_example_shows_the_defaults() -> None:
    """What stands there as a default is what an absent setting means."""
    addresses = {
        "mongodb.uri",
        "storage.type",
        "storage.s3.region",
        "storage.s3.bucket",
        "storage.s3.prefix",
    }
    shown = yaml.safe_load(EXAMPLE.read_text())
    differing = []
    for key in set(keys_in(shown)) - addresses:
        value: Any = shown
        model: type[BaseModel] = Settings
        *blocks, name = key.split(".")
        for each in blocks:
            value = value[each]
            model = block_in(model.model_fields[each].annotation) or model
        field = model.model_fields[name]
        if block_in(field.annotation) is None and field.default != value[name]:
            differing.append((key, field.default, value[name]))
    assert differing == []


@pytest.mark.parametrize("key", sorted(all_keys()))
def test_every_setting_says_what_it_means(key: str) -> None:
    """Meaning, unit and reason stand beside the field, for the documents and the reader."""
    model: type[BaseModel] = Settings
    *blocks, name = key.replace("[]", "").split(".")
    for each in blocks:
        model = block_in(model.model_fields[each].annotation) or model
    field = model.model_fields[name]
    assert field.description or (block_in(field.annotation) or BaseModel).__doc__
