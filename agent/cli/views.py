"""A backup, a list of them, a command: as people read them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.table import Table
from rich.text import Text

from agent.cli import words
from agent.cli.archive import recoverable_line
from agent.cli.console import Document
from agent.cli.progress import figures, phase_words
from agent.cli.results import show_result
from agent.cli.screen import Screen, columns, facts
from agent.cli.sight import sight_of
from agent.cli.timeline import axis, glyphs_for, timeline
from agent.cli.verdict import Picture
from agent.model.backups import BackupEntry
from agent.model.commands import AGENT_FIELDS
from agent.model.coverage import Recoverable
from agent.model.verdict import Verdict

# Columns that a table with everything needs, and beyond which a drawn line tells no more.
_WIDE: Final = 120
_WIDEST_LINE: Final = 120


def newest_first(entries: Sequence[BackupEntry]) -> list[BackupEntry]:
    """Return the backups as people look for them."""
    return sorted(entries, key=lambda each: (each.consistent_at, each.backup_id), reverse=True)


def backup_table(entries: Sequence[BackupEntry], now: datetime, *, width: int) -> Table:
    """Return a line for each backup; a narrow screen has no room for everything."""
    is_wide = width >= _WIDE
    left_out = () if is_wide else ("consistent at (UTC)", "documents")
    names = (
        "backup", "consistent at (UTC)", "age", "documents", "data", "stored", "storage",
        "verified", "",
    )  # fmt: skip
    shown = [name for name in names if name not in left_out]
    table = columns(*shown, right=("age", "documents", "data", "stored"))
    for column in table.columns[:-1]:
        column.no_wrap = True
    for entry in entries:
        cells: dict[str, str | Text] = {
            "backup": entry.backup_id,
            "consistent at (UTC)": words.moment(entry.consistent_at.wall).removesuffix(" UTC"),
            "age": words.age(entry.consistent_at.wall, now),
            "documents": words.count(entry.docs),
            "data": words.size(entry.bytes),
            "stored": words.size(entry.stored_bytes),
            "storage": entry.storage,
            "verified": _verified(entry, now),
            "": Text(remark(entry), style="dim"),
        }
        table.add_row(*(_cell(cells[name]) for name in shown))
    return table


def _cell(value: str | Text) -> Text:
    return value if isinstance(value, Text) else Text(value)


def timeline_lines(picture: Picture, *, width: int, encoding: str) -> list[str]:
    """Return what can be restored as a drawing of some lines, and in words."""
    glyphs = glyphs_for(encoding)
    ranges = picture.ranges
    if not ranges:
        # Nobody has told: each whole backup is at least its own time.
        whole = (each for each in picture.entries if not each.is_damaged and not each.namespaces)
        ranges = tuple(
            Recoverable(begin=each.consistent_at, last=each.consistent_at) for each in whole
        )
    line = timeline(
        picture.entries, ranges, picture.now, width=min(width, _WIDEST_LINE), glyphs=glyphs
    )
    if line is None:
        return []
    meanings = (
        (glyphs.full, "restorable to any second", line.cells),
        (glyphs.part, "in part", line.cells),
        (glyphs.none, "not", line.cells),
        (glyphs.backup, "backup", line.marks),
        (glyphs.limited, "backup of some collections", line.marks),
        (glyphs.damaged, "damaged", line.marks),
    )
    legend = "  ".join(f"{sign} {meaning}" for sign, meaning, used in meanings if sign in used)
    told = recoverable_line(picture)
    said = [f"recoverable: {told}"] if told else []
    return [*said, line.cells, line.marks, axis(line, picture.now), legend]


def _verified(entry: BackupEntry, now: datetime) -> Text:
    verdict = entry.verdict
    style = "dim" if verdict is None else "" if verdict.is_sound else "bold red"
    return Text(verified_words(verdict, now), style=style)


def verified_words(verdict: Verdict | None, now: datetime) -> str:
    """Say how a backup was found when it was looked at last, and when that was."""
    if verdict is None:
        return "never"
    found = verdict.depth if verdict.is_sound else "DAMAGED"
    return f"{found}, {words.ago(verdict.checked_at, now)}"


def remark(entry: BackupEntry) -> str:
    """Say what else there is to know of a backup, on one line."""
    parts = [
        "kept" if entry.keep else "",
        f"only {', '.join(entry.namespaces)}" if entry.namespaces else "",
        words.text(entry.tags),
        entry.note,
    ]
    return "; ".join(part for part in parts if part)


def backup_facts(entry: BackupEntry, now: datetime) -> Table:
    """Return everything that is known of a backup without its manifest."""
    took_s = (entry.finished_at - entry.started_at).total_seconds()
    age = words.ago(entry.consistent_at.wall, now)
    return facts({
        "consistent at": f"{words.cluster_time(entry.consistent_at)}, {age}",
        "made": f"{words.moment(entry.started_at)}, in {words.duration(took_s)}",
        "documents": f"{words.count(entry.docs)} in {words.count(entry.collections)} collections",
        "data": words.size(entry.bytes),
        "stored": f"{words.size(entry.stored_bytes)} in {words.count(entry.chunks)} chunks",
        "storage": entry.storage,
        "read from": ", ".join(entry.nodes),
        "server": f"MongoDB {entry.server_version}",
        "only": ", ".join(entry.namespaces),
        "tags": words.text(entry.tags),
        "note": entry.note,
        **{f"verified ({each.depth})": _found(each, now) for each in entry.verdicts},
        "kept": "yes, retention never deletes it" if entry.keep else "",
    })


def _found(verdict: Verdict, now: datetime) -> Text:
    said = "sound" if verdict.is_sound else "DAMAGED"
    when = f"{words.moment(verdict.checked_at)}, {words.ago(verdict.checked_at, now)}"
    return Text(f"{said}, {when}", style="" if verdict.is_sound else "bold red")


def command_facts(screen: Screen, document: Document) -> None:
    """Print a command: what was asked, how far it is, how it ended."""
    sight = sight_of(document)
    screen.say(f"{sight.command} {sight.command_id}: {phase_words(sight)}", "bold")
    asked = {
        name: words.text(value)
        for name, value in document.items()
        if name not in AGENT_FIELDS and name not in {"_id", "command"}
    }
    times = {
        name.removesuffix("_at"): words.text(document.get(name))
        for name in ("created_at", "started_at", "finished_at")
    }
    rows: dict[str, str | Text] = {**asked, **times}
    rows["coordinator"] = words.text(document.get("coordinator"))
    if sight.advance is not None and not sight.is_over:
        rows["progress"] = f"{sight.advance.percent:.0f} %  {figures(sight.advance, 0)}"
    screen.table(facts(rows))
    if sight.result:
        screen.say("result", "dim")
        show_result(screen, sight)
    if sight.failure is not None:
        screen.failure(sight.failure)
