"""Backup against draining, restore against inserting, and the memory that both take."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Final

from tests.bench import data, gauges, table
from tests.bench.stage import Baseline, Stage
from tests.bench.table import Row
from tests.testbed.clients import Document

SMALL: Final = "bench_small"
MIDDLE: Final = "bench_middle"
LARGE: Final = "bench_large"
DATABASES: Final = (SMALL, MIDDLE, LARGE)
RESTORED: Final = "bench_restored"
PLAIN: Final = "bench_plain"

SMALL_GIB: Final = 0.1
MEMORY_MIB: Final = 250.0
# Ranges of the baseline: small enough to keep all threads busy to the end.
_RANGE_BYTES: Final = 32 * gauges.MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """GiB of BSON to back up in all, and of it to restore; and how often to measure."""

    backup_gib: float
    restore_gib: float
    runs: int


def load(stage: Stage, sizes: Sizes) -> None:
    """Fill the three databases, the small one first."""
    large_gib = max(0.05, sizes.backup_gib - sizes.restore_gib - SMALL_GIB)
    for database, gib in ((SMALL, SMALL_GIB), (MIDDLE, sizes.restore_gib), (LARGE, large_gib)):
        data.load(stage.client, database, int(gib * data.GIB))


def backup(stage: Stage, sizes: Sizes) -> list[Row]:
    """Measure backups of all, and of the small database, alternating with the baseline."""
    _drain(stage, DATABASES)  # warms the caches
    small = _measured(stage, "backup", namespaces=[f"{SMALL}.*"])
    ours, plain = [], []
    for _ in range(sizes.runs):
        plain.append(_drain(stage, DATABASES))
        ours.append(_measured(stage, "backup", namespaces=[f"{each}.*" for each in DATABASES]))
    what = f"backup of {_gib(ours[0].bytes)}"
    return [
        *_compared(f"{what}, beside drain and compress", ours, plain, bound=1.6),
        _memory(f"memory of an agent, backup of {_gib(small.bytes)}", [small]),
        _memory(f"memory of an agent, {what}", ours),
    ]


def restore(stage: Stage, sizes: Sizes) -> list[Row]:
    """Measure restores of one database under another name, alternating with the baseline."""
    made = stage.command("backup", namespaces=[f"{MIDDLE}.*"])
    ours, plain = [], []
    for _ in range(sizes.runs):
        plain.append(_insert(stage))
        stage.client.drop_database(PLAIN)
        ours.append(
            _measured(
                stage,
                "restore",
                backup=made.result["backup"],
                rename=[{"from": f"{MIDDLE}.*", "to": f"{RESTORED}.*"}],
            )
        )
        stage.client.drop_database(RESTORED)
    what = f"restore of {_gib(ours[0].bytes)}"
    return [
        *_compared(f"{what}, beside raw inserts and index builds", ours, plain, bound=1.2),
        _memory(f"memory of an agent, {what}", ours),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One run; ``cpu_s`` is that of servers and clients together."""

    wall_s: float
    cpu_s: float
    peak_bytes: int = 0
    bytes: int = 0


def _measured(stage: Stage, command: str, **options: Any) -> _Measured:
    """Run a command; its memory is the most that any agent held meanwhile."""
    pids = [agent.pid for agent in stage.agents.all]
    for pid in pids:
        gauges.forget_peak(pid)
    measured_pids = [*pids, *stage.server_pids()]
    before_s = sum(gauges.cpu_s(pid) for pid in measured_pids)
    done = stage.command(command, **options)
    return _Measured(
        wall_s=done.wall_s,
        cpu_s=sum(gauges.cpu_s(pid) for pid in measured_pids) - before_s,
        peak_bytes=max(gauges.peak_bytes(pid) for pid in pids),
        bytes=int(done.result["bytes"]),
    )


def _together(stage: Stage, baselines: Sequence[Baseline]) -> _Measured:
    for each in baselines:
        each.wait_until_ready()
    before_s = sum(gauges.cpu_s(pid) for pid in stage.server_pids())
    for each in baselines:
        each.begin()
    results = [each.result() for each in baselines]
    servers_s = sum(gauges.cpu_s(pid) for pid in stage.server_pids()) - before_s
    return _Measured(
        wall_s=max(float(each["wall_s"]) for each in results),
        cpu_s=servers_s + sum(float(each["cpu_s"]) for each in results),
    )


def _drain(stage: Stage, databases: Sequence[str]) -> _Measured:
    """Drain from the nodes that a backup reads from, with as many threads beside each."""
    nodes = stage.replica_set.secondaries()
    ranges = [one for database in databases for one in _ranges(stage, database)]
    return _together(
        stage,
        [
            Baseline(
                "drain",
                {
                    "uri": node.uri,
                    "workers": stage.workers,
                    "ranges": ranges[number :: len(nodes)],
                },
            )
            for number, node in enumerate(nodes)
        ],
    )


def _ranges(stage: Stage, database: str) -> Iterator[Document]:
    for kind in data.KINDS:
        size = stage.client[database].command("collStats", kind.name)
        split = stage.client.admin.command({
            "splitVector": f"{database}.{kind.name}",
            "keyPattern": {"_id": 1},
            "maxChunkSizeBytes": _RANGE_BYTES,
        })
        edges = [None, *(key["_id"] for key in split["splitKeys"]), None]
        for lower, upper in pairwise(edges):
            yield {
                "database": database,
                "collection": kind.name,
                "average_bytes": size["avgObjSize"],
                "min": lower,
                "max": upper,
            }


def _insert(stage: Stage) -> _Measured:
    plan = {
        "uri": stage.replica_set.uri,
        "workers": stage.workers,
        "source": MIDDLE,
        "target": PLAIN,
    }
    return _together(stage, [Baseline("insert", plan)])


def _compared(
    what: str, ours: Sequence[_Measured], plain: Sequence[_Measured], *, bound: float
) -> list[Row]:
    wall_s = median(each.wall_s for each in ours)
    return [
        table.compared(
            what,
            measured_s=wall_s,
            baseline_s=median(each.wall_s for each in plain),
            bound=bound,
            note=f" ({ours[0].bytes / wall_s / gauges.MIB:.0f} MiB/s)",
        ),
        table.compared(
            "  CPU time of servers and clients",
            measured_s=median(each.cpu_s for each in ours),
            baseline_s=median(each.cpu_s for each in plain),
        ),
    ]


def _memory(what: str, ours: Sequence[_Measured]) -> Row:
    peak_bytes = max(each.peak_bytes for each in ours)
    return table.bounded(
        what, measured=peak_bytes / gauges.MIB, unit="MiB", bound=MEMORY_MIB, digits=0
    )


def _gib(size_bytes: int) -> str:
    size_gib = size_bytes / data.GIB
    return f"{size_gib:.1f} GiB" if size_gib >= 0.2 else f"{size_bytes / gauges.MIB:.0f} MiB"
