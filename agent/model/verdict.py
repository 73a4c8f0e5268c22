"""What verifying a backup found: a verdict for each depth, and the one that stands. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

# ``objects``: everything is there at its size, by a listing; ``content``: everything was read.
Depth = Literal["objects", "content"]

DEPTHS: Final[tuple[Depth, ...]] = ("objects", "content")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a backup was whole, as far as one look went; ``checked_at`` is UTC, to the second."""

    depth: Depth
    checked_at: datetime
    is_sound: bool

    def settles(self, other: "Verdict") -> bool:
        """Whether nothing that an earlier look found need be true any more.

        A look at the objects alone says nothing of what was wrong inside them.
        """
        is_as_deep = self.depth == "content" or other.depth == "objects"
        return is_as_deep and self.checked_at > other.checked_at


def newest_of_each(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """Return the newest verdict of each depth, the shallower first."""
    ordered = sorted(verdicts, key=lambda each: each.checked_at)
    found = {each.depth: each for each in ordered}
    return tuple(found[depth] for depth in DEPTHS if depth in found)


def standing(verdicts: Iterable[Verdict]) -> Verdict | None:
    """Return the verdict that counts, None of a backup that was never verified.

    A bad one stands until a later look, as deep or deeper, finds the backup sound; of good ones
    the newest counts.
    """
    newest = newest_of_each(verdicts)
    bad = [
        each
        for each in newest
        if not each.is_sound and not any(other.is_sound and other.settles(each) for other in newest)
    ]
    return max(bad or newest, key=lambda each: each.checked_at, default=None)
