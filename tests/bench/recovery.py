"""How late a write can be lost: the recovery point, and how soon the archive is back."""

import math
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median
from typing import Final

from tests.bench import table
from tests.bench.stage import Stage
from tests.bench.table import Row
from tests.bench.writes import DATABASE, Stored, write, writing

# Seconds between uploads, and how many samples of each.
_INTERVALS: Final = ((5.0, 10), (1.0, 20), (0.2, 20))
_BUSY_INTERVAL_S: Final = 1.0
_BUSY_SAMPLES: Final = 20
# From the end of the interval to the segment in the listing.
_ALLOWANCE_S: Final = 0.5
_RESUMED_INTERVAL_S: Final = 1.0
_OUTAGE_S: Final = 15.0
# Of an archive that was away for long: what it finds to store first.
_BACKLOG_S: Final = 600.0


def recovery(stage: Stage, databases: Sequence[str]) -> list[Row]:
    """Measure from the acknowledgement of a write to its segment in the storage's listing.

    At several intervals, and once more while backups of the databases run.
    """
    rows = []
    for interval_s, samples in _INTERVALS:
        _start(stage, interval_s)
        rows.append(
            _row("a write is in the archive", interval_s, _sampled(stage, interval_s, samples))
        )
    _start(stage, _BUSY_INTERVAL_S)
    with _backing_up(stage, databases):
        waits = _sampled(stage, _BUSY_INTERVAL_S, _BUSY_SAMPLES)
    rows.append(_row("  while a backup runs", _BUSY_INTERVAL_S, waits))
    stage.client.drop_database(DATABASE)
    return rows


def resume(stage: Stage, runs: int) -> list[Row]:
    """Measure how soon a write is in the archive after its agent or its storage was away."""
    _start(stage, _RESUMED_INTERVAL_S)
    with writing(stage, 10):
        killed = [_killed(stage) for _ in range(runs)]
        stalled = [_stalled(stage) for _ in range(runs)]
    stage.client.drop_database(DATABASE)
    return [
        table.bounded(
            f"archived again after SIGKILL of the archiver's agent (worst of {runs})",
            measured=max(killed),
            unit="s",
            bound=20,
        ),
        table.bounded(
            f"archived again after the storage stood still for {_OUTAGE_S:.0f} s (worst of {runs})",
            measured=max(stalled),
            unit="s",
            bound=5,
        ),
    ]


def _start(stage: Stage, interval_s: float) -> None:
    """Start agents with this interval, and wait until nothing older is left to store."""
    stage.start_agents(upload_interval_s=interval_s)
    Stored(stage, back_s=_BACKLOG_S).wait(write(stage), timeout_s=300)


def _sampled(stage: Stage, interval_s: float, samples: int) -> list[float]:
    stored = Stored(stage, back_s=3 * interval_s + 30)
    chance = random.Random(samples)
    waits = []
    for _ in range(samples):
        # Else each write would come right after the upload that ended the wait before it.
        time.sleep(chance.uniform(0, interval_s))
        waits.append(stored.wait(write(stage)))
    return waits


def _row(what: str, interval_s: float, waits: Sequence[float]) -> Row:
    ordered = sorted(waits)
    late = ordered[math.ceil(0.95 * len(ordered)) - 1]
    bound_s = interval_s + _ALLOWANCE_S
    return Row(
        what=f"{what}, interval {interval_s:g} s (worst of {len(waits)})",
        measured=f"{ordered[-1]:.2f} s (median {median(ordered):.2f}, 95 % {late:.2f})",
        bound=f"<= {bound_s:g} s",
        is_met=ordered[-1] <= bound_s,
    )


@contextmanager
def _backing_up(stage: Stage, databases: Sequence[str]) -> Iterator[None]:
    """Run one backup after the other, until the end of the block."""
    ended = threading.Event()
    namespaces = [f"{each}.*" for each in databases]

    def go_on() -> None:
        while not ended.is_set():
            stage.command("backup", namespaces=namespaces)

    with ThreadPoolExecutor(1, thread_name_prefix="backups") as pool:
        done = pool.submit(go_on)
        try:
            yield
        finally:
            ended.set()
            done.result()


def _killed(stage: Stage) -> float:
    name = stage.archiver()
    assert name is not None, "there is no archiver"
    killed = stage.agent_named(name)
    killed.kill()
    began = time.monotonic()
    Stored(stage, back_s=_BACKLOG_S).wait(write(stage))
    elapsed_s = time.monotonic() - began
    killed.restart()
    stage.agents.wait_until_reporting()
    return elapsed_s


def _stalled(stage: Stage) -> float:
    stored = Stored(stage, back_s=_BACKLOG_S)
    stored.wait(write(stage))
    stage.server.pause()
    try:
        time.sleep(_OUTAGE_S)
    finally:
        stage.server.resume()
    began = time.monotonic()
    stored.wait(write(stage))
    return time.monotonic() - began
