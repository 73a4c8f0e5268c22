"""How a command ended, as people read it."""

from typing import Final

from rich.text import Text

from agent.cli import words
from agent.cli.console import Document
from agent.cli.findings import show_findings
from agent.cli.pruned import show_pruned
from agent.cli.role_guide import ROLE_PARTS, show_role
from agent.cli.screen import Screen, facts
from agent.cli.sight import Sight, number
from agent.model.outcome import Failure
from agent.model.states import State

_STYLES: Final = {
    State.DONE: "bold green",
    State.FAILED: "bold red",
    State.REJECTED: "bold red",
    State.EXPIRED: "bold red",
    State.CANCELED: "bold yellow",
}
_SIZES: Final = {"bytes": "data", "stored_bytes": "stored"}
_NAMES: Final = {
    "consistent_at": "consistent at",
    "docs": "documents",
    "checked_at": "checked at",
    "nodes": "read from",
    "restored_to": "restored to",
    "replayed_ops": "replayed entries",
}
# These have lines of their own.
_NOT_A_FACT: Final = frozenset({"plan", "held_ttl", "bad", "bad_objects", *ROLE_PARTS})
_MOST_LINES: Final = 40
_PLAN_NAMES: Final = {"docs": "documents", "bytes": "data", "stored_bytes": "to fetch"}


def show_end(screen: Screen, sight: Sight) -> None:
    """Print the final result, or the error with its hint."""
    screen.say(_headline(sight))
    show_result(screen, sight)
    if sight.failure is not None:
        screen.failure(sight.failure)
    elif sight.state is State.EXPIRED:
        screen.failure(Failure(code="expired", message="no agent took the command", hint=""))


def show_result(screen: Screen, sight: Sight) -> None:
    """Print what a command tells at its end, of a dry run the plan, too."""
    if sight.command == "check":
        show_findings(screen, sight.result)
        return
    if sight.command == "prune":
        show_pruned(screen, sight.result, is_dry=bool(sight.document.get("dry_run")))
        return
    rows = _rows(sight.result)
    if rows:
        screen.table(facts(rows))
    if sight.command == "authorize_role":
        show_role(screen, sight.result)
    _show_bad(screen, sight.result)
    held = sight.result.get("held_ttl")
    if isinstance(held, list) and held:
        screen.say("restored without their expiry; these lines in mongosh give it back", "yellow")
        for each in held:
            screen.say(f"  {each['enable']}")
    if sight.document.get("dry_run") and sight.result.get("plan"):
        _show_plan(screen, sight.result["plan"])


def _show_bad(screen: Screen, result: Document) -> None:
    """Print each object that a verify found missing or damaged."""
    bad, many = result.get("bad"), number(result, "bad_objects")
    if not isinstance(bad, list) or not bad:
        return
    screen.say(f"{many:.0f} missing or damaged", "red")
    for each in bad:
        screen.say(f"  {each['key']}: {each['what']}")
    if many > len(bad):
        screen.say(f"  ... and {many - len(bad):.0f} more", "dim")


def _headline(sight: Sight) -> Text:
    line = Text(f"{sight.command} {sight.state}")
    if sight.state is not None:
        line.stylize(_STYLES.get(sight.state, ""))
    if sight.document.get("dry_run") and sight.state is State.DONE:
        line.append(" (dry run: nothing was changed)")
    elif sight.took_s is not None:
        line.append(f" in {words.duration(sight.took_s)}" if sight.took_s >= 1 else " at once")
    return line


def _rows(result: Document) -> dict[str, str | Text]:
    rows: dict[str, str | Text] = {}
    for name, value in result.items():
        if name in _NOT_A_FACT:
            continue
        if name in _SIZES and isinstance(value, int | float):
            rows[_SIZES[name]] = words.size(value)
        else:
            rows[_NAMES.get(name, name.replace("_", " "))] = words.text(value)
    return rows


def _show_plan(screen: Screen, plan: object) -> None:
    """Print a restore's plan, indented by depth, cut when it is very long."""
    lines = _outline(plan, 1)
    screen.say("plan", "dim")
    for line in lines[:_MOST_LINES]:
        screen.say(line)
    if len(lines) > _MOST_LINES:
        screen.say(f"  ... {len(lines) - _MOST_LINES} more lines; --json shows all", "dim")


def _outline(value: object, depth: int) -> list[str]:
    margin = "  " * depth
    if isinstance(value, dict):
        lines = []
        for name, each in value.items():
            title = _PLAN_NAMES.get(name, str(name).replace("_", " "))
            if isinstance(each, dict | list | tuple) and each:
                lines += [f"{margin}{title}", *_outline(each, depth + 1)]
            elif each not in ({}, [], (), None, ""):
                shown = words.size(each) if str(name).endswith("bytes") else words.text(each)
                lines.append(f"{margin}{title}: {shown}")
        return lines
    if isinstance(value, list | tuple):
        return [margin + _item(each) for each in value]
    return [f"{margin}{words.text(value)}"]


def _item(value: object) -> str:
    if isinstance(value, dict) and set(value) == {"from", "to"}:
        return f"{value['from']} -> {value['to']}"
    return words.text(value)
