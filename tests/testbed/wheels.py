"""Wheels: Backstay's own under another version, and small ones that stand for it."""

import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pip

from tests.testbed.programs import REPOSITORY

_VERSION = re.compile(r'(__version__ = )"[^"]+"')


class NoRepositoryError(Exception):
    """The sources are no clone of a repository, which tells what belongs to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What `make dist` makes."""

    sources: Path
    wheel: Path


def tracked() -> list[Path]:
    """Return every file of the project, relative to its top. Raises: NoRepositoryError."""
    found = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode != 0:
        raise NoRepositoryError(found.stderr)
    names = sorted(Path(name) for name in found.stdout.split("\0") if name)
    return [name for name in names if (REPOSITORY / name).is_file()]


def copy_of_the_sources(directory: Path, version: str | None = None) -> Path:
    """Copy the project, as if it had another version if one is given: it stands in one place."""
    for name in tracked():
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, target)
    if version is None:
        return directory
    place = directory / "agent/__init__.py"
    text, count = _VERSION.subn(rf'\1"{version}"', place.read_text())
    assert 1 == count
    place.write_text(text)
    return directory


def build(project: Path, into: Path, *options: str) -> Built:
    """Build source archive and wheel as `make dist` does; with `--wheel` the wheel alone."""
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", into, *options, project],
        check=True,
        capture_output=True,
    )
    return Built(sources=next(into.glob("*.tar.gz"), into), wheel=next(into.glob("backstay-*.whl")))


def quick_python(directory: Path) -> Path:
    """Make a Python whose virtual environments borrow pip: a second each instead of ten.

    They see nothing else of the environment that the tests run in.
    """
    lent = directory / "lent-pip"
    lent.mkdir()
    installed = Path(pip.__file__).parent
    for each in (installed, *installed.parent.glob("pip-*.dist-info")):
        (lent / each.name).symlink_to(each)
    program = directory / "python"
    program.write_text(
        f"""#!/bin/sh
[ "$2" = venv ] || exec {sys.executable} "$@"
{sys.executable} -m venv --without-pip "$3" || exit
for each in "$3"/lib/python*/site-packages; do echo {lent} > "$each/lent-pip.pth"; done
"""
    )
    program.chmod(0o755)
    return program


def stand_in(directory: Path, version: str, *, exit_status: int = 0) -> Path:
    """Make a wheel whose `backstay` tells its version and does nothing else."""
    path = directory / f"backstay-{version}-py3-none-any.whl"
    about = f"backstay-{version}.dist-info"
    files = {
        "agent/__init__.py": f"def main():\n    print('backstay {version}')\n"
        f"    raise SystemExit({exit_status})\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: backstay\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\nbackstay = agent:main\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{about}/RECORD", "".join(f"{name},,\n" for name in files))
    return path
