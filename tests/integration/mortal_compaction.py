"""A process that compacts an archive in a directory, and may die of it: `python -m` this."""

import sys
from pathlib import Path

from agent.core import crash, log
from agent.core.flow import Stop
from agent.jobs.archive.compaction import CompactionPorts, Compactor
from agent.jobs.archive.ports import Tenure
from agent.jobs.segments import put_segment
from agent.model.coverage import Archived
from agent.storage.filesystem import FilesystemStore
from tests.fakes import archive
from tests.fakes.control import MemoryEvents


def main(path: str, wish: str, *replaced: str) -> None:
    """Make passes until nothing is left to do; or store a segment in the place of another."""
    crash.arm(wish)
    store = FilesystemStore(Path(path))
    if replaced:
        _replace(store, *map(int, replaced))
        return
    ports = CompactionPorts(
        identity=archive.IDENTITY, store=store, events=MemoryEvents(), level=1, log=log.get()
    )
    compactor = Compactor(ports)
    tenure = Tenure(stop=Stop(), held=lambda: None)
    while compactor.run(archive.moment(100), tenure).joined:
        continue


def _replace(store: FilesystemStore, begin: int, last: int) -> None:
    key = archive.key_of(begin, last)
    segment = Archived(key=key, begin=archive.time(begin), last=archive.time(last), stored_bytes=0)
    put_segment(store, segment, archive.body(range(begin + 1, last + 1)), lambda: None, log.get())


if __name__ == "__main__":
    main(*sys.argv[1:])
