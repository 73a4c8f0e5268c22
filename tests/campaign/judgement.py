"""What must hold when everything is calm again: of the cluster, and of what its storage holds."""

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil
from bson.timestamp import Timestamp
from pymongo.collection import Collection

from tests.system.ddl import DATABASES
from tests.system.protected import Protected
from tests.system.second_replay import Picture, live_picture, replayed_picture
from tests.testbed.agents import Agent
from tests.testbed.clients import Client, Document
from tests.testbed.waiting import eventually

WRITTEN = ("shop", *DATABASES)
"""The databases of the writers."""

_CALM_S = 180.0
# The client of the storage keeps as many connections as were in use at once: four for tasks, and
# for each of a few jobs. The client that loads, opened by the first restore, watches each of three
# nodes by two. The rest is in use at the moment, by chance.
_MORE_FILES = 30
# Connections to MongoDB that nobody uses end after a minute.
_IDLE_S = 100.0
_MORE_BYTES = 150 * 2**20
_INTERNAL = ("Traceback (most recent call last)", '"internal_error"', "job died")
_MOST_EVENTS_BYTES = 20 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a process uses."""

    files: int
    resident_bytes: int


def use_of(agent: Agent) -> Use:
    """Look at an agent that runs."""
    process = psutil.Process(agent.pid)
    return Use(files=process.num_fds(), resident_bytes=process.memory_info().rss)


def growth(before: Sequence[Use], agents: Sequence[Agent]) -> list[str]:
    """Return what has grown more than work explains, when idle connections have had their time."""
    wrong: list[str] = []

    def is_flat() -> bool:
        wrong[:] = _grown(before, [use_of(each) for each in agents])
        return not wrong

    with suppress(AssertionError):
        eventually(is_flat, _IDLE_S, 1, "nothing has grown")
    return wrong


def _grown(before: Sequence[Use], after: Sequence[Use]) -> list[str]:
    wrong = []
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if new.files > old.files + _MORE_FILES:
            wrong.append(f"agent {number} had {old.files} open files, and has {new.files}")
        if new.resident_bytes > old.resident_bytes + _MORE_BYTES:
            wrong.append(f"agent {number} grew from {old} to {new}")
    return wrong


def commands_ended(cluster: Protected) -> list[str]:
    """Wait until every command has ended; return those that have not, and what is left of jobs."""
    left: Document = {"state": {"$nin": ["done", "failed", "canceled", "rejected", "expired"]}}

    def ended() -> bool:
        open_ = list(cluster.control["commands"].find(left))
        assert [] == open_
        return True

    wrong = []
    try:
        eventually(ended, _CALM_S, 0.2, "every command ends")
        cluster.check_clean()
    except AssertionError as error:
        wrong.append(str(error)[:2000])
    return wrong


def said_of_mistakes(agents: Sequence[Agent]) -> list[str]:
    """Return lines of logs that no fault outside explains."""
    return [
        f"agent {number}: {line[:1500]}"
        for number, agent in enumerate(agents)
        for line in agent.text().splitlines()
        if any(sign in line for sign in _INTERNAL)
    ]


def listed_and_bounded(cluster: Protected, *, may_have_gaps: bool) -> list[str]:
    """Return backups that are offered and are none, and control collections without a bound."""
    wrong = []
    manifests = {
        key.split("/")[-2] for key in cluster.storage.list() if key.endswith("manifest.json")
    }
    listed = {each["_id"]["id"] for each in cluster.control["backups"].find()}
    if listed - manifests:
        wrong.append(f"listed without a manifest: {listed - manifests}")
    if manifests - listed:
        wrong.append(f"a manifest that is not listed: {manifests - listed}")
    gaps = [each["message"] for each in cluster.control["events"].find({"code": "oplog_gap"})]
    if not may_have_gaps:
        wrong += [f"a gap, though the oplog was never full: {each}" for each in gaps]
    events = cluster.control.command("collStats", "events")
    if not events["capped"] or events["size"] > _MOST_EVENTS_BYTES:
        wrong.append(f"events are not bounded: {events['size']} bytes")
    return wrong


def orphans(cluster: Protected) -> list[str]:
    """Return objects of backups that no manifest names."""
    keys = [key for key in cluster.storage.list() if "/backups/" in key]
    manifests = [key for key in keys if key.endswith("manifest.json")]
    named = "".join(cluster.storage.read(key).decode() for key in manifests)
    others = [key for key in keys if key not in manifests and "/verified/" not in key]
    return [key for key in others if key not in named]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Knows by a second reading of the oplog what there was at any time since the begin."""

    client: Client
    witness: Client
    """Of the node whose oplog has everything."""
    begin: Timestamp

    def picture(self, at: Timestamp) -> Picture:
        """Return what the writers' databases held at a time."""
        newer: Document = {"ts": {"$gte": at}}
        eventually(lambda: self.oplog.find_one(newer), 30, 0.1, "the witness has seen it")
        return replayed_picture(self.witness, WRITTEN, self.begin, at)

    @property
    def oplog(self) -> Collection[Document]:
        """Everything that was written."""
        return self.witness["local"]["oplog.rs"]

    def itself(self) -> list[str]:
        """Return what is wrong in the judge's own reading: nothing, when nobody writes."""
        at = self.client.admin.command("hello")["operationTime"]
        wrong = self.picture(at).differences(live_picture(self.client, WRITTEN))
        return [f"the judge is wrong: {each}" for each in wrong]

    def copies(self, cluster: Protected) -> list[str]:
        """Compare each copy that a restore made beside the data with what there was.

        The last restore that is done counts: one that failed after it has changed nothing.
        """
        done: Document = {"command": "restore", "state": "done"}
        times: dict[str, Timestamp] = {}
        for command in cluster.control["commands"].find(done).sort("finished_at", 1):
            (rename,) = command["rename"]
            times[rename["to"].removesuffix(".*")] = command["result"]["restored_to"]
        there = [each for each in self.client.list_database_names() if each.startswith("copy_")]
        wrong = [f"{name} is there, and no restore into it is done" for name in {*there} - {*times}]
        for name, at in times.items():
            expected = _of_database(self.picture(at), "shop", name)
            found = expected.differences(
                _of_database(live_picture(self.client, [name]), name, name)
            )
            wrong += [f"{name}, restored to {at}: {each[:600]}" for each in found]
        return wrong

    def restored(self, fresh: Protected, **options: object) -> list[str]:
        """Restore into a set of its own, and compare with what there was."""
        command = fresh.end_of(fresh.order("restore", overwrite=True, **options), 180)
        if command["state"] != "done":
            return [f"restore {options}: {command}"]
        at = command["result"]["restored_to"]
        found = self.picture(at).differences(live_picture(fresh.client, WRITTEN))
        return [f"restore {options}, to {at}: {each[:600]}" for each in found]


def instants(cluster: Protected, judge: Judge, rng: random.Random, count: int) -> list[Timestamp]:
    """Choose among the times of writes that the status calls recoverable."""
    status = cluster.control["status"].find_one({"_id": "cluster"}) or {}
    ranges = [(each["from"], each["to"]) for each in status["recoverable"]]
    times: list[Timestamp] = []
    for low, high in ranges:
        query: Document = {"ts": {"$gt": _stamp(low), "$lte": _stamp(high)}}
        query |= {"ns": {"$regex": "^(shop|ddl_)"}}
        times += [each["ts"] for each in judge.oplog.find(query, {"ts": True}).sort("$natural", 1)]
    return sorted(rng.sample(times, min(count, len(times))))


def _stamp(value: object) -> Timestamp:
    assert isinstance(value, Timestamp), value
    return value


def _of_database(picture: Picture, database: str, name: str) -> Picture:
    """Return the part of one database, under another name, without the definitions of views.

    They hold names, and are of time series here: what these hold shows whether they are there.
    """

    def moved(namespace: str) -> str | None:
        own, _, rest = namespace.partition(".")
        return f"{name}.{rest}" if own == database and rest != "system.views" else None

    return Picture(
        documents={new: each for old, each in picture.documents.items() if (new := moved(old))},
        options={new: each for old, each in picture.options.items() if (new := moved(old))},
        indexes={new: each for old, each in picture.indexes.items() if (new := moved(old))},
    )
