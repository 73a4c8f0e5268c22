"""The command line over a fake replica set, and what its documents look like."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from agent.cli.app import backstay
from agent.cli.console import Program
from agent.core.errors import AgentError
from agent.core.flow import Stop
from agent.model.backups import BackupEntry
from agent.model.cluster_time import ClusterTime
from agent.model.status import AgentStatus, StorageStatus
from agent.settings import Settings
from tests.fakes.console import NOW, FakeConsole

SETTINGS = Settings.model_validate({
    "mongodb": {"uri": "mongodb://root:a-secret@127.0.0.1:27017/"},
    "storage": {
        "label": "main",
        "type": "s3",
        "s3": {"bucket": "acme-backups", "region": "eu-west-1"},
    },
})


class SteppingClock:
    """Each look at the clock is a tenth of a second after the one before."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._passed_s = 0.0

    def monotonic(self) -> float:
        """Return the next tenth."""
        self._passed_s += 0.1
        return self._passed_s

    def now(self) -> Any:
        """Return a moment near the fake server's."""
        return NOW + timedelta(seconds=self._passed_s)


@dataclass
class Terminal:
    """Runs verbs of the command line against `console`."""

    console: FakeConsole = field(default_factory=FakeConsole)
    load_error: AgentError | None = None
    open_error: AgentError | None = None
    run_agent: Callable[[Settings, Stop], None] = lambda _settings, _stop: None
    settings: Settings = SETTINGS
    loaded: list[Path] = field(default_factory=list)
    found_here: Mapping[str, object] = field(default_factory=dict)

    def __call__(self, *arguments: str) -> Result:
        """Run one verb to its end."""
        return CliRunner().invoke(backstay, list(arguments), obj=self._program())

    def json(self, *arguments: str) -> Any:
        """Run a verb with `--json` and return the document that it printed."""
        return json.loads(self(*arguments, "--json").stdout)

    def ends(self, *changes: Mapping[str, object]) -> None:
        """Say how the next command's document changes, look by look."""
        self.console.documents.script = list(changes)

    def _load(self, path: Path) -> Settings:
        self.loaded.append(path)
        if self.load_error is not None:
            raise self.load_error
        return self.settings

    def _program(self) -> Program:
        return Program(
            load=self._load,
            config_path=lambda: Path("/nowhere/config.yaml"),
            open_console=lambda _: self.console.opened(self.open_error),
            run_agent=self.run_agent,
            region_of=lambda s3: s3.region,
            check_here=lambda _: self.found_here,
            clock=SteppingClock(),
            look_s=0.0,
            watch_s=0.0,
        )


def an_agent(name: str = "a:27017", *, age_s: float = 1, is_storage_ok: bool = True) -> AgentStatus:
    """Return an agent that was heard of `age_s` seconds ago."""
    return AgentStatus(
        name=name,
        node_state="SECONDARY",
        node_lag_s=0.0,
        priority=1,
        server_version="6.0.5",
        agent_version="0.1.0",
        pid=4711,
        started_at=NOW - timedelta(days=1),
        updated_at=NOW - timedelta(seconds=age_s),
        storage=StorageStatus(
            label="main",
            ok=is_storage_ok,
            bucket="s3://acme-backups/prod",
            credential_source="configuration",
        ),
    )


def a_backup(backup_id: str = "20261121T181512Z", *, age_h: float = 2) -> BackupEntry:
    """Return a backup that is consistent at `age_h` hours ago."""
    when = NOW - timedelta(hours=age_h)
    return BackupEntry(
        backup_id=backup_id,
        storage="main",
        replset_id="65f0000000000000000000aa",
        consistent_at=ClusterTime(int(when.timestamp()), 3),
        oplog_from=ClusterTime(int(when.timestamp()), 3),
        started_at=when,
        finished_at=when + timedelta(seconds=42),
        docs=1_234_567,
        bytes=80_000_000,
        stored_bytes=12_300_000,
        chunks=9,
        collections=4,
        nodes=("a:27017", "b:27017"),
        server_version="6.0.5",
    )


def kept(entry: BackupEntry, **changes: Any) -> BackupEntry:
    """Return an entry with some fields changed."""
    return replace(entry, **changes)


def a_cluster(
    *problems: Mapping[str, object], age_s: float = 1, **more: object
) -> dict[str, object]:
    """Return the cluster's status document as a coordinator wrote it."""
    return {
        "_id": "cluster",
        "replset": "rs0",
        "coordinator": "a:27017",
        "problems": list(problems),
        "running": None,
        "updated_at": NOW - timedelta(seconds=age_s),
        **more,
    }


def an_archive(*, lag_s: float = 4.2, **more: object) -> dict[str, Any]:
    """Return what the cluster's status document has of an archive in good order."""
    reached = NOW - timedelta(seconds=5)
    return {
        "archiver": "b:27017",
        "oplog": {
            "archived_to": ClusterTime(int(reached.timestamp()), 7),
            "archived_at": NOW - timedelta(seconds=3),
            "lag_s": lag_s,
            "window_s": 90_000.0,
            "headroom_s": 90_000.0 - lag_s,
            "gaps": [],
        },
        **more,
    }
