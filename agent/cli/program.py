"""The real parts behind the verbs."""

from pathlib import Path

from agent import wiring
from agent.aws.region import region_of
from agent.cli.console import Program
from agent.core.clock import SystemClock
from agent.settings import S3Settings, Settings, config_path, load, process_environment


def real_program() -> Program:
    """Return what the verbs are made of outside tests."""
    variables = process_environment()

    def loaded(path: Path) -> Settings:
        return load(path, variables)

    def region(s3: S3Settings) -> str | None:
        return region_of(s3, variables)

    return Program(
        load=loaded,
        config_path=lambda: config_path(variables),
        open_console=wiring.open_console,
        run_agent=wiring.run_agent,
        region_of=region,
        check_here=wiring.check_here,
        clock=SystemClock(),
        look_s=0.3,
        watch_s=2.0,
    )
