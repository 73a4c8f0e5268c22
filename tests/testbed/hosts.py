"""Machines of an operator: a shell, `sudo`, `systemctl` and `aws`, below a directory each.

There is one machine here, and often no systemd: so `/etc` and `/opt` of each host lie below a
directory of its own, and `systemctl` starts what the installed unit says, as the unit says it.
"""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pexpect

from tests.testbed import programs, secrecy
from tests.testbed.aws import AwsServer
from tests.testbed.aws_shell import install_aws
from tests.testbed.loopback import HOST, free_port
from tests.testbed.process import remove_directory, scratch_directory
from tests.testbed.stoppable import Stoppable

# Where the configuration of a host lies.
_SETTINGS: Final = "/etc/backstay"

_SUDO: Final = """\
#!/usr/bin/env bash
# Everything is below a root of its own; only the installer has to be told.
case $1 in *install.sh) exec "$@" --root "$HOST_ROOT" ;; *) exec "$@" ;; esac
"""

_SYSTEMCTL: Final = """\
import configparser, json, os, pathlib, shlex, signal, socket, subprocess, sys
root = pathlib.Path(os.environ["HOST_ROOT"])
pid_file, socket_path = root / "agent.pid", root / "notify"
verb, name = sys.argv[1], sys.argv[-1]
assert name in ("backstay", "backstay.service"), sys.argv
unit = configparser.ConfigParser(strict=False, interpolation=None, delimiters="=")
unit.optionxform = str
unit.read(root / "etc/systemd/system/backstay.service")
service = unit["Service"]

def stop():
    if pid_file.exists():
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        pid_file.unlink()

def start():
    environment = json.loads((root / "machine.json").read_text())
    for line in (root / "etc/backstay/environment").read_text().splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            environment[key] = value
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        socket_path.unlink(missing_ok=True)
        notified.bind(str(socket_path))
        notified.settimeout(90)
        environment["NOTIFY_SOCKET"] = str(socket_path)
        program, *arguments = shlex.split(service["ExecStart"])
        child = subprocess.Popen(
            [str(root) + program, *arguments], env=environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=open(root / "journal", "a"), stderr=subprocess.STDOUT,
        )
        pid_file.write_text(str(child.pid))
        assert service["Type"] == "notify"
        while b"READY=1" not in notified.recv(4096):
            assert child.poll() is None, (root / "journal").read_text()

match verb:
    case "enable" if "--now" in sys.argv:
        start()
    case "start":
        start()
    case "restart":
        stop()
        start()
    case "stop":
        stop()
    case _:
        raise SystemExit(f"systemctl {verb} is not known here")
"""


class Host(Stoppable):
    """One machine. Lines are typed into its shell; what was started there ends with it."""

    def __init__(self, aws: AwsServer, machine: Mapping[str, str]) -> None:
        """Make an empty machine; `machine` is what every process on it finds around it."""
        self.directory = scratch_directory("host")
        self.root = self.directory / "root"
        self._environment = {
            **machine,
            "HOME": str(self.directory),
            "HOST_ROOT": str(self.root),
            "BACKSTAY_CONFIG": str(self.root / "etc/backstay/config.yaml"),
            "LANG": "C.UTF-8",
            # Three installations at once, which are used for minutes.
            "PIP_NO_COMPILE": "1",
        }
        # What an operator names that hosts on one machine cannot share.
        self._places = {
            _SETTINGS: f"{self.root}{_SETTINGS}",
            "127.0.0.1:9216": f"{HOST}:{free_port()}",
        }
        folder = self.directory / "bin"
        folder.mkdir()
        self.root.mkdir()
        install_aws(folder, aws)
        _program(folder / "sudo", _SUDO)
        _program(folder / "systemctl", f"#!{sys.executable}\n{_SYSTEMCTL}")
        (folder / "python3").symlink_to(sys.executable)
        mongosh = programs.mongosh()
        rest = mongosh.environment.get("PATH", os.environ.get("PATH", os.defpath))
        path = [folder, self.root / "usr/local/bin", mongosh.path.parent, rest]
        self._environment["PATH"] = os.pathsep.join(map(str, path))
        (self.root / "machine.json").write_text(json.dumps(self._environment))

    def paste(self, lines: str, values: Mapping[str, str], *, timeout_s: float = 300.0) -> str:
        """Run lines in bash, which stops at the first that fails; return what they say.

        Raises: AssertionError with what was said.
        """
        with subprocess.Popen(
            ["bash", self._script(lines)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.directory,
            env={**self._environment, **values},
            start_new_session=True,
        ) as shell:
            try:
                output, _ = shell.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(shell.pid, signal.SIGKILL)
                raise
        assert shell.returncode == 0, f"{lines}\n{output}"
        return self._as_typed(output)

    def paste_with_passwords(
        self, lines: str, values: Mapping[str, str], answers: Sequence[str]
    ) -> str:
        """Do the same at a terminal, and answer the questions for a password in turn."""
        terminal = pexpect.spawn(
            "bash",
            [str(self._script(lines))],
            timeout=60,
            cwd=str(self.directory),
            env={**self._environment, **values},
            encoding="utf-8",
            echo=False,
        )
        said = io.StringIO()
        terminal.logfile_read = said
        for answer in answers:
            terminal.expect("Enter password")
            terminal.sendline(answer)
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 0, f"{lines}\n{said.getvalue()}"
        return self._as_typed(said.getvalue())

    def journal(self) -> str:
        """Return all that the agent of this host has logged."""
        path = self.root / "journal"
        return path.read_text() if path.exists() else ""

    def _script(self, lines: str) -> Path:
        for there, here in self._places.items():
            lines = lines.replace(there, here)
        script = self.directory / "typed"
        script.write_text(f"set -euo pipefail\n{lines}")
        return script

    def _as_typed(self, output: str) -> str:
        secrecy.check(output, "what a host's terminal showed")
        return output.replace(str(self.root), "")

    def last_words(self) -> Sequence[str]:
        """Return the end of the journal."""
        return [self.journal()[-3000:]]

    def stop(self) -> None:
        """Switch it off: its agent is killed, its files are removed. Idempotent."""
        pid_file = self.root / "agent.pid"
        if pid_file.exists():
            with suppress(ProcessLookupError):
                os.kill(int(pid_file.read_text()), signal.SIGKILL)
        secrecy.check(self.journal(), "the journal of a host")
        remove_directory(self.directory)


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o700)
