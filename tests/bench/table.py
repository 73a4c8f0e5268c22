"""The table of a run: what was measured beside what it must reach."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

_COLUMNS: Final = ("what", "measured", "baseline", "ratio", "bound", "")
_PACKAGES: Final = ("pymongo", "boto3", "zstandard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure. ``is_met`` is None where there is no bound."""

    what: str
    measured: str
    baseline: str = ""
    ratio: str = ""
    bound: str = ""
    is_met: bool | None = None

    @property
    def verdict(self) -> str:
        """The last column."""
        return {True: "ok", False: "MISSED", None: ""}[self.is_met]

    @property
    def cells(self) -> tuple[str, ...]:
        """All columns."""
        return (self.what, self.measured, self.baseline, self.ratio, self.bound, self.verdict)


def compared(
    what: str, *, measured_s: float, baseline_s: float, bound: float | None = None, note: str = ""
) -> Row:
    """Return a row of a time that may be ``bound`` times a baseline's, if there is a bound."""
    ratio = measured_s / baseline_s
    return Row(
        what=what,
        measured=f"{measured_s:.2f} s{note}",
        baseline=f"{baseline_s:.2f} s",
        ratio=f"{ratio:.2f}",
        bound="" if bound is None else f"<= {bound:g} x",
        is_met=None if bound is None else ratio <= bound,
    )


def bounded(what: str, *, measured: float, unit: str, bound: float, digits: int = 1) -> Row:
    """Return a row of a figure that may be ``bound`` at most."""
    return Row(
        what=what,
        measured=f"{measured:.{digits}f} {unit}",
        bound=f"<= {bound:g} {unit}",
        is_met=measured <= bound,
    )


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table."""
    table = Table(title="Backstay beside plain pymongo, in one run on the same servers")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        style = {True: "green", False: "bold red", None: ""}[row.is_met]
        table.add_row(*row.cells[:-1], f"[{style}]{row.verdict}[/]" if style else "")
    console.print(table)
    missed = [row.what for row in rows if row.is_met is False]
    console.print(f"missed: {', '.join(missed)}" if missed else "every bound was met")
    console.print(", ".join(machine()))


def write_markdown(rows: Sequence[Row], path: Path) -> None:
    """Write the table and the machine's facts as Markdown."""
    lines = [
        f"Measured on {', '.join(machine())}.",
        "",
        "| " + " | ".join(_COLUMNS) + " |",
        "|---|" + "---:|" * (len(_COLUMNS) - 1),
        *("| " + " | ".join(row.cells) + " |" for row in rows),
        "",
    ]
    path.write_text("\n".join(lines))


def machine() -> tuple[str, ...]:
    """Return what figures depend on: never the name of a host."""
    memory_gib = round(psutil.virtual_memory().total / 1024**3)
    return (
        f"{psutil.cpu_count()} cores ({_processor()})",
        f"{memory_gib} GiB of memory",
        f"{platform.system()} {platform.release().partition('-')[0]}",
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in _PACKAGES),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()
