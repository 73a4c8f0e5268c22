"""What `make dist` builds, installed on its own as on a host."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.storages import BucketStorage
from tests.testbed.agents import Agent, Agents, AgentSpec
from tests.testbed.process import remove_directory, scratch_directory
from tests.testbed.programs import REPOSITORY
from tests.testbed.replica_set import ReplicaSet
from tests.testbed.wheels import (
    Built,
    NoRepositoryError,
    build,
    copy_of_the_sources,
    tracked,
)

# Another one than that of the sources, so that agents of both can meet.
VERSION = "0.0.9"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory for all that is built and installed."""
    directory = scratch_directory("installed")
    yield directory
    remove_directory(directory)


@pytest.fixture(scope="module")
def sources(place: Path) -> Path:
    """The sources as of another version."""
    try:
        return copy_of_the_sources(place / "sources", VERSION)
    except NoRepositoryError:
        pytest.skip("this is no clone of the repository")


@pytest.fixture(scope="module")
def built(place: Path, sources: Path) -> Built:
    """The archive of the sources, and the wheel that was built from it."""
    return build(sources, place / "dist")


@pytest.fixture(scope="module")
def installed(place: Path, built: Built) -> Path:
    """The program, after the script of the unpacked archive has installed the wheel."""
    with tarfile.open(built.sources) as archive:
        archive.extractall(place / "unpacked", filter="data")
    script = place / f"unpacked/backstay-{VERSION}/deploy/systemd/install.sh"
    root = place / "root"
    done = subprocess.run(
        [script, "--wheel", built.wheel, "--root", root, "--python", sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    return root / "opt/backstay/current/bin/backstay"


def test_the_archive_holds_the_whole_project(built: Built) -> None:
    """Whoever has it can run the tests, build the wheel and install it."""
    with tarfile.open(built.sources) as archive:
        names = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
    assert {*tracked(), Path("PKG-INFO")} == names


def test_builds_can_be_repeated(place: Path, sources: Path, built: Built) -> None:
    """The wheel from the archive is, byte by byte, the one that is built without it."""
    again = build(sources, place / "again", "--wheel")
    assert built.wheel.name == again.wheel.name == f"backstay-{VERSION}-py3-none-any.whl"
    assert built.wheel.read_bytes() == again.wheel.read_bytes()


def test_the_wheel_alone_is_the_program(installed: Path) -> None:
    """Nothing of the repository is on its path, and it needs no more than its dependencies."""

    def said(*arguments: str) -> str:
        command = [str(installed), *arguments]
        return subprocess.check_output(command, text=True, cwd="/", env={})

    python = installed.with_name("python")
    code = "import agent, sys; print(agent.__file__, *sys.path)"
    where = subprocess.check_output([python, "-c", code], text=True, cwd="/", env={})
    assert where.startswith(str(installed.parents[1]))
    assert str(REPOSITORY) not in where
    assert f"backstay {VERSION}\n" == said("--version")
    assert "restore" in said("--help")
    config = installed.parents[4] / "etc/backstay/config.yaml"
    assert "s3:PutObject" in said("policy", "--config", str(config))
    script = said("init", "--print-only", "--for", "backup", "--config", str(config))
    assert "backstayBackup" in script
    zones = "import zoneinfo; zoneinfo.reset_tzpath([]); print(zoneinfo.ZoneInfo('Europe/Rome'))"
    assert "Europe/Rome" in subprocess.check_output([python, "-c", zones], text=True, cwd="/")


def test_it_works_beside_an_agent_of_another_version(
    installed: Path, replica_set: ReplicaSet, storage: BucketStorage
) -> None:
    """An upgrade goes host by host: both read for one backup, and either may lead."""
    with replica_set.client() as client:
        client["shop"]["orders"].insert_many({"_id": number} for number in range(1000))
    programs = {node.address: installed for node in replica_set.secondaries()}
    agents = []
    for node in replica_set.data_nodes():
        spec = AgentSpec(node=node, storage=storage.settings)
        if node.address in programs:
            spec = AgentSpec(node=node, storage=storage.settings, program=installed)
        agents.append(Agent.start(spec))
    with Agents(replica_set, agents) as running:
        running.wait_until_reporting()
        old = running.beside(replica_set.secondaries()[0])
        new = running.beside(replica_set.primary())
        with replica_set.client() as client:
            versions = client["backstay"]["status"].distinct("agent_version")
        assert VERSION in versions
        assert 2 == len(versions)
        made = old.verb("backup", "--json")
        assert 0 == made.exit_status, made.stdout + made.stderr
        backup = json.loads(made.stdout)["result"]
        assert set(backup["nodes"]) <= programs.keys()
        assert 1000 == backup["docs"]
        for agent in (old, new):
            done = agent.verb("verify", backup["backup"], "--depth", "content", "--json")
            assert 0 == done.exit_status, done.stdout + done.stderr
