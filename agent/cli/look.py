"""Verbs that only look: list, show, status."""

from collections.abc import Mapping
from dataclasses import asdict, fields

import click

from agent.cli.console import Console, Document
from agent.cli.exits import Exit
from agent.cli.follow import follow
from agent.cli.options import verb
from agent.cli.overview import overview
from agent.cli.session import Session, session
from agent.cli.verdict import Picture, advice, is_safe, sentence, troubles, unsafe_since
from agent.cli.views import (
    backup_facts,
    backup_table,
    command_facts,
    newest_first,
    timeline_lines,
)
from agent.cli.watch import watched
from agent.core.errors import PermanentError
from agent.model.backups import BackupEntry


@click.command(name="list")
@verb
@session
def list_(at: Session) -> int:
    """List the backups, newest first."""
    if at.screen.is_json:
        entries = at.console.catalogue.entries()
        at.screen.document([entry_document(entry) for entry in newest_first(entries)])
        return Exit.DONE
    picture = look(at.console)
    if not picture.entries:
        at.screen.say("There is no backup.")
        return Exit.DONE
    width = at.screen.out.width
    at.screen.table(backup_table(newest_first(picture.entries), picture.now, width=width))
    at.screen.say("")
    for line in timeline_lines(picture, width=width, encoding=at.screen.out.encoding):
        at.screen.say(line)
    return Exit.DONE


@click.command
@click.argument("identity", metavar="ID")
@click.option("--follow", "follows", is_flag=True, help="Follow a command to its end.")
@verb
@session
def show(at: Session, *, identity: str, follows: bool) -> int:
    """Show the backup ID, or the command ID."""
    entries = [each for each in at.console.catalogue.entries() if each.backup_id == identity]
    if entries:
        _show_backups(at, entries)
        return Exit.DONE
    command_id = at.console.documents.command_id(identity)
    document = None if command_id is None else at.console.documents.command(command_id)
    if document is None:
        raise PermanentError(
            "unknown_id",
            f"there is neither a backup nor a command {identity}",
            hint="backstay list shows the backups; backstay status shows what runs",
        )
    if follows:
        return follow(at.terminal(), command_id)
    if at.screen.is_json:
        at.screen.document(document)
    else:
        command_facts(at.screen, document)
    return Exit.DONE


def _show_backups(at: Session, entries: list[BackupEntry]) -> None:
    """Print every storage's entry of a backup: nearly always there is one."""
    if at.screen.is_json:
        documents = [entry_document(entry) for entry in entries]
        at.screen.document(documents[0] if len(documents) == 1 else documents)
        return
    now = at.console.status.server_now()
    for entry in entries:
        at.screen.say(f"backup {entry.backup_id}", "bold")
        at.screen.table(backup_facts(entry, now))


def entry_document(entry: BackupEntry) -> Mapping[str, object]:
    """Return a backup's entry as JSON has it."""
    values = {each.name: getattr(entry, each.name) for each in fields(entry)}
    verdict = entry.verdict
    values["verdict"] = None if verdict is None else asdict(verdict)
    values["verdicts"] = [asdict(each) for each in entry.verdicts]
    return {"backup": values.pop("backup_id"), **values}


@click.command(short_help="Say whether the data is safe; agents, backups, problems.")
@click.option("--watch", is_flag=True, help="Look again every two seconds, until Ctrl-C.")
@verb
@session
def status(at: Session, *, watch: bool) -> int:
    """Say whether the data is safe, and show agents, backups and problems."""
    picture = look(at.console)
    if at.screen.is_json:
        at.screen.document(status_document(picture))
    elif watch:
        return watched(at.program.watch_s, at.screen, picture, lambda: look(at.console))
    else:
        for part in overview(picture, at.screen.out):
            at.screen.part(part)
    return Exit.DONE if is_safe(picture) else Exit.NOT_SAFE


def look(console: Console) -> Picture:
    """Look at everything that status shows."""
    return Picture(
        now=console.status.server_now(),
        agents=sorted(console.status.agents(), key=lambda agent: agent.name),
        entries=console.catalogue.entries(),
        cluster=console.documents.cluster(),
    )


def status_document(picture: Picture) -> Document:
    """Return the status as JSON has it."""
    return {
        "safe": is_safe(picture),
        "sentence": sentence(picture),
        "since": unsafe_since(picture),
        "advice": advice(picture),
        "now": picture.now,
        "problems": [asdict(trouble) for trouble in troubles(picture)],
        "agents": [
            {**asdict(agent), "is_there": picture.is_there(agent)} for agent in picture.agents
        ],
        "cluster": picture.cluster,
    }
