"""Reading the documents: their sections, tables and examples."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bson import ObjectId

from agent.model.cluster_time import ClusterTime
from tests.docs.sources import ROOT

DESIGN: Final = "docs/design.md"
OPERATIONS: Final = "docs/operations.md"

_TICKED: Final = re.compile(r"`([^`]+)`")
_FENCED: Final = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^(#+) +(.*)$")
_INSERT: Final = r"db\.%s\.insertOne\((\{.*\})\)\s*$"
_BARE_KEY: Final = re.compile(r"([{,]\s*)(\w+):")
_CALLS: Final = (
    (re.compile(r'ISODate\(("[^"]*")\)'), r'{"$date": \1}'),
    (re.compile(r'ObjectId\(("[^"]*")\)'), r'{"$oid": \1}'),
    (re.compile(r"Timestamp\((\d+), (\d+)\)"), r'{"$time": [\1, \2]}'),
)


def all_documents() -> list[Path]:
    """Return every document that people read."""
    top = sorted(path for path in ROOT.glob("*.md") if not path.name.startswith("."))
    return [*top, *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]


def read(name: str) -> str:
    """Return a document of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    """Return what stands under a heading, with everything below it."""
    lines: list[str] = []
    depth = 0
    for line in read(name).splitlines():
        found = _HEADING.match(line)
        if depth and found and len(found[1]) <= depth:
            break
        if depth:
            lines.append(line)
        elif found and found[2] == heading:
            depth = len(found[1])
    assert depth, f"{name} has no heading {heading!r}"
    return "\n".join(lines)


def rows(text: str) -> Iterator[Sequence[str]]:
    """Yield the cells of each row of the tables in a text, without their heads."""
    head = True
    for line in text.splitlines():
        if not line.startswith("|"):
            head = True
        elif set(line) <= set("|- "):
            head = False
        elif not head:
            yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def named(cell: str) -> str:
    """Return what stands in backticks in a cell, "" if nothing does."""
    found = _TICKED.search(cell)
    return found[1] if found else ""


def all_named(cell: str) -> list[str]:
    """Return everything that stands in backticks in a text, examples left out."""
    return _TICKED.findall(_FENCED.sub("", cell))


def fenced(text: str, language: str) -> list[str]:
    """Return the examples of a language."""
    return [body for found, body in _FENCED.findall(text) if found == language]


def inserted(text: str, collection: str = "commands") -> list[Mapping[str, Any]]:
    """Return each document that an example inserts from ``mongosh``, one to a line."""
    examples = "\n".join(fenced(text, "js"))
    found = re.findall(_INSERT % collection, examples, re.MULTILINE)
    return [_of_mongosh(document) for document in found]


def _of_mongosh(text: str) -> Mapping[str, Any]:
    for pattern, replacement in _CALLS:
        text = pattern.sub(replacement, text)
    found: Mapping[str, Any] = json.loads(_BARE_KEY.sub(r'\1"\2":', text), object_hook=_value)
    return found


def _value(found: dict[str, Any]) -> object:
    match found:
        case {"$date": str(text)}:
            return datetime.fromisoformat(text)
        case {"$oid": str(text)}:
            return ObjectId(text)
        case {"$time": [int(seconds), int(increment)]}:
            return ClusterTime(seconds, increment)
    return found
