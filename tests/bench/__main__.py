"""`make bench`: speed and memory of real agents, beside plain pymongo doing the same work.

Never fails by a figure: exit status 0, with what was missed marked in the table.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from pymongo.errors import PyMongoError
from rich.console import Console

from tests.bench import latency, table, throughput
from tests.bench.archive import archive
from tests.bench.recovery import recovery, resume
from tests.bench.replay import replay
from tests.bench.stage import Stage, stage
from tests.bench.table import Row
from tests.bench.throughput import Sizes

Measure = Callable[[Stage], list[Row]]

_PARTS: Final = (
    "idle",
    "tiny",
    "takeover",
    "backup",
    "restore",
    "many",
    "replay",
    # These start agents of their own settings.
    "recovery",
    "resume",
    "archive",
)
# On a replica set of one node.
_LONE: Final = ("replay_lone",)
_NEED_DATA: Final = frozenset({"backup", "restore", "recovery"})


def _measures(sizes: Sizes, *, entries: int, many: int, long: bool) -> dict[str, Measure]:
    def many_collections(place: Stage) -> list[Row]:
        rows = latency.many(place, many, 60)
        return [*rows, *latency.many(place, 10_000, 180)] if long else rows

    return {
        "idle": latency.idle,
        "tiny": latency.tiny,
        "takeover": latency.takeover,
        "backup": lambda place: throughput.backup(place, sizes),
        "restore": lambda place: throughput.restore(place, sizes),
        "many": many_collections,
        "replay": lambda place: replay(place, entries, sizes.runs),
        "recovery": lambda place: recovery(place, throughput.DATABASES),
        "resume": lambda place: resume(place, sizes.runs),
        "archive": archive,
        "replay_lone": lambda place: replay(place, entries, sizes.runs),
    }


def _rows(part: str, measure: Measure, place: Stage) -> list[Row]:
    """Measure one part; what goes wrong stands in the table, and the other parts go on."""
    try:
        return measure(place)
    except (AssertionError, PyMongoError, OSError) as error:
        return [Row(what=part, measured=f"failed: {error}", is_met=False)]


@click.command()
@click.option(
    "--only", default=",".join(_PARTS + _LONE), show_default=True, help="Parts, with commas."
)
@click.option("--gib", default=2.0, show_default=True, help="GiB of data to back up.")
@click.option("--restore-gib", default=0.5, show_default=True, help="GiB of it to restore.")
@click.option("--runs", default=3, show_default=True, help="Runs of which the median counts.")
@click.option("--workers", default=4, show_default=True, help="Threads of an agent.")
@click.option("--many", default=2_000, show_default=True, help="Small collections.")
@click.option("--entries", default=200_000, show_default=True, help="Oplog entries to replay.")
@click.option("--long", is_flag=True, help="Also 10,000 small collections.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Also write the table here.")
def main(
    *,
    only: str,
    gib: float,
    restore_gib: float,
    runs: int,
    workers: int,
    many: int,
    entries: int,
    long: bool,
    markdown: Path | None,
) -> None:
    """Measure speed and memory, and print them beside what must be reached."""
    console = Console()
    wanted = [each.strip() for each in only.split(",")]
    if unknown := sorted(set(wanted) - {*_PARTS, *_LONE}):
        known = ", ".join(_PARTS + _LONE)
        raise click.BadParameter(f"{', '.join(unknown)}; there are {known}")
    sizes = Sizes(backup_gib=gib, restore_gib=min(restore_gib, gib / 2), runs=runs)
    measures = _measures(sizes, entries=entries, many=many, long=long)
    rows: list[Row] = []
    for parts, nodes in ((_PARTS, 3), (_LONE, 1)):
        chosen = [part for part in parts if part in wanted]
        if not chosen:
            continue
        with stage(workers=workers, nodes=nodes) as place:
            if _NEED_DATA & set(chosen):
                with _told(console, f"loading {gib:g} GiB"):
                    throughput.load(place, sizes)
            place.start_agents()
            for part in chosen:
                with _told(console, part):
                    rows += _rows(part, measures[part], place)
    table.show(rows, console)
    if markdown is not None:
        table.write_markdown(rows, markdown)


class _told:  # noqa: N801 - read as a word in front of a block
    """Says what goes on, and how long it took."""

    def __init__(self, console: Console, what: str) -> None:
        self._console = console
        self._what = what

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._console.print(f"{self._what}: {time.monotonic() - self._began:.0f} s")


if __name__ == "__main__":
    main()
