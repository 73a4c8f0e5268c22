"""The findings of a check, as people read them: what failed first, with its mend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.text import Text

from agent.cli.console import Document
from agent.cli.screen import Screen, columns

_STYLES: Final = {"failed": "bold red", "warning": "bold yellow", "ok": "green"}


@dataclass(slots=True, kw_only=True)
class _Line:
    """The same finding of one or several agents."""

    outcome: str
    test: str
    message: str
    hint: str
    code: str
    agents: list[str] = field(default_factory=list)


def show_findings(screen: Screen, result: Document) -> None:
    """Print the result of a check; agents that found the same stand in one line."""
    rows = _rows(result)
    everybody = {str(row.get("agent", "")) for row in rows}
    table = columns("", "test", "agent", "found")
    for column in table.columns[:2]:
        column.no_wrap = True
    for line in _lines(rows):
        is_everybody = len(everybody) > 1 and set(line.agents) == everybody
        table.add_row(
            Text(line.outcome, style=_STYLES.get(line.outcome, "")),
            Text(line.test),
            Text("all" if is_everybody else ", ".join(line.agents)),
            _told(line),
        )
    if rows:
        screen.table(table)
    warnings = (
        "1 warning" if result.get("warnings") == 1 else f"{result.get('warnings', 0)} warnings"
    )
    screen.say(f"{result.get('failed', 0)} failed, {warnings}, {result.get('ok', 0)} ok")


def _told(line: _Line) -> Text:
    told = Text(line.message)
    if line.code:
        told.append(f" [{line.code}]", "dim")
    if line.hint:
        told.append(f"\n{line.hint}", "dim")
    return told


def _rows(result: Document) -> list[Document]:
    rows = result.get("rows")
    if not isinstance(rows, Sequence):
        return []
    return [each for each in rows if isinstance(each, Mapping)]


def _lines(rows: Sequence[Document]) -> list[_Line]:
    """Return lines in the order of the rows, which have the worst first."""
    lines: dict[tuple[str, ...], _Line] = {}
    for row in _shortened(rows):
        storage = row.get("storage")
        line = _Line(
            outcome=str(row.get("outcome", "")),
            test=f"{row.get('test', '')}{f' ({storage})' if storage else ''}",
            message=str(row.get("message", "")),
            hint=str(row.get("hint", "")),
            code=str(row.get("code") or ""),
        )
        known = lines.setdefault((line.outcome, line.test, line.message, line.hint), line)
        if (agent := str(row.get("agent", ""))) not in known.agents:
            known.agents.append(agent)
    return list(lines.values())


def _shortened(rows: Sequence[Document]) -> list[Document]:
    """Put into one row what went well several times in the same test of an agent."""
    counts: dict[tuple[object, ...], int] = {}
    for row in rows:
        if row.get("outcome") == "ok":
            named = (row.get("agent"), row.get("storage"), row.get("test"))
            counts[named] = counts.get(named, 0) + 1
    shown: list[Document] = []
    for row in rows:
        named = (row.get("agent"), row.get("storage"), row.get("test"))
        if row.get("outcome") != "ok" or counts[named] == 1:
            shown.append(row)
        elif counts[named] > 1:
            shown.append({**row, "message": f"{counts[named]} of them are there"})
            counts[named] = 0
    return shown
