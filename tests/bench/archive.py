"""What the archive costs its agent: CPU time and memory, beside agents without an archive."""

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from tests.bench import gauges, table
from tests.bench.latency import SETTLED_S
from tests.bench.stage import Stage
from tests.bench.table import Row
from tests.bench.writes import DATABASE, Stored, write, writing

_OBSERVED_S: Final = 30.0
_FEW: Final = 10
_MANY: Final = 5_000
_BATCH: Final = 50


def archive(stage: Stage) -> list[Row]:
    """Measure agents without the archive, and then with it: idle, few writes, many writes."""
    _settle(stage, enabled=False)
    plain = _observe(stage, _FEW)
    _settle(stage, upload_interval_s=1.0)
    idle, few = _observe(stage, 0), _observe(stage, _FEW)
    _settle(stage, upload_interval_s=5.0)
    resting, many = _observe(stage, 0), _observe(stage, _MANY)
    stage.client.drop_database(DATABASE)
    grown_bytes = many.archiver.peak_bytes - resting.archiver.peak_bytes
    return [
        table.bounded(
            "CPU of an idle agent, the archive's interval 1 s, of one core",
            measured=100 * max(each.share for each in idle.agents.values()),
            unit="%",
            bound=2,
        ),
        _cost("archiving 10 writes/s, interval 1 s: CPU, of one core", few, plain, bound=1),
        _cost(
            f"archiving {many.per_s:,.0f} writes/s, interval 5 s: CPU, of one core",
            many,
            plain,
            bound=15,
        ),
        table.bounded(
            "  memory of its agent, above the idle one",
            measured=grown_bytes / gauges.MIB,
            unit="MiB",
            bound=100,
            digits=0,
        ),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gauged:
    """One agent: CPU time as a share of one core, and the most memory that it held."""

    share: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Observed:
    """All agents by name; ``per_s`` are the writes that there were."""

    agents: Mapping[str, _Gauged]
    coordinator: str | None
    archiver_name: str | None
    per_s: float

    @property
    def archiver(self) -> _Gauged:
        """The agent that archives."""
        assert self.archiver_name is not None, "there is no archiver"
        return self.agents[self.archiver_name]

    def share_like(self, other: "_Observed") -> float:
        """Return the CPU time of an agent that is coordinator if the other's archiver is."""
        coordinates = other.archiver_name == other.coordinator
        return fmean(
            each.share
            for name, each in self.agents.items()
            if (name == self.coordinator) is coordinates
        )


def _settle(stage: Stage, **oplog: object) -> None:
    stage.start_agents(**oplog)
    if oplog.get("enabled", True):
        # What earlier parts have written is stored by then.
        Stored(stage, back_s=600).wait(write(stage), timeout_s=300)
    time.sleep(SETTLED_S)


def _observe(stage: Stage, per_s: int) -> _Observed:
    """Look on for a while; roles must not change meanwhile."""
    pids = {each.spec.node.address: each.pid for each in stage.agents.all}
    load = writing(stage, per_s, batch=max(1, per_s * _BATCH // _MANY)) if per_s else nullcontext()
    with load as pace:
        roles = stage.coordinator(), stage.archiver()
        for pid in pids.values():
            gauges.forget_peak(pid)
        before_s = {name: gauges.cpu_s(pid) for name, pid in pids.items()}
        began = time.monotonic()
        time.sleep(_OBSERVED_S)
        elapsed_s = time.monotonic() - began
        gauged = {
            name: _Gauged(
                share=(gauges.cpu_s(pid) - before_s[name]) / elapsed_s,
                peak_bytes=gauges.peak_bytes(pid),
            )
            for name, pid in pids.items()
        }
        written_per_s = pace.per_s if pace else 0.0
    assert roles == (stage.coordinator(), stage.archiver()), "roles changed; measure again"
    return _Observed(
        agents=gauged, coordinator=roles[0], archiver_name=roles[1], per_s=written_per_s
    )


def _cost(what: str, ours: _Observed, plain: _Observed, *, bound: float) -> Row:
    """Return a row whose bound is for the archive's part of its agent's CPU time."""
    without, whole = plain.share_like(ours), ours.archiver.share
    return Row(
        what=what,
        measured=f"{100 * (whole - without):.1f} % (agent {100 * whole:.1f} %)",
        baseline=f"{100 * without:.1f} %",
        bound=f"<= {bound:g} %",
        is_met=100 * (whole - without) <= bound,
    )
