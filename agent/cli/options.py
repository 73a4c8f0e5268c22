"""Options that verbs share, and how texts become values of a command."""

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from agent.model.cluster_time import ClusterTime
from agent.model.commands import LATEST

Verb = TypeVar("Verb", bound=Callable[..., Any])

_CLUSTER_TIME: Final = re.compile(r"^(\d{9,10})[.,:](\d{1,10})$")

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Configuration file.  [default: $BACKSTAY_CONFIG, else /etc/backstay/config.yaml]",
)
json_option = click.option(
    "--json", "is_json", is_flag=True, help="Print one JSON document and nothing else."
)
wait_option = click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Follow the command to its end, or only insert it.",
)
storage_option = click.option("--storage", metavar="LABEL", help="Label of a configured storage.")
namespaces_option = click.option(
    "--namespaces",
    "-n",
    multiple=True,
    metavar="PATTERN",
    help='Which collections, such as "shop.orders" or "shop.*"; repeatable.  [default: all]',
)


def verb(function: Verb) -> Verb:
    """Give a verb the options that all verbs have."""
    return config_option(json_option(function))


class Pair(click.ParamType[tuple[str, str]]):
    """Two texts with an equals sign between them."""

    name = "pair"

    def __init__(self, example: str) -> None:
        self._example = example

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split at the first equals sign."""
        if isinstance(value, tuple):
            return value
        left, sign, right = str(value).partition("=")
        if not (left and sign and right):
            self.fail(f"{value!r} is not written as {self._example}", param, ctx)
        return left, right


class PointInTime(click.ParamType[datetime | ClusterTime | str]):
    """A time to restore to."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | ClusterTime | str:
        """Read ``latest``, a date with its zone, or a cluster time ``seconds.increment``."""
        text = str(value).strip()
        if text == LATEST:
            return LATEST
        found = _CLUSTER_TIME.match(text)
        if found is not None:
            return ClusterTime(int(found[1]), int(found[2]))
        try:
            when = datetime.fromisoformat(text.removesuffix(" UTC"))
        except ValueError:
            self.fail(
                f"{value!r} is not a time; write 2026-11-21T20:15:12Z, 1795292112.3 or latest",
                param,
                ctx,
            )
        if text.endswith(" UTC") and when.tzinfo is None:
            when = datetime.fromisoformat(f"{text.removesuffix(' UTC')}+00:00")
        if when.tzinfo is None:
            # An hour wrong is the wrong data: we do not guess.
            self.fail(f"{value!r} has no time zone; for UTC write {text}Z", param, ctx)
        return when
