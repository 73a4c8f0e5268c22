"""Structured logs on standard output: a fixed event, then fields."""

import logging
import sys
from typing import Literal, TextIO, cast

import structlog

Log = structlog.stdlib.BoundLogger


def configure(
    log_format: Literal["json", "console"], level: str, *, to: TextIO | None = None
) -> None:
    """Set up logging for the process; called once. Default: to standard output."""
    stream = to or sys.stdout
    renderer: structlog.typing.Processor
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=stream.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )


def get(**context: object) -> Log:
    """Return a logger with ``context`` bound to every line."""
    return cast("Log", structlog.get_logger(**context))
