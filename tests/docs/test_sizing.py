"""The costs that the documents tell are those that follow from how agents work."""

import re

from tests.docs import documents, sizing
from tests.docs.documents import OPERATIONS
from tests.unit.jobs.test_compaction import Yard

HEADING = "Size and cost"


def test_the_table_is_what_the_formulas_give() -> None:
    """After a change of either, paste what `python -m tests.docs.sizing` prints."""
    rows = documents.rows(documents.section(OPERATIONS, HEADING))
    assert [sizing.row(load) for load in sizing.LOADS] == [list(each) for each in rows]


def test_what_is_assumed_is_told() -> None:
    """Whoever has other entries, another retention or another region can compute anew."""
    text = documents.section(OPERATIONS, HEADING)
    for told in (
        f"{sizing.ENTRY_BYTES} bytes",
        f"{sizing.KEPT_DAYS} days",
        f"{sizing.PUT_OR_LIST * 1_000:g} $ for 1,000 PUT or LIST",
        f"{sizing.GET * 1_000:g} $ for 1,000 GET",
        f"{sizing.GIB_MONTH:g} $ for a GiB",
        "us-east-1",
    ):
        assert told in re.sub(r"\s+", " ", text), told


def test_joining_takes_the_requests_that_are_counted() -> None:
    """Five and three segments, joined in one pass, which looks twice, and cleared in the next."""
    yard = Yard()
    yard.go()
    yard.go()
    called = [method for method, _ in yard.store.calls]
    expected = sizing.join(5) + sizing.join(3)
    assert (expected.puts, expected.gets) == (called.count("put"), called.count("get"))
    assert 3 == called.count("list")
