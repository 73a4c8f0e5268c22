"""What an operator waits for: many small collections, tiny backups, a new coordinator."""

import time
from typing import Final

from tests.bench import data, gauges, table
from tests.bench.stage import Stage
from tests.bench.table import Row
from tests.testbed.waiting import eventually

MANY: Final = "bench_many"
TINY: Final = "bench_tiny"
_IDLE_S: Final = 20.0
# What an agent does once, at its start, is over by then.
SETTLED_S: Final = 15.0
_TINY_RUNS: Final = 5


def many(stage: Stage, count: int, bound_s: float) -> list[Row]:
    """Measure the backup of a database of small collections; drops it at the end."""
    data.load_many(stage.client, MANY, count)
    done = stage.command("backup", namespaces=[f"{MANY}.*"])
    assert done.result["docs"] == 5 * count
    stage.client.drop_database(MANY)
    what = f"backup of {count:,} small collections"
    return [table.bounded(what, measured=done.wall_s, unit="s", bound=bound_s)]


def tiny(stage: Stage) -> list[Row]:
    """Measure backups of three documents; the worst counts."""
    stage.client[TINY]["notes"].insert_many([{"_id": each} for each in range(3)])
    ended = [
        stage.command("backup", poll_s=0.01, namespaces=[f"{TINY}.*"]) for _ in range(_TINY_RUNS)
    ]
    stage.client.drop_database(TINY)
    return [
        table.bounded(
            f"a command is picked up (worst of {_TINY_RUNS})",
            measured=max(each.picked_up_s for each in ended),
            unit="s",
            bound=2,
            digits=2,
        ),
        table.bounded(
            f"a tiny backup is done (worst of {_TINY_RUNS})",
            measured=max(each.wall_s for each in ended),
            unit="s",
            bound=3,
            digits=2,
        ),
    ]


def idle(stage: Stage) -> list[Row]:
    """Measure the CPU time of agents with nothing to do; the busiest counts."""
    time.sleep(SETTLED_S)
    pids = [agent.pid for agent in stage.agents.all]
    before = [gauges.cpu_s(pid) for pid in pids]
    began = time.monotonic()
    time.sleep(_IDLE_S)
    elapsed_s = time.monotonic() - began
    shares = [(gauges.cpu_s(pid) - was) / elapsed_s for pid, was in zip(pids, before, strict=True)]
    what = f"CPU of an idle agent, of one core, over {_IDLE_S:.0f} s"
    return [table.bounded(what, measured=100 * max(shares), unit="%", bound=2)]


def takeover(stage: Stage) -> list[Row]:
    """Measure from the SIGKILL of the coordinator until the status names another."""
    name = stage.coordinator()
    assert name is not None
    killed = stage.agent_named(name)
    killed.kill()
    began = time.monotonic()
    eventually(lambda: stage.coordinator() not in {None, name}, 60, message="another coordinates")
    elapsed_s = time.monotonic() - began
    killed.restart()
    stage.agents.wait_until_reporting()
    return [
        table.bounded("a killed coordinator is replaced", measured=elapsed_s, unit="s", bound=20)
    ]
