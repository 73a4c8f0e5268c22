"""Tests of a directory as a storage."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.core.errors import AgentError
from agent.model.check import Finding
from agent.storage.filesystem import translate
from agent.storage.object_check import ObjectCheck, Site

# Enough for the segments of some hours, while somebody makes room.
_LITTLE_BYTES: Final = 1024**3
_GIB: Final = 1024**3


def check_directory(site: Site, path: Path) -> Iterator[Finding]:
    """Yield what the tests find: whether it is there, can be used, and has room."""
    found = site.findings
    try:
        site.store.probe()
    except AgentError as error:
        yield found.failed("directory", error)
        return
    yield found.ok("directory", f"{path} is there")
    yield from ObjectCheck(site).findings()
    try:
        free_bytes = shutil.disk_usage(path).free
    except OSError as error:
        yield found.failed("room", translate(error, "measure", ""))
        return
    message = f"{free_bytes / _GIB:.1f} GiB are free"
    if free_bytes < _LITTLE_BYTES:
        yield found.of("room", "warning", message, hint="make room on the file system")
    else:
        yield found.ok("room", message)
