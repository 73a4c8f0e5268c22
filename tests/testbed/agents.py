"""Real `backstay` processes, one beside each node, started as an operator starts them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

import yaml

from tests.testbed import secrecy
from tests.testbed.mongod import Node
from tests.testbed.process import Process, remove_directory, scratch_directory
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.s3 import REGION, S3Endpoint
from tests.testbed.stoppable import Stoppable
from tests.testbed.waiting import eventually

Settings = Mapping[str, Any]

COMMAND = Path(sys.executable).with_name("backstay")


@dataclass(frozen=True, slots=True, kw_only=True)
class CliResult:
    """What a verb of the command line left behind."""

    stdout: str
    stderr: str
    exit_status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """How to start an agent."""

    node: Node
    storage: Settings
    """The `storage` block; see `s3_storage` and `filesystem_storage`."""
    settings: Settings = field(default_factory=dict)
    """Laid over the configuration file, block by block; None removes a key."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beyond PATH and HOME, which is all that an agent gets: no keys of this machine's user."""
    program: Path = COMMAND
    """The `backstay` to run, such as one that was installed elsewhere."""


def s3_storage(server: S3Endpoint, bucket: str, prefix: str = "test", **extra: object) -> Settings:
    """Return a `storage` block for an S3 server of the testbed; `extra` goes into `s3`."""
    return {
        "label": "main",
        "type": "s3",
        "s3": {
            "region": REGION,
            "bucket": bucket,
            "prefix": prefix,
            "endpoint_url": server.endpoint_url,
            "force_path_style": True,
            "credentials": {
                "access_key_id": server.access_key_id,
                "secret_access_key": server.secret_access_key,
            },
            **extra,
        },
    }


def filesystem_storage(path: Path) -> Settings:
    """Return a `storage` block for a directory."""
    return {"label": "main", "type": "filesystem", "filesystem": {"path": str(path)}}


class Agent:
    """A `backstay run` process beside one node; it keeps its configuration when restarted."""

    def __init__(self, spec: AgentSpec) -> None:
        secrecy.keep_all(spec.storage)
        secrecy.keep_all(spec.settings)
        secrecy.keep_all(spec.environment)
        self.spec = spec
        self.directory = scratch_directory(f"agent-{spec.node.port}")
        self.config = self.directory / "config.yaml"
        self.config.write_text(yaml.safe_dump(_configuration(spec), sort_keys=False))
        self.config.chmod(0o600)
        self._process: Process | None = None

    @classmethod
    def start(cls, spec: AgentSpec) -> Self:
        """Write the configuration and start the agent; does not wait for it to report."""
        agent = cls(spec)
        agent.restart()
        return agent

    @property
    def pid(self) -> int:
        """The process id of the last run."""
        return self._last_run().pid

    @property
    def is_running(self) -> bool:
        """Whether the agent's process is there."""
        return self._process is not None and self._process.is_running

    def restart(self) -> None:
        """Start the agent again, after SIGTERM if it still runs."""
        if self.is_running:
            self.terminate()
        self._process = Process(
            [self.spec.program, "run", "--config", self.config],
            output=self.directory / "log",
            environment=_environment(self.spec, self.directory),
        )

    def kill(self) -> None:
        """End the agent by SIGKILL, and see that it wrote no secret. Idempotent."""
        if self._process is None:
            return
        secrecy.check(self._process.command_line(), "the process list")
        self._process.kill()
        secrecy.check(self.text(), "the log of an agent")

    def terminate(self, timeout_s: float = 30.0) -> int:
        """End the agent by SIGTERM and return its exit status.

        Raises: AssertionError when it did not end within `timeout_s`.
        """
        return self._last_run().terminate(timeout_s)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, such as SIGSTOP and SIGCONT for an agent that stalls."""
        self._last_run().signal(number)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait until the agent ends by itself and return its exit status."""
        return self._last_run().wait(timeout_s)

    def logs(self) -> list[dict[str, Any]]:
        """Return the structured log lines of all runs, oldest first."""
        return [line for line in map(_parsed, self.text().splitlines()) if line is not None]

    def text(self) -> str:
        """Return all that the agent ever wrote, tracebacks too."""
        path = self.directory / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def verb(self, *arguments: str, timeout_s: float = 60.0) -> CliResult:
        """Run another verb of the command line with this agent's configuration, to its end."""
        verb, *options = arguments
        done = subprocess.run(
            [self.spec.program, verb, "--config", self.config, *options],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=_environment(self.spec, self.directory),
        )
        secrecy.check(done.stdout + done.stderr, f"what backstay {verb} printed")
        return CliResult(stdout=done.stdout, stderr=done.stderr, exit_status=done.returncode)

    def _last_run(self) -> Process:
        assert self._process is not None, "the agent was never started"
        return self._process


class Agents(Stoppable):
    """One agent beside every node of a replica set."""

    def __init__(self, replica_set: ReplicaSet, agents: Sequence[Agent]) -> None:
        self._replica_set = replica_set
        self.all = tuple(agents)

    @classmethod
    def start(
        cls,
        replica_set: ReplicaSet,
        storage: Settings,
        *,
        settings: Settings | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Start an agent beside every node that holds data, and wait until each reports."""
        specs = [
            AgentSpec(
                node=node, storage=storage, settings=settings or {}, environment=environment or {}
            )
            for node in replica_set.data_nodes()
        ]
        agents = cls(replica_set, [Agent.start(spec) for spec in specs])
        try:
            agents.wait_until_reporting()
        except BaseException:
            agents.stop()
            raise
        return agents

    def beside(self, node: Node) -> Agent:
        """Return the agent of a node."""
        return next(agent for agent in self.all if agent.spec.node is node)

    def wait_until_reporting(self, timeout_s: float = 30.0, database: str = "backstay") -> None:
        """Wait until the running process of each agent stands in the status collection.

        Raises: AssertionError in time, or at once with its output when an agent has ended.
        """
        with self._replica_set.client() as client:
            status = client[database]["status"]

            def all_report() -> bool:
                for agent in self.all:
                    if not agent.is_running:
                        raise RuntimeError(f"an agent ended at its start: {agent.text()[-3000:]}")
                pids = {
                    document["_id"]: document.get("pid")
                    for document in status.find({"kind": "agent"})
                }
                return all(
                    pids.get(f"agent:{agent.spec.node.address}") == agent.pid for agent in self.all
                )

            eventually(all_report, timeout_s, message="every agent reports its status")

    def stop(self) -> None:
        """End all agents by SIGKILL and remove their files. Idempotent."""
        for agent in self.all:
            agent.kill()
            remove_directory(agent.directory)

    def last_words(self) -> Sequence[str]:
        """Return the end of each agent's log."""
        return [f"agent {each.spec.node.address}:\n{each.text()[-3000:]}" for each in self.all]


def _configuration(spec: AgentSpec) -> dict[str, Any]:
    plain: Settings = {
        "mongodb": {"uri": spec.node.uri},
        "storage": spec.storage,
        # The default port is one per host, and here several agents share a host.
        "metrics": {"listen": None},
    }
    return _merged(plain, spec.settings)


def _merged(under: Settings, over: Settings) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = _merged(merged[key], value)
        else:
            merged[key] = value
    return merged


def _environment(spec: AgentSpec, home: Path) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), **spec.environment}


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        value: object = json.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
