"""Policies in the documents are those that `backstay policy` prints."""

import json
import re
import shlex
from typing import Any

import pytest

from agent.aws import policy
from agent.settings import Settings
from tests.docs import documents
from tests.docs.documents import OPERATIONS
from tests.docs.sources import ROOT
from tests.unit.cli.terminal import Terminal

ACCESS = "docs/aws-access.md"
# An example: the verb as it is typed, and what it prints.
_EXAMPLE = re.compile(
    r"^    backstay policy([^\n]*)\n\n```json\n(.*?)^```", re.MULTILINE | re.DOTALL
)
_KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
# The configuration that the documents speak of.
_SETTINGS = Settings.model_validate({
    "mongodb": {"uri": "mongodb://127.0.0.1:27017/"},
    "storage": {
        "type": "s3",
        "s3": {
            "region": "eu-west-1",
            "bucket": "acme-mongo-backups",
            "prefix": "prod",
            "role": {"arn": "arn:aws:iam::123456789012:role/backstay", "external_id": "8d0f4c1e"},
        },
    },
    "extra_storages": [
        {
            "label": "sealed",
            "type": "s3",
            "s3": {
                "region": "eu-west-1",
                "bucket": "acme-mongo-sealed",
                "server_side_encryption": {"algorithm": "aws:kms", "kms_key_id": _KEY},
            },
        }
    ],
})


def examples() -> list[tuple[str, str]]:
    """Return every example in the documents: options, and the policy beside them."""
    texts = [path.read_text(encoding="utf-8") for path in documents.all_documents()]
    return [found for text in texts for found in _EXAMPLE.findall(text)]


@pytest.mark.parametrize(("options", "text"), examples(), ids=[each[0] for each in examples()])
def test_every_policy_is_what_the_verb_prints(options: str, text: str) -> None:
    """Whoever copies it from the document gets what the program thinks."""
    done = Terminal(settings=_SETTINGS)("policy", *shlex.split(options))
    assert 0 == done.exit_code, done.output
    assert json.loads(done.stdout) == json.loads(text)


def test_every_policy_in_the_documents_is_such_an_example() -> None:
    """None stands there that nobody compares."""
    shown = [json.loads(text) for _, text in examples()]
    for path in documents.all_documents():
        for block in documents.fenced(path.read_text(encoding="utf-8"), "json"):
            if '"Statement"' in block:
                assert json.loads(block) in shown, path.relative_to(ROOT)


def test_every_action_has_a_reason() -> None:
    """The table of permissions has each, and no other."""
    section = documents.section(OPERATIONS, "Permissions on the bucket")
    named = {action for row in documents.rows(section) for action in documents.all_named(row[0])}
    allowed: set[str] = set()
    for storage in _SETTINGS.storages:
        s3: Any = storage.s3
        allowed |= set(policy.permissions(s3, s3.region).actions())
    assert allowed == named


def test_every_promise_of_access_names_its_proof() -> None:
    """Each row about another system has a test in its last column."""
    rows = list(documents.rows(documents.section(ACCESS, "Coming from elsewhere")))
    assert len(rows) > 20
    assert not [row[0] for row in rows if "test_" not in row[-1]]
