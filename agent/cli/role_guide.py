"""What to do in IAM, and then in the configuration, as people read and paste it."""

from collections.abc import Sequence
from typing import Final

from agent.cli import words
from agent.cli.console import Document
from agent.cli.screen import Screen

# These are not facts of a line each.
ROLE_PARTS: Final = frozenset({
    "cli", "configuration", "permission_policy", "principals", "trust_policy", "warnings",
})  # fmt: skip


def show_role(screen: Screen, result: Document) -> None:
    """Print the lines for IAM of a role that is to be set up, or the setting of one that is."""
    storage = words.text(result.get("storage"))
    for warning in _texts(result.get("warnings")):
        screen.say(f"warning: {warning}", "yellow")
    if result.get("configuration"):
        screen.say(f"put this into the s3 block of the storage {storage}, on every node", "dim")
        screen.say(words.text(result["configuration"]))
    cli = result.get("cli")
    if not isinstance(cli, dict):
        return
    _show_policies(screen, result)
    screen.say("a new role: run these with the AWS CLI", "dim")
    _lines(screen, cli.get("create"))
    screen.say("a role that is there already, whose trust policy this replaces", "dim")
    _lines(screen, cli.get("adapt"))
    screen.say("then, with the ARN that the last line prints", "dim")
    screen.say(f"backstay authorize-role --storage {storage} --role-arn ARN")


def _show_policies(screen: Screen, result: Document) -> None:
    for name in ("trust_policy", "permission_policy"):
        screen.say(f"{name.replace('_', ' ')}, for the console of IAM", "dim")
        screen.say(words.text(result.get(name)))


def _lines(screen: Screen, lines: object) -> None:
    for line in _texts(lines):
        screen.say(line)


def _texts(value: object) -> list[str]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(each) for each in value]
    return []
