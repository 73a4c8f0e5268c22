"""The verb that lists schedules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from agent.cli import words
from agent.cli.console import Document
from agent.cli.exits import Exit
from agent.cli.look import look
from agent.cli.options import verb
from agent.cli.screen import columns
from agent.cli.session import Session, session
from agent.cli.verdict import Picture
from agent.model.schedules import next_runs
from agent.model.timetable import ScheduleRecord, record_of


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A schedule as it is shown."""

    record: ScheduleRecord
    document: Document
    next_run: datetime | None
    problems: Sequence[Document]

    @property
    def name(self) -> str:
        return words.text(self.record.schedule_id)

    @property
    def command(self) -> str:
        rest = {name: each for name, each in self.record.options.items() if name != "command"}
        return f"{words.text(self.record.options.get('command'))} {words.text(rest)}".strip()


@click.command
@verb
@session
def schedules(at: Session) -> int:
    """List the schedules: when each runs what, what it keeps, and what is wrong with it."""
    picture = look(at.console)
    lines = [_line(each, picture) for each in at.console.documents.schedules()]
    if at.screen.is_json:
        at.screen.document([_plain(each) for each in lines])
        return Exit.DONE
    if not lines:
        at.screen.say("There is no schedule. They are inserted from mongosh, into schedules.")
        return Exit.DONE
    at.screen.table(_table(lines, picture.now))
    for line in lines:
        for problem in line.problems:
            at.screen.say(f"{problem['code']}: {problem['message']}", "red")
            if problem["hint"]:
                at.screen.say(f"  hint: {problem['hint']}", "dim")
    return Exit.DONE


def _line(document: Document, picture: Picture) -> _Line:
    record = record_of(document)
    runs = () if record.schedule is None else next_runs(record.schedule, picture.now)
    return _Line(
        record=record,
        document=document,
        next_run=runs[0] if runs else None,
        problems=_problems(record, picture),
    )


def _problems(record: ScheduleRecord, picture: Picture) -> list[Document]:
    """Return what the agents tell of a schedule; that it makes no sense is seen from here too."""
    told = (picture.cluster or {}).get("problems") if picture.is_led else None
    found = [
        {name: each.get(name, "") for name in ("code", "message", "hint")}
        for each in (told if isinstance(told, Sequence) else ())
        if isinstance(each, Mapping) and repr(record.schedule_id) in str(each.get("message"))
    ]
    fault = record.fault
    if fault is not None and not any(each["code"] == fault.code for each in found):
        found.append({"code": fault.code, "message": fault.message, "hint": fault.hint})
    return [*found]


def _plain(line: _Line) -> Document:
    shown = {
        name: line.document.get(name)
        for name in ("cron", "timezone", "command", "retention", "storage")
    }
    return {
        "schedule": line.record.schedule_id,
        **shown,
        "enabled": line.record.is_enabled,
        "next_run": line.next_run,
        "problems": line.problems,
    }


def _table(lines: Sequence[_Line], now: datetime) -> Table:
    table = columns("schedule", "cron", "zone", "command", "retention", "next run", "problem")
    for line in lines:
        document = line.document
        has_cron = document.get("cron") is not None
        table.add_row(
            line.name,
            words.text(document.get("cron")),
            words.text(document.get("timezone") or "UTC"),
            line.command,
            words.text(document.get("retention")),
            _next(line, now) if has_cron or not line.record.is_enabled else Text(""),
            Text(", ".join(str(each["code"]) for each in line.problems), style="red"),
        )
    return table


def _next(line: _Line, now: datetime) -> Text:
    if not line.record.is_enabled:
        return Text("disabled", style="dim")
    return Text("never" if line.next_run is None else words.coming(line.next_run, now))
