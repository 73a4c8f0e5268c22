"""Cluster time: the order of everything that happened in a replica set."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from agent.core.errors import PermanentError

_TEXT: Final = re.compile(r"(\d{10})\.(\d{10})", re.ASCII)
# A BSON timestamp has 32 bits for each part: more can be written into no document.
_LARGEST: Final = 2**32 - 1


@dataclass(frozen=True, slots=True, order=True)
class ClusterTime:
    """A point in the oplog: seconds since the epoch and an increment within the second."""

    seconds: int
    increment: int

    def __str__(self) -> str:
        return f"{self.seconds:010d}.{self.increment:010d}"

    @classmethod
    def parse(cls, text: str) -> "ClusterTime":
        """Read what ``str`` wrote; zero-padded, so that texts sort as times do.

        Raises: PermanentError ``bad_cluster_time``.
        """
        found = _TEXT.fullmatch(text)
        parts = () if found is None else tuple(map(int, found.groups()))
        if not parts or max(parts) > _LARGEST:
            raise PermanentError(
                "bad_cluster_time", f"{text!r} is not a cluster time", hint="expected S.I, padded"
            )
        return cls(*parts)

    @property
    def wall(self) -> datetime:
        """The second that this time lies in, UTC."""
        return datetime.fromtimestamp(self.seconds, tz=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """The place of an oplog entry: its time, and the term of the primary that wrote it.

    Two histories may have entries of the same time, never of the same time and term.
    """

    time: ClusterTime
    term: int
