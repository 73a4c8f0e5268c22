"""What is promised when things break: each row of docs/design.md names a test that there is."""

import re
from functools import cache
from pathlib import Path

from tests.docs.documents import DESIGN

_ROOT = Path(__file__).resolve().parents[2]
_TEST = re.compile(r"`(test_\w+)`")


@cache
def _promises() -> str:
    text = (_ROOT / DESIGN).read_text(encoding="utf-8")
    return text.partition("\n## When things break\n")[2].partition("\n## ")[0]


def test_every_row_names_the_test_that_proves_it() -> None:
    """A row has four cells: what breaks, what is seen, what heals it, and at least one test."""
    rows = [line for line in _promises().splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 50
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert 4 == len(cells), row
        assert all(cells[:2]), row
        assert _TEST.search(cells[3]), row


def test_every_test_that_is_named_is_there() -> None:
    """One that was renamed would prove nothing."""
    paths = _ROOT.glob("tests/**/test_*.py")
    there = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    defined = set(re.findall(r"def (test_\w+)\(", there))
    assert set() == set(_TEST.findall(_promises())) - defined
