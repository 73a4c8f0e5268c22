"""What an agent writes to its host's disk: nothing, but what it stores in a directory."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.protected import protected
from tests.system.storages import DirectoryStorage
from tests.testbed.replica_set import ReplicaSet, ReplicaSetSpec

# Python runs it before anything else. It tells each file that is opened to be written, made or
# renamed, with the mode that it is to get.
_WITNESS = """
import json, os, sys

_told = os.open(os.environ["WITNESS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
_CHANGES = {"os.mkdir", "os.truncate"}
_NAMED = {"os.rename", "os.link", "os.symlink"}


def _tell(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
    elif event in _CHANGES or event.startswith("tempfile."):
        path = arguments[0]
    elif event in _NAMED:
        path = arguments[1]
    else:
        return
    line = json.dumps({"event": event, "path": os.fsdecode(path or "")})
    os.write(_told, line.encode() + b"\\n")


sys.addaudithook(_tell)
"""


@pytest.fixture
def alone() -> Iterator[ReplicaSet]:
    """One node."""
    with ReplicaSet.start(ReplicaSetSpec(nodes=1)) as replica_set:
        yield replica_set


def test_nothing_is_written_beside_the_storage(
    alone: ReplicaSet, directory: DirectoryStorage, tmp_path: Path
) -> None:
    """No temporary file, nowhere, in a backup, a restore, a verify, a check and with a hook.

    And what is stored in a directory is for the agent alone, whatever the umask; nor is a core
    dump left of it.
    """
    witness, home, scratch = (tmp_path / name for name in ("witness", "home", "scratch"))
    for made in (witness, home, scratch):
        made.mkdir()
    (witness / "sitecustomize.py").write_text(_WITNESS)
    told = tmp_path / "told"
    environment = {
        "PYTHONPATH": str(witness),
        "PYTHONDONTWRITEBYTECODE": "1",
        "WITNESS": str(told),
        "HOME": str(home),
        "TMPDIR": str(scratch),
    }
    alone.client()["shop"]["orders"].insert_many([{"_id": number} for number in range(100)])
    settings = {"hooks": {"before_backup": ["/bin/true"]}, "metrics": {"listen": None}}
    before = os.umask(0)
    try:
        with protected(alone, directory, settings, environment) as cluster:
            backup = cluster.done("backup")["backup"]
            cluster.done("verify", backup=backup, depth="content")
            cluster.done("restore", backup=backup, overwrite=True)
            cluster.done("check")
            (agent,) = cluster.agents.all
            limits = Path(f"/proc/{agent.pid}/limits").read_text()
            assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE)
            assert 0 == agent.verb("list").exit_status
            files = sorted(agent.directory.iterdir())
            assert [agent.config, agent.directory / "log"] == files
    finally:
        os.umask(before)
    changed = [json.loads(line) for line in told.read_text().splitlines()]
    stored = [each for each in changed if Path(each["path"]).is_relative_to(directory.path)]
    elsewhere = [each for each in changed if each not in stored]
    assert stored, "the witness saw nothing"
    assert [] == [each for each in elsewhere if each["path"] != "/dev/null"]
    assert [] == [*home.iterdir(), *scratch.iterdir()]
    for path in directory.path.rglob("*"):
        assert 0 == path.stat().st_mode & 0o077, f"{path} is open to others"
