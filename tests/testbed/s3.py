"""Real S3 servers: SeaweedFS for function, JuiceFS's gateway for speed."""

import json
import secrets
import signal
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.testbed import programs, secrecy
from tests.testbed.loopback import HOST, free_port, wait_until_listening
from tests.testbed.process import (
    Process,
    inherited_environment,
    remove_directory,
    scratch_directory,
)
from tests.testbed.stoppable import Stoppable
from tests.testbed.waiting import eventually

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

REGION = "us-east-1"


class S3Endpoint(Protocol):
    """A running S3 server and its one identity."""

    endpoint_url: str
    access_key_id: str
    secret_access_key: str

    def client(self) -> "S3Client":
        """Open a client with the server's identity."""
        ...

    def create_bucket(self, name: str | None = None) -> str:
        """Create a bucket, by default under a new name, and return its name."""
        ...

    def stop(self) -> None:
        """End the server and remove its data. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Where one test may write on a server that others share."""

    server: S3Endpoint
    name: str
    prefix: str


class ServerProcess(Stoppable):
    """What all these servers share: an endpoint, an identity, a process and a directory."""

    program: ClassVar[str]

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint_url = f"http://{HOST}:{self.port}"
        self.access_key_id = "TESTBED" + secrets.token_hex(6).upper()
        self.secret_access_key = secrecy.keep(secrets.token_hex(20))
        self.directory = scratch_directory(self.program)
        self._process: Process | None = None

    @classmethod
    def start(cls) -> Self:
        """Start the server and wait until it answers S3 requests."""
        server = cls()
        try:
            server.start_again()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def is_running(self) -> bool:
        """Whether the server's process is there."""
        return self._process is not None and self._process.is_running

    @property
    def pid(self) -> int:
        """The process id of the last run."""
        assert self._process is not None
        return self._process.pid

    def client(self) -> "S3Client":
        """Open a client with the server's identity."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"mode": "standard", "max_attempts": 2},
            ),
        )

    def create_bucket(self, name: str | None = None) -> str:
        """Create a bucket, by default under a new name, and return its name."""
        bucket = name or f"testbed-{secrets.token_hex(5)}"
        client = self.client()
        client.create_bucket(Bucket=bucket)
        client.close()
        return bucket

    def start_again(self) -> None:
        """Start the server, or start it again on the same port and data. Idempotent."""
        if not self.is_running:
            self._process = self._launch()
            wait_until_listening(self.port)
            client = self.client()
            eventually(lambda: self._answers(client), timeout_s=60, message="the S3 server answers")
            client.close()

    def pause(self) -> None:
        """Freeze the process: connections are accepted and never answered."""
        assert self._process is not None
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on."""
        assert self._process is not None
        self._process.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the server by SIGKILL; its data stays. Idempotent."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """End the server and remove its data. Idempotent."""
        self.kill()
        remove_directory(self.directory)

    @abstractmethod
    def _launch(self) -> Process: ...

    def _answers(self, client: "S3Client") -> bool:
        assert self._process is not None
        if not self._process.is_running:
            raise RuntimeError(f"the S3 server ended: {self._process.tail()}")
        try:
            client.list_buckets()
        except (BotoCoreError, ClientError):
            return False
        return self._is_writable(client)

    def _is_writable(self, client: "S3Client") -> bool:
        """Whether an object can be stored: a server may list buckets before it has room for one."""
        bucket = "testbed-ready"
        try:
            client.create_bucket(Bucket=bucket)
        except client.exceptions.BucketAlreadyOwnedByYou:
            pass
        except (BotoCoreError, ClientError):
            return False
        try:
            client.put_object(Bucket=bucket, Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            return False
        return True


class S3Server(ServerProcess):
    """SeaweedFS: persistent, checks signatures and checksums, has versioning and encryption."""

    program = "weed"

    def __init__(self) -> None:
        """Choose ports and keys; `start` starts it."""
        super().__init__()
        # Each of the four servers inside weed has an http and a grpc port. They are chosen once, so
        # that a server which is started again finds its own data.
        self._ports = [free_port() for _ in range(7)]

    def _launch(self) -> Process:
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3_grpc = self._ports
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        command = [
            str(programs.weed().path),
            "server",
            f"-dir={data}",
            f"-ip={HOST}",
            f"-ip.bind={HOST}",
            f"-master.port={master}",
            f"-master.port.grpc={master_grpc}",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=1024",
            f"-volume.port={volume}",
            f"-volume.port.grpc={volume_grpc}",
            "-volume.max=1000",
            "-filer",
            f"-filer.port={filer}",
            f"-filer.port.grpc={filer_grpc}",
            "-s3",
            f"-s3.port={self.port}",
            f"-s3.port.grpc={s3_grpc}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.autoCreateBucket=false",
            "-s3.domainName=s3.localhost",
            f"-s3.config={self._identities()}",
            *self._more_options(),
        ]
        key = self.directory / "sse-key"
        if not key.exists():
            key.write_text(secrets.token_hex(32))
        return Process(
            command,
            output=self.directory / "weed.out",
            environment=inherited_environment({"WEED_S3_SSE_KEY": key.read_text()}),
        )

    def _more_options(self) -> list[str]:
        """Return what else is on the command line."""
        return []

    def _identities(self) -> Path:
        path = self.directory / "identities.json"
        keys = {"accessKey": self.access_key_id, "secretKey": self.secret_access_key}
        admin = {"name": "testbed", "credentials": [keys], "actions": ["Admin"]}
        path.write_text(json.dumps({"identities": [admin]}))
        return path


class FastS3Server(ServerProcess):
    """JuiceFS's gateway: five times quicker; no encryption, no versioning, no checksums."""

    program = "juicefs"

    def _launch(self) -> Process:
        juicefs = programs.juicefs().path
        output = self.directory / "juicefs.out"
        metadata = f"sqlite3://{self.directory / 'meta.db'}"
        if not (self.directory / "meta.db").exists():
            blocks = f"{self.directory / 'blocks'}/"
            form: list[str | Path] = [juicefs, "format", "--storage", "file", "--bucket", blocks]
            formatting = Process([*form, "--trash-days", "0", metadata, "testbed"], output=output)
            status = formatting.wait(timeout_s=30)
            assert status == 0, formatting.tail()
        identity = {
            "MINIO_ROOT_USER": self.access_key_id,
            "MINIO_ROOT_PASSWORD": self.secret_access_key,
        }
        quiet = ["--no-usage-report", "--no-banner", "--backup-meta", "0"]
        behaviour = ["--multi-buckets", "--keep-etag"]
        return Process(
            [juicefs, "gateway", *quiet, *behaviour, metadata, f"{HOST}:{self.port}"],
            output=output,
            environment=inherited_environment(identity),
        )
