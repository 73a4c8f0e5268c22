"""Verbs of the role flow: roles, authorize-role, deauthorize-role."""

from collections.abc import Sequence
from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from agent.cli import words
from agent.cli.console import Document
from agent.cli.exits import Exit
from agent.cli.follow import submit
from agent.cli.options import storage_option, verb, wait_option
from agent.cli.screen import columns
from agent.cli.session import Session, session


@click.command
@verb
@session
def roles(at: Session) -> int:
    """List the roles that are being set up, and those that were authorized."""
    found = at.console.documents.roles()
    if at.screen.is_json:
        at.screen.document(list(found))
    elif found:
        at.screen.table(_table(found, at.console.status.server_now()))
    else:
        at.screen.say("No role was set up. Begin with: backstay authorize-role")
    return Exit.DONE


def _table(found: Sequence[Document], now: datetime) -> Table:
    table = columns("authorization", "storage", "state", "role", "since", "")
    for each in found:
        since = each.get("authorized_at") or each.get("created_at")
        error = each.get("last_error")
        table.add_row(
            words.text(each.get("authorization")),
            words.text(each.get("storage")),
            words.text(each.get("state")),
            words.text(each.get("role_arn") or each.get("role_name")),
            words.ago(since, now) if isinstance(since, datetime) else "",
            Text(words.text(error.get("message")) if isinstance(error, dict) else "", style="red"),
        )
    return table


@click.command
@storage_option
@click.option("--role-name", metavar="NAME", help="Name of the role.  [default: backstay-BUCKET]")
@click.option("--authorization", metavar="ID", help="Which one.  [default: that in progress]")
@click.option("--role-arn", metavar="ARN", help="The role, once it is set up: try it out.")
@wait_option
@verb
@session
def authorize_role(
    at: Session,
    *,
    storage: str | None,
    role_name: str | None,
    authorization: str | None,
    role_arn: str | None,
    wait: bool,
) -> int:
    """Set up a role of AWS for the bucket: policies and lines to paste, then the proof.

    Without --role-arn it prints what IAM needs; the same again if that was begun before. With it,
    an agent assumes the role and tries the bucket.
    """
    options = {
        "command": "authorize_role",
        "storage": storage,
        "role_name": role_name,
        "authorization": authorization,
        "role_arn": role_arn,
    }
    return submit(at.terminal(), options, wait=wait)


@click.command
@click.argument("role", metavar="ROLE")
@wait_option
@verb
@session
def deauthorize_role(at: Session, *, role: str, wait: bool) -> int:
    """Give up an authorization in progress, or forget a role that no storage uses.

    ROLE is the id of an authorization, or the ARN of a role that was authorized. Nothing is
    changed in AWS.
    """
    name = "role_arn" if role.startswith("arn:") else "authorization"
    return submit(at.terminal(), {"command": "deauthorize_role", name: role}, wait=wait)
