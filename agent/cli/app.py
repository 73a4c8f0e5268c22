"""The command `backstay` and its verbs."""

from collections.abc import Sequence

import click

from agent import __version__
from agent.cli.check import check
from agent.cli.console import Program
from agent.cli.exits import EPILOG
from agent.cli.look import list_, show, status
from agent.cli.policy import policy
from agent.cli.prepare import init
from agent.cli.program import real_program
from agent.cli.prune import prune
from agent.cli.report.verb import report
from agent.cli.roles import authorize_role, deauthorize_role, roles
from agent.cli.schedules import schedules
from agent.cli.service import run
from agent.cli.work import backup, cancel, delete, restore, resync, verify


class _InOrder(click.Group):
    """Lists its verbs in the order of their use, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click calls it
        return list(self.commands)


@click.group(
    cls=_InOrder,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="backstay", message="%(prog)s %(version)s")
@click.pass_context
def backstay(context: click.Context) -> None:
    """Back up a MongoDB replica set to S3 and bring it back.

    `backstay run` is the agent beside each node. The other verbs insert the same documents into
    the control database as an operator would from mongosh, and follow them to their end.
    """
    if context.obj is None:
        context.obj = real_program()


_VERBS = (
    run, init, policy, check, backup, restore, list_, show, status, report, cancel, verify, delete,
    prune, resync, schedules,
    roles, authorize_role, deauthorize_role,
)  # fmt: skip
for _verb in _VERBS:
    backstay.add_command(_verb)


def main(arguments: Sequence[str] | None = None, program: Program | None = None) -> None:
    """Run the command line and exit with the status that tells how it ended."""
    backstay.main(
        args=None if arguments is None else list(arguments), prog_name="backstay", obj=program
    )
