"""Error and problem codes: the runbook has an entry for each, and for nothing else."""

from tests.docs import documents
from tests.docs.documents import OPERATIONS
from tests.docs.sources import error_codes, event_codes, problem_codes


def entries() -> list[str]:
    """Return the codes that have an entry in the runbook, in order."""
    text = documents.section(OPERATIONS, "Runbook")
    return [documents.named(row[0]) for row in documents.rows(text)]


def test_every_error_in_the_code_is_understood() -> None:
    """The collector knows how each error gets its code; if not, teach it in sources.py."""
    assert not error_codes().riddles


def test_the_collector_finds_codes_of_every_kind() -> None:
    """Raised, from a table, from a rule, by a maker, in a problem, of a class, by a choice."""
    expected = {
        "target_exists",
        "mongodb_login_failed",
        "storage_slow_down",
        "mongodb_too_old",
        "agent_missing",
        "lease_lost",
        "config_unknown_key",
        "document_too_large",
    }
    assert expected <= set(error_codes())


def test_every_code_has_an_entry() -> None:
    """An operator who meets a code finds it: write a row in docs/operations.md, Runbook."""
    codes = {**error_codes(), **event_codes(), **problem_codes()}
    there = set(entries())
    missing = {code: place for code, place in codes.items() if code not in there}
    assert not missing


def test_every_entry_is_of_a_code_that_exists() -> None:
    """Nobody looks for what is not raised any more: remove the row."""
    gone = set(entries()) - set(error_codes()) - set(event_codes()) - set(problem_codes())
    assert not gone


def test_no_code_has_two_entries() -> None:
    """The one that is found first would hide the other."""
    found = entries()
    assert sorted(set(found)) == sorted(found)


def test_every_entry_says_what_it_means() -> None:
    """A code, a meaning, and a mend that may be empty."""
    text = documents.section(OPERATIONS, "Runbook")
    unclear = [row for row in documents.rows(text) if len(row) != 3 or not row[1]]
    assert not unclear


def test_every_problem_says_what_to_do() -> None:
    """Whoever is woken by one finds its meaning and a mend; a module's constant is a code too."""
    problems = problem_codes()
    assert {"agent_missing", "oplog_gap", "archive_stopped"} <= set(problems)
    told = {documents.named(row[0]): row for row in _runbook_rows()}
    unclear = {code: place for code, place in problems.items() if not all(told.get(code, [""]))}
    assert not unclear


def _runbook_rows() -> list[list[str]]:
    text = documents.section(OPERATIONS, "Runbook")
    return [list(row) for row in documents.rows(text)]
