"""One real mongod on a free loopback port."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.testbed import programs, secrecy
from tests.testbed.clients import Client, Document, open_client
from tests.testbed.loopback import HOST, free_port
from tests.testbed.process import (
    Process,
    inherited_environment,
    remove_directory,
    scratch_directory,
)
from tests.testbed.waiting import eventually

USER = "root"
PASSWORD = secrecy.keep("testbed-root-secret")

TLS_FILES = Path(__file__).with_name("tls")

_QUICK_PARAMETERS: Mapping[str, str | int] = {
    # dbHash at a cluster time, and configureFailPoint.
    "enableTestCommands": 1,
    "diagnosticDataCollectionEnabled": "false",
    # SIGTERM ends a primary at once, without waiting for a secondary to catch up.
    "shutdownTimeoutMillisForSignaledShutdown": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """How to start a mongod."""

    version: programs.MongodVersion = "6.0"
    oplog_size_mb: int = 64
    checkpoint_s: int = 60
    """Seconds between checkpoints: an oplog does not roll over what is in none yet."""
    cache_gb: float = 0.25
    parameters: Mapping[str, str | int] = field(default_factory=dict)
    """Further `--setParameter` values; they win over the testbed's own."""
    key_file: Path | None = None
    """Turns authentication on."""
    certificate: Path | None = None
    """PEM file with certificate and key, see `tests/testbed/tls`: TLS alone is spoken."""
    replica_set: str | None = None
    """Name of the replica set; None starts a standalone mongod."""


class Node:
    """A mongod with its own data directory; it keeps port and data when it is started again."""

    def __init__(self, spec: NodeSpec) -> None:
        self.spec = spec
        self.host = HOST
        self.port = free_port()
        self.certificate = spec.certificate
        """Which the next start takes."""
        self.directory = scratch_directory(f"mongod-{self.port}")
        self._process: Process | None = None
        self._clients: list[Client] = []

    @property
    def address(self) -> str:
        """`host:port`, as the replica set knows the node."""
        return f"{self.host}:{self.port}"

    @property
    def uri(self) -> str:
        """A direct connection to this node alone, with credentials when authentication is on."""
        if self.spec.key_file is None:
            return self.uri_without_user
        login = f"{USER}:{PASSWORD}@"
        return self.uri_without_user.replace("//", f"//{login}", 1) + "&authSource=admin"

    @property
    def uri_without_user(self) -> str:
        """A direct connection that is nobody's; over TLS, whatever the certificate."""
        trusting = "" if self.spec.certificate is None else "&tls=true&tlsInsecure=true"
        return f"mongodb://{self.address}/?directConnection=true{trusting}"

    @property
    def pid(self) -> int:
        """The process id of the running mongod."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the mongod is there, paused or not."""
        return self._process is not None and self._process.is_running

    def client(self) -> Client:
        """Open a direct client; it is closed when the test ends, or before the node is removed."""
        client = open_client(self.uri, selection_timeout_ms=10_000)
        self._clients.append(client)
        return client

    def start(self, *, wait: bool = True) -> None:
        """Start the mongod on its data; `wait` until it answers. Idempotent."""
        if not self.is_running:
            program = programs.mongod(self.spec.version)
            self._process = Process(
                [program.path, *self._arguments()],
                output=self.directory / "mongod.out",
                environment=inherited_environment(program.environment),
            )
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until the mongod answers a ping.

        Raises: AssertionError with the end of its log, when it ended or did not answer in time.
        """
        eventually(self._answers, timeout_s, 0.05, f"mongod {self.address} answers")

    def stop(self) -> None:
        """End the mongod by SIGTERM, cleanly; its data stays. Idempotent."""
        if self.is_running:
            self.resume()
            self._running().terminate()

    def kill(self) -> None:
        """End the mongod by SIGKILL; its data stays. Idempotent."""
        if self.is_running:
            self._running().kill()

    def pause(self) -> None:
        """Freeze the process, as a partition or a stalled host would."""
        self._running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        self._running().signal(signal.SIGCONT)

    def remove(self) -> None:
        """Close the clients, kill the mongod and remove its data. Idempotent.

        In this order, because a client says good-bye, and waits long for one who is gone.
        """
        for client in self._clients:
            client.close()
        self._clients.clear()
        self.kill()
        remove_directory(self.directory)

    def _running(self) -> Process:
        assert self._process is not None, f"mongod {self.address} was never started"
        return self._process

    def _answers(self) -> bool:
        assert self._process is not None
        if not self._process.is_running:
            raise RuntimeError(f"mongod {self.address} ended: {self._process.tail()}")
        with MongoClient[Document](self.uri_without_user, serverSelectionTimeoutMS=1000) as client:
            try:
                client.admin.command("hello")
            except PyMongoError:
                return False
        return True

    def _arguments(self) -> list[str]:
        spec = self.spec
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        arguments = ["--bind_ip", self.host, "--port", str(self.port), "--nounixsocket"]
        arguments += ["--dbpath", str(data), "--wiredTigerCacheSizeGB", str(spec.cache_gb)]
        arguments += ["--wiredTigerEngineConfigString", "log=(file_max=10MB,prealloc=false)"]
        for name, value in {**_QUICK_PARAMETERS, **spec.parameters}.items():
            arguments += ["--setParameter", f"{name}={value}"]
        if spec.replica_set is not None:
            arguments += ["--replSet", spec.replica_set, "--oplogSize", str(spec.oplog_size_mb)]
            arguments += ["--syncdelay", str(spec.checkpoint_s)]
        if self.certificate is not None:
            arguments += ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile"]
            arguments += [str(self.certificate), "--tlsCAFile", str(TLS_FILES / "authority.pem")]
            # Members of one set, with whatever certificates; and users who have a password.
            arguments += ["--tlsAllowInvalidHostnames", "--tlsAllowConnectionsWithoutCertificates"]
        if spec.key_file is not None:
            arguments += ["--auth", "--keyFile", str(spec.key_file)]
        return arguments
