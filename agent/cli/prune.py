"""The verb prune: what retention lets go, and what dead jobs left."""

import click

from agent.cli.follow import submit
from agent.cli.options import storage_option, verb, wait_option
from agent.cli.session import Session, session


@click.command
@click.option("--dry-run", is_flag=True, help="Only say what would go, and why.")
@storage_option
@wait_option
@verb
@session
def prune(at: Session, *, dry_run: bool, storage: str | None, wait: bool) -> int:
    """Remove what the retention of the schedules lets go, and what dead jobs left."""
    options = {"command": "prune", "dry_run": dry_run or None, "storage": storage}
    return submit(at.terminal(), options, wait=wait)
