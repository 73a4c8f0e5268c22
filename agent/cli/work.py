"""Verbs that insert a command and follow it: backup, restore, cancel, verify, delete, resync."""

import click

from agent.cli.follow import submit
from agent.cli.options import (
    Pair,
    PointInTime,
    namespaces_option,
    storage_option,
    verb,
    wait_option,
)
from agent.cli.session import Session, session
from agent.core.errors import PermanentError
from agent.model.verdict import DEPTHS


@click.command
@namespaces_option
@storage_option
@click.option(
    "--tag", "tags", multiple=True, type=Pair("name=text"), help="Text to find it by; repeatable."
)
@click.option("--keep", is_flag=True, help="Retention never deletes this backup.")
@click.option("--note", help="A text for people.")
@wait_option
@verb
@session
def backup(
    at: Session,
    *,
    namespaces: tuple[str, ...],
    storage: str | None,
    tags: tuple[tuple[str, str], ...],
    keep: bool,
    note: str | None,
    wait: bool,
) -> int:
    """Make an exact copy of the replica set at one cluster time."""
    options = {
        "command": "backup",
        "namespaces": list(namespaces) or None,
        "storage": storage,
        "tags": dict(tags) or None,
        "keep": keep or None,
        "note": note,
    }
    return submit(at.terminal(), options, wait=wait)


@click.command
@click.argument("backup_id", required=False)
@click.option(
    "--to",
    type=PointInTime(),
    help="A time instead of a backup: a date with its zone, a cluster time, or latest.",
)
@namespaces_option
@click.option(
    "--rename",
    multiple=True,
    type=Pair('"shop.*=shop2.*"'),
    metavar="FROM=TO",
    help="Restore under other names; repeatable.",
)
@click.option("--overwrite", is_flag=True, help="Replace what exists.")
@click.option(
    "--users-and-roles/--no-users-and-roles",
    default=None,
    help="Restore users and roles too.  [default: only in a full restore]",
)
@click.option(
    "--hold-ttl",
    is_flag=True,
    help="Restore TTL indexes without expiry, so that nothing is deleted at once.",
)
@click.option("--dry-run", is_flag=True, help="Only make and show the plan.")
@storage_option
@wait_option
@verb
@session
def restore(
    at: Session,
    *,
    backup_id: str | None,
    to: object,
    namespaces: tuple[str, ...],
    rename: tuple[tuple[str, str], ...],
    overwrite: bool,
    users_and_roles: bool | None,
    hold_ttl: bool,
    dry_run: bool,
    storage: str | None,
    wait: bool,
) -> int:
    """Bring a backup back: BACKUP_ID, or the newest.

    Everything is loaded beside what exists and switched at the end; until then existing data is
    not touched.
    """
    options = {
        "command": "restore",
        "backup": backup_id,
        "to": to,
        "namespaces": list(namespaces) or None,
        "rename": [{"from": source, "to": target} for source, target in rename] or None,
        "overwrite": overwrite or None,
        "users_and_roles": users_and_roles,
        "hold_ttl": hold_ttl or None,
        "dry_run": dry_run or None,
        "storage": storage,
    }
    return submit(at.terminal(), options, wait=wait)


@click.command
@click.argument("command_id")
@wait_option
@verb
@session
def cancel(at: Session, *, command_id: str, wait: bool) -> int:
    """Stop the command COMMAND_ID, which waits or runs."""
    target = at.console.documents.command_id(command_id)
    if target is None:
        raise PermanentError(
            "unknown_command",
            f"there is no command {command_id}",
            hint="backstay status shows what runs",
        )
    return submit(at.terminal(), {"command": "cancel", "target": target}, wait=wait)


@click.command
@click.argument("backup_id")
@click.option(
    "--depth",
    type=click.Choice(DEPTHS),
    help="objects: all are there, by a listing; content: read them all.  [default: objects]",
)
@storage_option
@wait_option
@verb
@session
def verify(
    at: Session, *, backup_id: str, depth: str | None, storage: str | None, wait: bool
) -> int:
    """Look whether the backup BACKUP_ID, or the latest, is whole in its storage."""
    options = {"command": "verify", "backup": backup_id, "depth": depth, "storage": storage}
    return submit(at.terminal(), options, wait=wait)


@click.command
@click.argument("backup_id")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--force", is_flag=True, help="Even if it is kept, or the only one.")
@storage_option
@wait_option
@verb
@session
def delete(
    at: Session,
    *,
    backup_id: str,
    dry_run: bool,
    force: bool,
    storage: str | None,
    wait: bool,
) -> int:
    """Delete the backup BACKUP_ID from its storage."""
    options = {
        "command": "delete",
        "backup": backup_id,
        "dry_run": dry_run or None,
        "force": force or None,
        "storage": storage,
    }
    return submit(at.terminal(), options, wait=wait)


@click.command
@storage_option
@wait_option
@verb
@session
def resync(at: Session, *, storage: str | None, wait: bool) -> int:
    """Rebuild the catalogue of backups from the storage."""
    return submit(at.terminal(), {"command": "resync", "storage": storage}, wait=wait)
