"""Replay of the archived oplog, beside one `applyOps` for each entry."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Final

from bson.timestamp import Timestamp
from pymongo import UpdateOne

from tests.bench import data, gauges
from tests.bench.stage import Baseline, Stage
from tests.bench.table import Row
from tests.bench.writes import Stored, write

SOURCE: Final = "bench_replay"
RESTORED: Final = "bench_replayed"
PLAIN: Final = "bench_applied"
COLLECTIONS: Final = ("accounts", "carts", "events", "sessions")

_BATCH: Final = 250
# Entries of one turn: of each collection a batch of inserts and one of updates.
_TURN: Final = 2 * _BATCH * len(COLLECTIONS)
_SAMPLE: Final = 4_000
_ENTRIES_PER_S: Final = 20_000
_TIMES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Applied:
    """What one run came to; CPU time is that of servers and clients together."""

    per_s: float
    cpu_ms_each: float


def replay(stage: Stage, entries: int, runs: int) -> list[Row]:
    """Measure restores whose backup is empty, so that all comes by replay of the archive.

    The rate has a bound where a node has the machine for itself: several on one machine share
    its cores, and each of them writes everything.
    """
    turns = max(1, entries // _TURN)
    entries = turns * _TURN
    for name in COLLECTIONS:
        stage.client[SOURCE].create_collection(name)
    stage.command("backup", namespaces=[f"{SOURCE}.*"])
    begin = write(stage)
    _fill(stage, turns)
    target = write(stage)
    Stored(stage, back_s=600).wait(target, timeout_s=300)
    ours, plain, unsafe = [], [], []
    for _ in range(runs):
        plain.append(_one_by_one(stage, begin, "majority"))
        unsafe.append(_one_by_one(stage, begin, 1))
        ours.append(_replayed(stage, target, entries))
    stage.client.drop_database(SOURCE)
    rate, nodes = _per_s(ours), len(stage.replica_set.nodes)
    where = "on one node" if nodes == 1 else f"on {nodes} nodes that share these cores"
    return [
        Row(
            what=f"replay of {entries:,} entries, {where}",
            measured=f"{rate:,.0f}/s",
            bound=f">= {_ENTRIES_PER_S:,}/s" if nodes == 1 else "",
            is_met=rate >= _ENTRIES_PER_S if nodes == 1 else None,
        ),
        _compared("  beside one applyOps for each", ours, plain, bound=_TIMES),
        _compared("  the same, acknowledged by the primary alone", ours, unsafe),
        _cpu("  CPU time of servers and clients for an entry", ours, plain),
    ]


def _fill(stage: Stage, turns: int) -> None:
    """Write to each collection a batch of inserts and one of updates, so many times."""

    def fill(name: str) -> None:
        collection = stage.client[SOURCE][name]
        chance, models = random.Random(name), data.templates(data.KINDS[0])
        for turn in range(turns):
            numbers = range(turn * _BATCH, (turn + 1) * _BATCH)
            collection.insert_many([
                {"_id": each, "number": each, **models[each % len(models)]} for each in numbers
            ])
            changed = [chance.randrange(numbers.stop) for _ in numbers]
            collection.bulk_write([
                UpdateOne(
                    {"_id": each},
                    {"$set": {"session": chance.randbytes(16)}, "$inc": {"number": 1}},
                )
                for each in changed
            ])

    with ThreadPoolExecutor(len(COLLECTIONS), thread_name_prefix="fill") as pool:
        for done in pool.map(fill, COLLECTIONS):
            assert done is None


def _replayed(stage: Stage, target: Timestamp, entries: int) -> _Applied:
    """Restore under another name; the rate is that of the replay alone."""
    pids = [*(agent.pid for agent in stage.agents.all), *stage.server_pids()]
    before_s = sum(gauges.cpu_s(pid) for pid in pids)
    done = stage.command(
        "restore",
        to=target,
        namespaces=[f"{SOURCE}.*"],
        rename=[{"from": f"{SOURCE}.*", "to": f"{RESTORED}.*"}],
    )
    cpu_s = sum(gauges.cpu_s(pid) for pid in pids) - before_s
    restored = sum(stage.client[RESTORED][name].count_documents({}) for name in COLLECTIONS)
    stage.client.drop_database(RESTORED)
    count = int(done.result["replayed_ops"])
    assert count == entries, f"{count} entries were replayed, of {entries}"
    assert restored == entries // 2, f"{restored} documents were restored, of {entries // 2}"
    return _Applied(per_s=count / _replay_s(stage), cpu_ms_each=1000 * cpu_s / count)


def _replay_s(stage: Stage) -> float:
    """Return how long the last replay took, as the log of the agent that made it tells."""
    times = []
    for agent in stage.agents.all:
        began: datetime | None = None
        for line in agent.logs():
            at = datetime.fromisoformat(line["time"])
            if line["event"] == "restore enters" and line["phase"] == "replaying":
                began = at
            elif line["event"] == "oplog replayed" and began is not None:
                times.append((at, (at - began).total_seconds()))
    assert times, "no agent tells of a replay"
    return max(times)[1]


def _one_by_one(stage: Stage, begin: Timestamp, w: str | int) -> _Applied:
    """Apply the first entries by plain pymongo, a command for each."""
    plan = {
        "uri": stage.replica_set.uri,
        "source": SOURCE,
        "target": PLAIN,
        "collections": COLLECTIONS,
        "after": begin,
        "count": _SAMPLE,
        "w": w,
    }
    applying = Baseline("apply", plan)
    applying.wait_until_ready()
    before_s = sum(gauges.cpu_s(pid) for pid in stage.server_pids())
    applying.begin()
    result = applying.result()
    cpu_s = sum(gauges.cpu_s(pid) for pid in stage.server_pids()) - before_s
    stage.client.drop_database(PLAIN)
    count = int(result["entries"])
    return _Applied(
        per_s=count / float(result["wall_s"]),
        cpu_ms_each=1000 * (cpu_s + float(result["cpu_s"])) / count,
    )


def _per_s(runs: Sequence[_Applied]) -> float:
    return median(each.per_s for each in runs)


def _compared(
    what: str, ours: Sequence[_Applied], plain: Sequence[_Applied], *, bound: float | None = None
) -> Row:
    ratio = _per_s(ours) / _per_s(plain)
    return Row(
        what=what,
        measured=f"{_per_s(ours):,.0f}/s",
        baseline=f"{_per_s(plain):,.0f}/s",
        ratio=f"{ratio:.1f}",
        bound="" if bound is None else f">= {bound:g} x",
        is_met=None if bound is None else ratio >= bound,
    )


def _cpu(what: str, ours: Sequence[_Applied], plain: Sequence[_Applied]) -> Row:
    measured = median(each.cpu_ms_each for each in ours)
    baseline = median(each.cpu_ms_each for each in plain)
    return Row(
        what=what,
        measured=f"{measured:.3f} ms",
        baseline=f"{baseline:.3f} ms",
        ratio=f"{measured / baseline:.2f}",
    )
