"""How far a job is, and when it should end."""

from dataclasses import dataclass
from typing import Literal

Phase = Literal[
    "planning", "reading", "oplog", "committing", "loading", "replaying", "indexing",
    "checking", "switching", "cleaning",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is done of what is to do, in uncompressed bytes and documents."""

    phase: Phase
    done_bytes: int = 0
    total_bytes: int = 0
    done_docs: int = 0
    total_docs: int = 0

    @property
    def percent(self) -> float:
        """Done part of the whole, 0 to 100; by bytes, which predict time better than documents."""
        if self.total_bytes <= 0:
            return 0.0
        return round(min(100.0, 100.0 * self.done_bytes / self.total_bytes), 1)


def eta_s(progress: Progress, elapsed_s: float) -> float | None:
    """Seconds left at the mean speed so far; None while nothing can be said."""
    if progress.done_bytes <= 0 or elapsed_s <= 0 or progress.total_bytes <= 0:
        return None
    left_bytes = max(0, progress.total_bytes - progress.done_bytes)
    return round(left_bytes * elapsed_s / progress.done_bytes, 1)
