"""A configuration file may hold anything: it is understood, or refused in one line."""

import tempfile
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.errors import ConfigError
from agent.settings import Settings, load
from tests.property.hostile import changed, nested, refuses_or_reads

SOUND: Final[dict[str, Any]] = {
    "mongodb": {"uri": "mongodb://127.0.0.1:27017/"},
    "control": {"database": "backstay", "poll_interval_s": 1, "command_ttl_s": 3600},
    "storage": {
        "label": "main",
        "type": "s3",
        "s3": {
            "region": "eu-west-1",
            "bucket": "acme-backups",
            "prefix": "prod",
            "credentials": {"access_key_id": "a", "secret_access_key": "b"},
            "server_side_encryption": {"algorithm": "aws:kms", "kms_key_id": "alias/x"},
        },
    },
    "extra_storages": [{"label": "b", "type": "filesystem", "filesystem": {"path": "/tmp/x"}}],
    "oplog": {"upload_interval_s": 5, "segment_max_bytes": 16777216},
    "backup": {"workers": 4, "compression": {"algorithm": "zstd", "level": 1}},
    "log": {"format": "json", "level": "info"},
}
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 2**31, 2**63, 10**40, 1.5, 1e308, float("nan"), float("inf")]),
    st.sampled_from(["", " ", "x", "/", "..", "a\0b", "x" * 5_000, "2026-99-99", "é\U0001f986"]),
    st.sampled_from([[], {}, [1], {"x": 1}, [[]], [{}], nested(150)]),
)


def _load(text: str) -> Settings:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return load(path, {})


def _refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        _load(text)
    assert caught.value.code
    assert "\n" not in caught.value.message
    return caught.value


@settings(max_examples=100)
@given(changed(SOUND, odd))
def test_a_changed_file_is_understood_or_refused(document: object) -> None:
    """What leaves is settings, or an error of ours that is one line."""
    text = yaml.safe_dump(document, allow_unicode=True)
    refuses_or_reads(lambda: _load(text))


@settings(max_examples=100)
@given(st.text(max_size=60) | st.text("[]{}:-&*!?|>%@`'\"#,<~ \n\tax1", max_size=60))
def test_any_text_is_refused(text: str) -> None:
    """No text that is not written as a configuration passes for one."""
    _refused(text)


BASE = yaml.safe_dump(SOUND)
LAUGHS = "\n".join([
    "a0: &a0 [1, 1]",
    *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)),
])
MERGES = "\n".join([
    "a0: &a0 {x: 1, y: 2}",
    *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 30)),
])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param(f"{BASE}x: 2026-99-99", "line", id="a date that is none"),
        pytest.param(f"{BASE}x: {'9' * 5000}", "line", id="a number of 5000 digits"),
        pytest.param(f"{BASE}x: !!int y", "line", id="a tag that does not fit"),
        pytest.param(f"{BASE}x: !!bool y", "line", id="a bool that is none"),
        pytest.param(f"{BASE}x: !!timestamp y", "line", id="a time that is none"),
        pytest.param(f"{BASE}x: !!python/object/apply:os.abort []", "line", id="a call"),
        pytest.param(f"{BASE}x: {'[' * 400}{']' * 400}", "nested", id="lists in lists"),
        pytest.param(f"{LAUGHS}\n{BASE}", "a0", id="ever more of the same"),
        pytest.param(f"{MERGES}\n{BASE}", "line", id="ever more merged"),
        pytest.param(f"{BASE}x: &x [*x]", "", id="a list within itself"),
        pytest.param(f"{BASE}# {'x' * 300_000}", "large", id="a large file"),
        pytest.param('mongodb: {uri_file: "a\\0b"}\n', "mongodb.uri_file", id="a path with a NUL"),
    ],
)
def test_tricks_of_yaml_are_refused(text: str, named: str) -> None:
    """At once, in one line that tells where."""
    assert named in _refused(text).message
