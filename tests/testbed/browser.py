"""A headless Chromium that loads pages as a person's browser would, and tells what it made of them.

It is driven by the DevTools protocol over a pair of pipes: JSON texts that end in a zero byte
(https://chromedevtools.github.io/devtools-protocol/). No port is opened.
"""

import base64
import json
import os
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.testbed import programs
from tests.testbed.process import Process, remove_directory, scratch_directory

_ANSWER_S: Final = 60.0
_FLAGS: Final = (
    "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--hide-scrollbars", "--disable-background-networking", "--remote-debugging-pipe",
)  # fmt: skip
# Only the font that came with it, so that a page is as wide on every machine.
_FONTS: Final = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a page is looked at: width in CSS pixels, and the colours that the reader prefers."""

    width: int
    is_dark: bool = False


@dataclass
class Browser:
    """A browser that runs; pages are loaded in it one after the other."""

    into: int
    out: int
    process: Process
    session: str = ""
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    _unread: bytes = b""
    _last_id: int = 0

    def load(self, page: Path, look: Look) -> None:
        """Load a file; what the console says and what is asked of a network is kept."""
        self.complaints.clear()
        self.requests.clear()
        if not self.session:
            target = self._call("Target.createTarget", url="about:blank")["targetId"]
            attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
            self.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self._call(f"{domain}.enable")
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=look.width, height=900, deviceScaleFactor=1, mobile=look.width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if look.is_dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call("Page.navigate", url=page.as_uri())
        done = "document.readyState === 'complete' && document.fonts.ready.then(() => 'done')"
        deadline = time.monotonic() + _ANSWER_S
        while self.evaluate(done) != "done":
            assert time.monotonic() < deadline, f"{page} does not load"

    def evaluate(self, expression: str) -> Any:
        """Return what an expression of JavaScript is in the page, as JSON."""
        answer = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, to: Path) -> None:
        """Keep a picture of the whole page."""
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        to.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **parameters: object) -> Mapping[str, Any]:
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.into, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _ANSWER_S
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._last_id:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: Mapping[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _receive(self, deadline: float) -> Mapping[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self.out], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the browser does not answer: {self.process.tail()}"
            self._unread += os.read(self.out, 1 << 20)
        first, self._unread = self._unread.split(b"\0", 1)
        answer: Mapping[str, Any] = json.loads(first)
        return answer

    def _note(self, event: Mapping[str, Any]) -> None:
        told = event.get("params", {})
        match event.get("method"):
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(str(told["args"]))
            case "Log.entryAdded":
                self.complaints.append(told["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser, and end it."""
    program = programs.chromium()
    home = scratch_directory("chromium")
    (home / "fonts.conf").write_text(
        _FONTS.format(fonts=program.path.parent / "fonts", cache=home / "fonts-cache")
    )
    # Both ends are open here before the browser starts, so that no open waits for another.
    pipes = []
    for name in ("into", "out"):
        os.mkfifo(home / name)
        pipes.append(os.open(home / name, os.O_RDWR))
    process = Process(
        [
            "bash", "-c", 'exec "$0" "$@" 3<"$HOME/into" 4>"$HOME/out"',
            program.path, *_FLAGS, f"--user-data-dir={home}/profile", "about:blank",
        ],
        output=home / "output",
        environment={
            **program.environment,
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "FONTCONFIG_FILE": str(home / "fonts.conf"),
        },
    )  # fmt: skip
    try:
        yield Browser(into=pipes[0], out=pipes[1], process=process)
    finally:
        process.kill()
        for pipe in pipes:
            os.close(pipe)
        remove_directory(home)
