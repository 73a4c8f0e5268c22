"""What documents name is there: tests, files, make targets, packages, rooms."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.docs import documents
from tests.docs.documents import DESIGN
from tests.docs.sources import AGENT, ROOT

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_ANCHOR = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
_TEST = re.compile(r"`(test_\w+)`")
_MODULE = re.compile(r"`([a-z]+/[a-z_0-9]+\.py)`")
_TARGET = re.compile(r"(?:`|^ +)make ([a-z]+)\b", re.MULTILINE)
DOCUMENTS = documents.all_documents()
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]


def anchors(path: Path) -> set[str]:
    """Return the names by which the headings of a document can be linked to."""
    headings = re.findall(r"^#+ +(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_every_test_that_is_named_exists() -> None:
    """A promise is worth the test that proves it; rename it in the document too."""
    sources = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py"))
    existing = set(re.findall(r"def (test_\w+)\(", sources))
    named = {name for path in DOCUMENTS for name in _TEST.findall(path.read_text("utf-8"))}
    assert named
    assert not named - existing


def test_every_failure_names_its_proof() -> None:
    """Each row of the table of failures has a test in its last column."""
    rows = documents.rows(documents.section(DESIGN, "When things break"))
    bare = [row[0] for row in rows if not _TEST.search(row[-1])]
    assert not bare


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file of the repository, and a heading in it."""
    text = path.read_text(encoding="utf-8")
    targets = [each for each in _LINK.findall(text) if "://" not in each]
    assert not [each for each in targets if not (path.parent / each).exists()]
    for target, anchor in _ANCHOR.findall(text):
        if "://" not in target:
            assert anchor in anchors(path.parent / target if target else path)


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_module_that_is_named_exists(path: Path) -> None:
    """Written as room/module.py, below agent/."""
    named = set(_MODULE.findall(path.read_text(encoding="utf-8")))
    assert not [each for each in named if not (AGENT / each).is_file()]


@pytest.mark.parametrize("path", DOCUMENTS, ids=NAMES)
def test_every_make_target_exists(path: Path) -> None:
    """What is to be typed can be typed."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    wanted = set(_TARGET.findall(path.read_text(encoding="utf-8")))
    assert not wanted - set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_every_dependency_has_a_reason() -> None:
    """A row in docs/decisions/0006-dependencies.md, for each that the agent needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[<>=\[]", each)[0] for each in project["dependencies"]}
    rows = documents.rows(documents.read("docs/decisions/0006-dependencies.md"))
    assert needed == {documents.named(row[0]) for row in rows}


def test_every_room_is_in_the_design() -> None:
    """Its one job, and what it must not know."""
    rooms = {path.stem for path in AGENT.iterdir() if path.suffix in {"", ".py"}} - {
        "__init__",
        "__pycache__",
    }
    rows = documents.rows(documents.section(DESIGN, "Rooms"))
    assert rooms == {documents.named(row[0]).rstrip("/") for row in rows}
