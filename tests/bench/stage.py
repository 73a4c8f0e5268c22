"""The stage of one bench run: a replica set, an S3 server, an agent beside each node."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final, Self

from bson import json_util

from agent.model.leases import ARCHIVER
from tests.testbed.agents import Agent, Agents, s3_storage
from tests.testbed.clients import Client, Document, closing_clients
from tests.testbed.programs import REPOSITORY
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec
from tests.testbed.s3 import FastS3Server
from tests.testbed.waiting import eventually

CONTROL: Final = "backstay"
PREFIX: Final = "bench"
# Longer than any measured command on a machine that does other work too.
_PATIENCE_S: Final = 900.0
_ENDS: Final = frozenset({"done", "failed", "canceled", "rejected", "expired"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that is done: seconds from its insert, as its inserter saw them, and its result."""

    picked_up_s: float
    wall_s: float
    result: Mapping[str, Any]


class Stage:
    """Real servers and real agents; ``client`` is one of the whole set."""

    def __init__(self, replica_set: ReplicaSet, server: FastS3Server, workers: int) -> None:
        self.replica_set = replica_set
        self.server = server
        self.workers = workers
        self.client: Client = replica_set.client()
        self.bucket = server.create_bucket()
        self._storage = s3_storage(
            server,
            self.bucket,
            PREFIX,
            # Conditions are sent, as to S3 itself, though this server passes over them: looking
            # for each object first would be a second request.
            checksums="when_required",
        )
        self._agents: Agents | None = None

    @property
    def agents(self) -> Agents:
        """The running agents."""
        assert self._agents is not None, "the agents were not started"
        return self._agents

    def start_agents(self, **oplog: object) -> Self:
        """Start an agent beside each node, with these settings of the archive.

        Those of an earlier start are ended first, in peace, so that they leave no lease behind.
        """
        if self._agents is not None:
            for agent in self._agents.all:
                agent.terminate(timeout_s=60)
            self.stop()
        # It names a coordinator that is no more.
        self.client[CONTROL]["status"].delete_one({"_id": "cluster"})
        self._agents = Agents.start(
            self.replica_set,
            self._storage,
            settings={"backup": {"workers": self.workers}, "oplog": oplog},
        )
        eventually(self.coordinator, 30, message="there is a coordinator")
        if oplog.get("enabled", True):
            eventually(self.archiver, 30, message="there is an archiver")
        return self

    def stop(self) -> None:
        """End the agents. Idempotent."""
        if self._agents is not None:
            self._agents.stop()
            self._agents = None

    def server_pids(self) -> list[int]:
        """Return the processes of every node, and of the S3 server."""
        return [*(node.pid for node in self.replica_set.nodes), self.server.pid]

    def coordinator(self) -> str | None:
        """Return the name of the coordinator, as the status tells it."""
        status = self.client[CONTROL]["status"].find_one({"_id": "cluster"}) or {}
        name = status.get("coordinator")
        return str(name) if name else None

    def archiver(self) -> str | None:
        """Return the name of the agent that archives, as its lease tells it."""
        lease = self.client[CONTROL]["leases"].find_one({"_id": ARCHIVER}) or {}
        name = lease.get("holder")
        return str(name) if name else None

    def agent_named(self, name: str) -> Agent:
        """Return the agent beside the node with this address."""
        return next(each for each in self.agents.all if each.spec.node.address == name)

    def command(self, command: str, *, poll_s: float = 0.05, **options: object) -> Ended:
        """Insert a command, wait for its end, and return how long that took.

        Raises: AssertionError if it does not end ``done``, or not at all.
        """
        commands = self.client[CONTROL]["commands"]
        began = time.monotonic()
        key = commands.insert_one({"command": command, **options}).inserted_id
        picked_up_s = 0.0
        while True:
            seen: Document = commands.find_one({"_id": key}) or {}
            elapsed_s = time.monotonic() - began
            if "state" in seen and not picked_up_s:
                picked_up_s = elapsed_s
            if seen.get("state") in _ENDS:
                break
            assert elapsed_s < _PATIENCE_S, f"{command} is {seen.get('state')} for too long"
            time.sleep(poll_s)
        assert seen["state"] == "done", f"{command} ended {seen['state']}: {seen.get('error')}"
        return Ended(picked_up_s=picked_up_s, wall_s=elapsed_s, result=seen["result"])


@contextmanager
def stage(*, workers: int, nodes: int = 3) -> Iterator[Stage]:
    """Start everything but the agents; end and remove all at the end."""
    spec = ReplicaSetSpec(nodes=nodes, oplog_size_mb=6000, cache_gb=1.0)
    with (
        ReplicaSet.start(spec) as replica_set,
        FastS3Server.start() as server,
        closing_clients(),
    ):
        made = Stage(replica_set, server, workers)
        try:
            yield made
        finally:
            made.stop()


class Baseline:
    """One process of `tests.bench.baseline`, prepared and waiting for its start."""

    def __init__(self, work: str, plan: Mapping[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.baseline", work],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._tell(json_util.dumps(plan))

    def wait_until_ready(self) -> None:
        """Wait until nothing but the measured work is left."""
        line = _pipe(self._process.stdout).readline()
        assert line.strip() == "ready", "a baseline process ended early; see its traceback"

    def begin(self) -> None:
        """Let it work."""
        self._tell("go")

    def result(self) -> Document:
        """Wait for the end and return what it measured."""
        line = _pipe(self._process.stdout).readline()
        self._process.communicate()
        assert self._process.returncode == 0, "a baseline process failed; see its traceback"
        found: Document = json.loads(line)
        return found

    def _tell(self, line: str) -> None:
        pipe = _pipe(self._process.stdin)
        pipe.write(line + "\n")
        pipe.flush()


def _pipe(pipe: "IO[str] | None") -> "IO[str]":
    assert pipe is not None
    return pipe
