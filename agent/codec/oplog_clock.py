"""When an oplog entry was written: its cluster time and the wall time beside it, nothing else."""

import re
from struct import Struct
from typing import Final

from agent.codec.elements import TIMESTAMP, Bytes, damaged, elements
from agent.model.cluster_time import ClusterTime

_DATE_KIND: Final = 0x09
_STAMP: Final = Struct("<II")
_DATE: Final = Struct("<q")
# How servers end a plain entry: time, term, version, wall time, the end of the document.
_TAIL: Final = re.compile(
    rb"\x11ts\x00(.{8})\x12t\x00.{8}\x12v\x00.{8}\x09wall\x00(.{8})\x00", re.DOTALL
)
_TAIL_BYTES: Final = 49


def written(raw: bytes) -> tuple[ClusterTime, int]:
    """Return an entry's cluster time, and its wall time in milliseconds since the epoch.

    Raises: PermanentError ``damaged_bson``.
    """
    found = _TAIL.fullmatch(raw, max(0, len(raw) - _TAIL_BYTES))
    stamp, wall = (found[1], found[2]) if found is not None else _walked(raw)
    increment, seconds = _STAMP.unpack(stamp)
    return ClusterTime(seconds, increment), int(_DATE.unpack(wall)[0])


def _walked(raw: Bytes) -> tuple[bytes, bytes]:
    stamp = wall = b""
    for each in elements(raw):
        if each.name == b"ts" and each.kind == TIMESTAMP:
            stamp = bytes(raw[each.value : each.end])
        elif each.name == b"wall" and each.kind == _DATE_KIND:
            wall = bytes(raw[each.value : each.end])
    if not stamp or not wall:
        raise damaged("not an oplog entry: it has no time", 0)
    return stamp, wall
