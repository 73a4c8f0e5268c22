"""One campaign: faults for some time, then calm, then the judgement."""

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import click
from pymongo.database import Database

from tests.campaign import judgement
from tests.campaign.faults import Faults, drive
from tests.campaign.history import history
from tests.campaign.judgement import Judge
from tests.campaign.lined_set import LinedReplicaSet, lined
from tests.campaign.plan import NODES, WITNESS, Act, has_small_oplogs, plan
from tests.campaign.skew import environment
from tests.campaign.storage_line import StorageLine, storage_line
from tests.campaign.waiting import watched
from tests.campaign.writes import begin_data, writing
from tests.system.protected import Protected, protected
from tests.system.second_replay import note
from tests.system.storages import BucketStorage
from tests.testbed.agents import Agent
from tests.testbed.clients import Document, open_client
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import Bucket, FastS3Server
from tests.testbed.waiting import eventually

_SETTINGS: Document = {"oplog": {"upload_interval_s": 1}}
_SCHEDULES: list[Document] = [
    {
        "_id": "minutely",
        "cron": "* * * * *",
        "command": {"command": "backup"},
        "retention": {"keep_last": 8},
    },
    {"_id": "pruning", "cron": "* * * * *", "command": {"command": "prune"}},
]
_LOG_BYTES = 12_000
_LARGE_OPLOG_MB, _SMALL_OPLOG_MB = 990, 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What happens, and for how long."""

    acts: tuple[Act, ...]
    length_s: float


@dataclass(slots=True)
class Campaign:
    """What happened in one campaign, and which promises were broken."""

    seed: int
    told: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Fail with everything that is known, if anything was wrong. Raises: AssertionError."""
        lines = [f"seed {self.seed}:", *self.told, "broken promises:", *self.wrong]
        assert [] == self.wrong, "\n".join(lines)

    def judge(self, name: str, found: Callable[[], list[str]]) -> None:
        """Add what a check found, and what kept it from looking."""
        began = time.monotonic()
        try:
            self.wrong += [f"{name}: {each}" for each in found()]
        except AssertionError as error:
            self.wrong.append(f"{name}: {str(error)[:3000]}")
        self.told.append(f"         {name}: looked at in {time.monotonic() - began:.1f} s")


def campaign(
    seed: int, length_s: float, *, backups: int = 3, instants: int = 2, stale_lists: bool = False
) -> Campaign:
    """Let faults happen for some time, and return what came of it.

    So many of the backups that are left, and of the times that are recoverable, are restored.
    """
    found = Campaign(seed)
    plan_ = Plan(acts=plan(seed, length_s, stale_lists=stale_lists), length_s=length_s)
    try:
        _campaign(found, plan_, backups, instants)
    except BaseException as error:
        error.add_note("\n".join([f"seed {seed}:", *found.told, *found.wrong]))
        raise
    return found


def _campaign(found: Campaign, plan_: Plan, backups: int, instants: int) -> None:
    rng = random.Random(f"{found.seed} judgement")
    with (
        FastS3Server.start() as server,
        storage_line(server, found.seed) as line,
        lined(_spec(found.seed)) as replica_set,
    ):
        bucket = Bucket(server=server, name=server.create_bucket(), prefix=secrets.token_hex(4))
        judge = _judge_of(replica_set)
        with (
            closing(BucketStorage(bucket, checksums="when_required")) as storage,
            protected(replica_set, _through(storage, line), _SETTINGS, environment()) as cluster,
        ):
            _live(found, cluster, Faults(cluster, replica_set, line, found.told), plan_)
            found.told.append(f"         storage: {dict(line.struck)}")
            found.judge("calm", lambda: _calm(cluster, line))
            _judge_cluster(found, cluster, judge)
            times = judgement.instants(cluster, judge, rng, instants)
            kept = sorted(each["_id"]["id"] for each in cluster.control["backups"].find())
        chosen = rng.sample(kept, min(backups, len(kept)))
        orders: list[Document] = [{"backup": each} for each in chosen]
        orders += [{"to": each} for each in times]
        # The server behind the line has no `If-None-Match`.
        options = {"checksums": "when_required", "conditional_puts": False}
        with closing(BucketStorage(bucket, **options)) as storage:
            _judge_restores(found, storage, judge, orders)


def _spec(seed: int) -> ReplicaSetSpec:
    sizes = [_SMALL_OPLOG_MB if has_small_oplogs(seed) else _LARGE_OPLOG_MB] * NODES
    sizes[WITNESS] = _LARGE_OPLOG_MB
    return ReplicaSetSpec(oplog_sizes_mb=sizes, checkpoint_s=1)


def _judge_of(replica_set: LinedReplicaSet) -> Judge:
    return Judge(
        client=replica_set.client(),
        witness=open_client(replica_set.lined[WITNESS].inner_uri, selection_timeout_ms=15_000),
        begin=note(replica_set.client()),
    )


def _through(storage: BucketStorage, line: StorageLine) -> BucketStorage:
    """Let agents reach a storage by a line; the tests go on to reach it directly."""
    s3 = {**storage.settings["s3"], "endpoint_url": line.endpoint_url}
    storage.settings = {**storage.settings, "s3": s3}
    return storage


def _judge_cluster(found: Campaign, cluster: Protected, judge: Judge) -> None:
    found.judge("history", lambda: _history(found, cluster.control, judge))
    found.judge("logs", lambda: judgement.said_of_mistakes(cluster.agents.all))
    found.judge("list", lambda: _listed(found, cluster))
    found.judge("judge", judge.itself)
    found.judge("copies", lambda: judge.copies(cluster))
    if found.wrong:
        status = list(cluster.control["status"].find())
        found.told.append(f"status: {status}\nleases: {list(cluster.control['leases'].find())}")
        found.told += [
            f"log of {each.directory.name}:\n{_end(each)}" for each in cluster.agents.all
        ]


def _live(found: Campaign, cluster: Protected, faults: Faults, plan_: Plan) -> None:
    """Write, and do what the plan says; then put everything right, and write no more."""
    begin_data(cluster.client)
    cluster.control["schedules"].insert_many(_SCHEDULES)
    cluster.done("backup")
    before = [judgement.use_of(each) for each in cluster.agents.all]
    with closing(faults):
        with (
            watched(cluster.replica_set.client()) as waiting,
            writing(cluster.replica_set.uri, found.seed),
        ):
            drive(faults, plan_.acts, plan_.length_s)
            faults.calm()
        found.wrong += [*faults.wrong, *waiting.wrong.values()]
        eventually(lambda: _all_report(cluster, faults), 90, 0.5, "every agent reports")
        found.judge("commands", lambda: judgement.commands_ended(cluster))
    found.judge("growth", lambda: judgement.growth(before, cluster.agents.all))


def _all_report(cluster: Protected, faults: Faults) -> bool:
    faults.revive()
    told = {each["_id"]: each for each in cluster.control["status"].find({"kind": "agent"})}
    return all(
        told.get(f"agent:{each.spec.node.address}", {}).get("pid") == each.pid
        for each in cluster.agents.all
    )


def _calm(cluster: Protected, line: StorageLine) -> list[str]:
    """A backup succeeds, and a prune a day later removes what jobs have left."""
    wrong = []
    command = cluster.run("backup")
    if command["state"] != "done":
        wrong.append(f"a backup of calm times: {command}")
    line.is_long_ago = True
    command = cluster.run("prune")
    line.is_long_ago = False
    if command["state"] != "done":
        wrong.append(f"a prune of calm times: {command}")
    wrong += [f"left after a day: {key}" for key in judgement.orphans(cluster)]
    return [*wrong, *judgement.commands_ended(cluster), *_archived(cluster)]


def _archived(cluster: Protected) -> list[str]:
    """The archive has come up with the present."""
    last = note(cluster.client)

    def is_archived() -> bool:
        status = cluster.control["status"].find_one({"_id": "cluster"}) or {}
        archived = (status.get("oplog") or {}).get("archived_to")
        # A note alone is not worth a segment for a minute.
        cluster.client["marks"]["marks"].insert_one({})
        return archived is not None and archived >= last

    eventually(is_archived, 60, 0.5, "the archive goes on")
    return []


def _end(agent: Agent) -> str:
    return agent.text()[-_LOG_BYTES:]


def _listed(found: Campaign, cluster: Protected) -> list[str]:
    return judgement.listed_and_bounded(cluster, may_have_gaps=has_small_oplogs(found.seed))


def _history(found: Campaign, control: Database[Document], judge: Judge) -> list[str]:
    seen = history(judge.oplog)
    found.told.append(f"         {seen.told()}")
    found.told += [f"         late: {each}" for each in seen.late]
    ends: Counter[str] = Counter()
    for each in control["commands"].find():
        code = (each.get("error") or {}).get("code", "")
        ends[f"{each['command']} {each.get('state')} {code}".rstrip()] += 1
    found.told += [f"         {count} x {end}" for end, count in sorted(ends.items())]
    told = Counter(each["code"] for each in control["events"].find())
    found.told.append(f"         events: {dict(sorted(told.items()))}")
    status = control["status"].find_one({"_id": "cluster"}) or {}
    problems = [(each["code"], each["message"]) for each in status["problems"]]
    found.told.append(f"         problems: {problems}")
    return seen.wrong


def _judge_restores(
    found: Campaign, storage: BucketStorage, judge: Judge, orders: list[Document]
) -> None:
    with (
        ReplicaSet.start(ReplicaSetSpec(nodes=1)) as set_,
        protected(set_, storage, _SETTINGS) as fresh,
    ):
        for options in orders:
            found.judge(f"restore {options}", partial(judge.restored, fresh, **options))
        found.judge("logs of restores", lambda: judgement.said_of_mistakes(fresh.agents.all))


def tell(found: Campaign) -> None:
    """Print what happened."""
    click.echo("\n".join([f"seed {found.seed}:", *found.told, *found.wrong]))
