"""deploy/systemd/install.sh, under a root of the test's own."""

import stat
import subprocess
from pathlib import Path

import pytest

from tests.testbed.programs import REPOSITORY
from tests.testbed.wheels import quick_python, stand_in

SCRIPT = REPOSITORY / "deploy/systemd/install.sh"
FILES = {
    "etc/backstay/config.yaml": 0o640,
    "etc/backstay/config.example.yaml": 0o640,
    "etc/backstay/environment": 0o600,
    "etc/systemd/system/backstay.service": 0o644,
    "usr/lib/sysusers.d/backstay.conf": 0o644,
}


class Host:
    """A root to install under."""

    def __init__(self, root: Path, python: Path) -> None:
        self.root = root
        self.python = python

    def script(self, *options: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the script under this root, as it is called on a host."""
        return subprocess.run(
            [SCRIPT, "--root", self.root, "--python", self.python, *options],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def done(self, *options: str | Path) -> str:
        """Run the script to a good end, and return what it told."""
        done = self.script(*options)
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    def refused(self, *options: str | Path) -> str:
        """Run the script to a bad end, and return the reason."""
        done = self.script(*options)
        assert 0 != done.returncode, done.stdout
        return done.stderr

    def version(self) -> str:
        """Return what the installed program says, as people at a terminal call it."""
        command = self.root / "usr/local/bin/backstay"
        return subprocess.check_output([command, "--version"], text=True, cwd="/").strip()

    def programs(self) -> list[str]:
        """Return the versions that are there."""
        places = (self.root / "opt/backstay").iterdir()
        return sorted(each.name.split("-")[0] for each in places if not each.is_symlink())

    def everything(self) -> dict[str, tuple[int, int]]:
        """Return mode and time of change of each file and directory of the program."""
        found = (self.root / "opt").rglob("*")
        return {str(each): (each.lstat().st_mode, each.lstat().st_mtime_ns) for each in found}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """A root with nothing in it."""
    return Host(tmp_path / "root", quick_python(tmp_path))


def test_twice_is_as_once(host: Host, tmp_path: Path) -> None:
    """Nothing is made anew, and a configuration that was edited stays as it is."""
    wheel = stand_in(tmp_path, "1.0.0")
    host.done("--wheel", wheel)
    assert "backstay 1.0.0" == host.version()
    for name, mode in FILES.items():
        assert mode == stat.S_IMODE((host.root / name).stat().st_mode), name
    assert 0o2750 == stat.S_IMODE((host.root / "etc/backstay").stat().st_mode)
    unit = (host.root / "etc/systemd/system/backstay.service").read_text()
    assert "ExecStart=/opt/backstay/current/bin/backstay run" in unit
    (host.root / "etc/backstay/config.yaml").write_text("edited")
    (host.root / "etc/backstay/environment").write_text("edited")
    before = host.everything()
    told = host.done("--wheel", wheel)
    assert f"kept: {host.root}/etc/backstay/config.yaml" in told
    assert before == host.everything()
    assert "edited" == (host.root / "etc/backstay/config.yaml").read_text()
    assert "edited" == (host.root / "etc/backstay/environment").read_text()


def test_an_upgrade_can_be_undone(host: Host, tmp_path: Path) -> None:
    """The version before stays beside the new one; older ones go, and nothing else does."""
    old, new, newest = (stand_in(tmp_path, each) for each in ("1.0.0", "1.1.0", "1.2.0"))
    host.done("--wheel", old)
    host.done("--wheel", new)
    assert ("backstay 1.1.0", ["1.0.0", "1.1.0"]) == (host.version(), host.programs())
    host.done("--wheel", old)
    assert ("backstay 1.0.0", ["1.0.0", "1.1.0"]) == (host.version(), host.programs())
    (host.root / "opt/backstay/notes").mkdir()
    host.done("--wheel", newest)
    assert ("backstay 1.2.0", ["1.0.0", "1.2.0", "notes"]) == (host.version(), host.programs())


def test_a_program_that_does_not_start_replaces_nothing(host: Host, tmp_path: Path) -> None:
    """The link moves last."""
    host.done("--wheel", stand_in(tmp_path, "1.0.0"))
    host.refused("--wheel", stand_in(tmp_path, "1.1.0", exit_status=3))
    assert "backstay 1.0.0" == host.version()


def test_what_was_interrupted_is_made_again(host: Host, tmp_path: Path) -> None:
    """Only a whole program has its mark."""
    wheel = stand_in(tmp_path, "1.0.0")
    host.done("--wheel", wheel)
    program = (host.root / "opt/backstay/current").resolve()
    (program / ".complete").unlink()
    (program / "bin/backstay").unlink()
    host.done("--wheel", wheel)
    assert "backstay 1.0.0" == host.version()


def test_removal_leaves_the_configuration_until_it_is_told_otherwise(
    host: Host, tmp_path: Path
) -> None:
    """It can be said twice as well."""
    host.done("--wheel", stand_in(tmp_path, "1.0.0"))
    host.done("--uninstall")
    assert not (host.root / "opt/backstay").exists()
    assert not (host.root / "usr/local/bin/backstay").is_symlink()
    assert not (host.root / "etc/systemd/system/backstay.service").exists()
    assert (host.root / "etc/backstay/config.yaml").exists()
    assert "control database" in host.done("--uninstall", "--purge")
    assert not (host.root / "etc/backstay").exists()


def test_a_dry_run_changes_nothing(host: Host, tmp_path: Path) -> None:
    """It tells what would be done."""
    wheel = stand_in(tmp_path, "1.0.0")
    assert "would run: mv -T" in host.done("--dry-run", "--wheel", wheel)
    assert not host.root.exists()


def test_what_makes_no_sense_is_refused(host: Host, tmp_path: Path) -> None:
    """Before anything is done."""
    wheel = stand_in(tmp_path, "1.0.0")
    other = tmp_path / "other-1.0.0-py3-none-any.whl"
    other.touch()
    assert "is no wheel of Backstay" in host.refused("--wheel", other)
    assert "--wheel must name the file" in host.refused("--wheel", tmp_path / "missing.whl")
    assert "--wheel must name the file" in host.refused()
    assert "exclude each other" in host.refused("--uninstall", "--wheel", wheel)
    assert "--purge goes with" in host.refused("--purge", "--wheel", wheel)
    assert "is not known" in host.refused("--whel", wheel)
    assert "is not Python 3.11" in host.refused("--wheel", wheel, "--python", "/bin/false")
    assert not host.root.exists()
    (host.root / "opt/backstay").mkdir(parents=True)
    (host.root / "opt/backstay/pyvenv.cfg").touch()
    assert "made by hand" in host.refused("--wheel", wheel)
