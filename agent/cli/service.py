"""``backstay run``: the agent in the foreground."""

import signal
import sys
from pathlib import Path
from types import FrameType

import click

from agent.cli.console import Program
from agent.cli.exits import Exit
from agent.cli.options import config_option
from agent.core import log
from agent.core.errors import AgentError, ConfigError, Stopped
from agent.core.flow import Stop


@click.command(short_help="Be the agent of this node, in the foreground.")
@config_option
@click.pass_context
def run(context: click.Context, config: Path | None) -> None:
    """Run the agent of this node in the foreground, logging to standard output."""
    program = context.find_object(Program)
    assert program is not None, "the group sets it"  # noqa: S101 - for the type checker
    context.exit(_serve(program, config))


def _serve(program: Program, config: Path | None) -> Exit:
    stop = Stop()
    _stop_on_signals(stop)
    try:
        settings = program.load(config or program.config_path())
        log.configure(settings.log.format, settings.log.level)
        if settings.ignored:
            names = list(settings.ignored)
            log.get().warning("settings without a meaning here are ignored", settings=names)
        program.run_agent(settings, stop)
    except Stopped:
        return Exit.DONE
    except AgentError as error:
        _tell(error)
        return Exit.CONFIG if isinstance(error, ConfigError) else Exit.ERROR
    return Exit.DONE


def _stop_on_signals(stop: Stop) -> None:
    def asked(number: int, _frame: FrameType | None) -> None:
        stop.set(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, asked)
    signal.signal(signal.SIGINT, asked)


def _tell(error: AgentError) -> None:
    """Say in one line why the agent ends; the code at its end leads into the runbook."""
    hint = f" ({error.hint})" if error.hint else ""
    line = f"backstay: {error.message}{hint} [{error.code}]"
    print(" ".join(line.split()), file=sys.stderr, flush=True)
